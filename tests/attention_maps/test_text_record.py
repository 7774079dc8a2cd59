"""The record of an image-text capture, the texts in it, and its file."""

import os

import numpy as np
import pytest

from tests.attention_maps.records import random_record
from tests.attention_maps.text_records import scene_texts, text_record, tokenizer, with_text
from tests.attention_maps.viewer_samples import caption_record
from vitcross.attention_maps import AttentionRecord, Prediction, ProbeText, probe_texts, text_from_user
from vitcross.data.tokenizer import Token, Word

ARRAYS = ("padding_mask", "text_similarity", "word_similarity")


@pytest.mark.parametrize("kind", [{"predicts_next": True}, {"dual": True}, {}])
def test_save_and_load_give_back_everything(tmp_path, kind):
    record = text_record(depth=11, predictions=(Prediction("</script> 猫", "שלום", False),) * 5, **kind)
    record.save(tmp_path / "record.npz")
    loaded = AttentionRecord.load(tmp_path / "record.npz")
    text = record.text
    for found, expected in ((loaded.text.weights, text.weights), (loaded.weights, record.weights)):
        assert list(found) == list(expected)
        for address, weights in expected.items():
            np.testing.assert_array_equal(found[address], weights)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(loaded.text, name), getattr(text, name))
    np.testing.assert_array_equal(loaded.images, record.images)
    assert loaded.predictions == record.predictions and isinstance(loaded.predictions[0], Prediction)
    assert (loaded.text.predicts_next, loaded.text.pooling, loaded.step) == (text.predicts_next, text.pooling, 5)
    for found, expected in zip(loaded.text.texts, text.texts, strict=True):
        assert (found.text, found.tokens, found.words) == (expected.text, expected.tokens, expected.words)
        for boxes, others in zip(found.word_boxes, expected.word_boxes, strict=True):
            np.testing.assert_array_equal(boxes, others)
    assert os.listdir(tmp_path) == ["record.npz"]


def test_maps_of_tokens_and_of_the_target_survive_the_file(tmp_path):
    record = caption_record()
    record.save(tmp_path / "record.npz")
    loaded = AttentionRecord.load(tmp_path / "record.npz")
    pairs = (
        (loaded, record, "maps"),
        (loaded.text, record.text, "token_maps"),
        (loaded.text, record.text, "text_maps"),
    )
    for found, expected, table in pairs:
        assert list(getattr(found, table)) == list(getattr(expected, table)) != []
        for method, maps in getattr(expected, table).items():
            np.testing.assert_array_equal(getattr(found, table)[method], maps)
    assert loaded.targets == record.targets and loaded.trust.to_json() == record.trust.to_json()


def test_equal_records_are_equal_bytes(tmp_path):
    for name in "ab":
        text_record().save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_records_with_and_without_texts_are_one_format(tmp_path):
    path = tmp_path / "record.npz"
    text_record().save(path)
    assert len(AttentionRecord.load(path).text.texts) == 5
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="a complete attention record of version 1"):
        AttentionRecord.load(path)
    random_record().save(path)
    assert AttentionRecord.load(path).text is None


def test_a_record_that_is_too_large_keeps_its_first_examples():
    record = text_record(dual=True)
    both = [*record.weights.values(), *record.text.weights.values()]
    small = record.within(3.5 * sum(w[:1].nbytes for w in both) / 2**20)
    text = small.text
    assert len(small.images) == len(text.texts) == len(text.padding_mask) == len(text.word_similarity) == 3
    assert len(small.predictions) == 3 and all(len(w) == 3 for w in {**small.weights, **text.weights}.values())


