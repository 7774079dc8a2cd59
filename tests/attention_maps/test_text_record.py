"""The record of an image-text capture, the texts in it, and its file."""

import os

import numpy as np
import pytest

from tests.attention_maps.records import random_record
from tests.attention_maps.text_records import scene_texts, text_record, tokenizer
from vitcross.attention_maps import AttentionRecord, ImageTextRecord, ProbeText, Verdict, probe_texts, text_from_user
from vitcross.data.tokenizer import Token, Word

ARRAYS = ("padding_mask", "text_similarity", "word_similarity")


@pytest.mark.parametrize("kind", [{"predicts_next": True}, {"dual": True}, {}])
def test_save_and_load_give_back_everything(tmp_path, kind):
    record = text_record(depth=11, verdicts=(Verdict("</script> 猫", "שלום", False),) * 5, **kind)
    record.save(tmp_path / "record.npz")
    loaded = ImageTextRecord.load(tmp_path / "record.npz")
    assert list(loaded.weights) == list(record.weights) and list(loaded.image.weights) == list(record.image.weights)
    for found, expected in ((loaded.weights, record.weights), (loaded.image.weights, record.image.weights)):
        for address, weights in expected.items():
            np.testing.assert_array_equal(found[address], weights)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(record, name))
    np.testing.assert_array_equal(loaded.images, record.images)
    assert loaded.verdicts == record.verdicts and isinstance(loaded.verdicts[0], Verdict)
    assert (loaded.predicts_next, loaded.text_pooling, loaded.step) == (record.predicts_next, record.text_pooling, 5)
    for found, expected in zip(loaded.texts, record.texts, strict=True):
        assert (found.text, found.tokens, found.words) == (expected.text, expected.tokens, expected.words)
        for boxes, others in zip(found.word_boxes, expected.word_boxes, strict=True):
            np.testing.assert_array_equal(boxes, others)
    assert os.listdir(tmp_path) == ["record.npz"]


def test_equal_records_are_equal_bytes(tmp_path):
    for name in "ab":
        text_record().save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_two_kinds_of_record_are_not_taken_for_each_other(tmp_path):
    path = tmp_path / "record.npz"
    text_record().save(path)
    with pytest.raises(ValueError, match="attention record of version 1"):
        AttentionRecord.load(path)
    random_record().save(path)
    with pytest.raises(ValueError, match="image-text attention record"):
        ImageTextRecord.load(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="complete image-text"):
        ImageTextRecord.load(path)


def test_a_record_that_is_too_large_keeps_its_first_examples():
    record = text_record(dual=True)
    both = [*record.image.weights.values(), *record.weights.values()]
    small = record.within(3.5 * sum(w[:1].nbytes for w in both) / 2**20)
    assert len(small.images) == len(small.texts) == len(small.padding_mask) == len(small.word_similarity) == 3
    assert len(small.verdicts) == 3 and all(len(w) == 3 for w in small.weights.values())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"text_pooling": "cls"}, "'cls'"),
        ({"texts": ()}, "`texts` must be one per image"),
        ({"texts": tuple(reversed(scene_texts(5, questions=True)))}, "one per real token"),
        ({"text_similarity": np.zeros((5, 3), np.float32)}, r"\(5, 28\)"),
        ({"weights": {"text_encoder/block_00/cross_attention": np.zeros((5, 2, 3, 4), np.float32)}}, "29"),
    ],
)
def test_refuses_contradictions(changes, words):
    with pytest.raises(ValueError, match=words):
        ImageTextRecord(**vars(text_record()) | changes)


def test_addresses_are_told_apart():
    shares = np.full((5, 2, 1, 23), 1 / 23, np.float32)
    record = text_record()
    shares = np.full((5, 2, 1, record.padding_mask.shape[1]), 0.1, np.float32)
    weights = {**record.weights, "text_encoder/pooling/cross_attention": shares}
    record = ImageTextRecord(**vars(record) | {"weights": weights, "text_pooling": "map"})
    assert [address.split("/")[1] for address in record.cross_attention] == ["block_00", "block_01"]
    assert len(record.self_attention) == 2 and record.pooling_weights is shares


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