def test_examples_are_taken_in_a_given_order_from_every_field():
    record = caption_record()
    rows = [3, 0]
    found = record.take(rows)
    assert found.targets == tuple(record.targets[row] for row in rows)
    assert found.text.texts == tuple(record.text.texts[row] for row in rows)
    for part, whole in ((found, record), (found.text, record.text)):
        for name in part.ARRAYS:
            array = getattr(whole, name)
            np.testing.assert_array_equal(getattr(part, name), None if array is None else array[rows])
        for table in part.TABLES:
            for name, array in getattr(whole, table).items():
                np.testing.assert_array_equal(getattr(part, table)[name], array[rows])
    assert found.trust.probes["raw"] == tuple(record.trust.probes["raw"][row] for row in rows)
    # Of another capture the same examples, wherever they stand there.
    again = record.take([4, 3, 2, 1]).select_examples(record, rows)
    assert again.example_index.tolist() == [3] and again.targets == (record.targets[3],)
    assert record.take([4]).select_examples(record, rows) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pooling": "cls"}, "'cls'"),
        ({"texts": ()}, "`texts` must be one per image"),
        ({"texts": tuple(reversed(scene_texts(5, questions=True)))}, "one per real token"),
        ({"text_similarity": np.zeros((5, 3), np.float32)}, r"\(5, 28\)"),
        ({"weights": {"text_encoder/block_00/cross_attention": np.zeros((5, 2, 3, 4), np.float32)}}, "29"),
        ({"token_maps": {"relevance": np.zeros((5, 28), np.float32)}}, r"token_maps\['relevance'\]"),
    ],
)
def test_refuses_contradictions(changes, words):
    with pytest.raises(ValueError, match=words):
        with_text(text_record(), **changes)


def test_addresses_are_told_apart():
    record = text_record()
    shares = np.full((5, 2, 1, record.text.padding_mask.shape[1]), 0.1, np.float32)
    weights = {**record.text.weights, "text_encoder/pooling/cross_attention": shares}
    record = with_text(record, weights=weights, pooling="map")
    assert [address.split("/")[1] for address in record.cross_attention] == ["block_00", "block_01"]
    assert len(record.text.self_attention) == 2 and record.text.pooling_weights is shares


def test_texts_refuse_what_does_not_fit():
    tokens = tuple(Token(t, 0, 1, k) for k, t in enumerate("abc"))
    with pytest.raises(ValueError, match="3 tokens"):
        ProbeText(text="abc", tokens=tokens, words=(Word("abc", 0, 3, (1, 3)),))
    with pytest.raises(ValueError, match="one per word"):
        ProbeText(text="abc", tokens=tokens, words=(Word("abc", 0, 3, (1, 2)),), word_boxes=(None, None))
    text = ProbeText(text="abc", tokens=tokens, words=(Word("abc", 0, 3, (1, 2)),))
    assert text.word_boxes == (None,)


class Data:
    """What `probe_texts` needs of `ImageTextData`."""

    max_text_length = 29
    texts = ("A red star.", "naïve שלום 猫 \U0001f600", "")

    def __init__(self):
        self.tokenizer = tokenizer()

    def source(self, split):
        return self

    def text(self, index):
        return self.texts[index]

    def words(self, split, index):
        return self.tokenizer.words(self.texts[index], max_length=self.max_text_length)

    def word_boxes(self, split, index):
        return [np.zeros((0, 4)) if k else np.ones((2, 4)) for k, _ in enumerate(self.words(split, index))]


def test_texts_of_data_and_own_ones():
    data = Data()
    texts = probe_texts(data, "validation", np.array([2, 0, 1]))
    assert [text.text for text in texts] == [data.texts[k] for k in (2, 0, 1)]
    assert texts[0].words == () and len(texts[0].tokens) == 2
    assert texts[1].word_boxes[0].shape == (2, 4) and texts[1].word_boxes[1] is None
    _, mask, _ = data.tokenizer.encode([text.text for text in texts], max_length=29)
    assert [len(text.tokens) for text in texts] == list(mask.sum(1))
    own = text_from_user(data.tokenizer, data.texts[1], max_length=29)
    assert own.tokens == texts[2].tokens and own.words == texts[2].words and set(own.word_boxes) == {None}
