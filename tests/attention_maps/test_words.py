"""Which rows are a word's, in both kinds of model, against loops; and the grounding of planted maps."""

import numpy as np
import pytest

from tests.attention_maps.text_records import text_record, with_text
from vitcross.attention_maps import box_to_patches, energy_in_box, entropy, prefix_mass, sink_share, word_grounding
from vitcross.attention_maps.methods.words import (
    patch_words,
    pooled_text_rows,
    query_mask,
    token_word_maps,
    word_maps,
    word_prefix_mass,
    word_rows,
    word_similarity_maps,
)
from vitcross.attention_maps.trust.grounding import boxes_to_patches
from vitcross.attention_maps.trust.word_grounding import best_layer


@pytest.mark.parametrize("predicts_next", [True, False])
def test_a_word_is_the_mean_of_the_rows_of_its_tokens(predicts_next):
    record = text_record(predicts_next=predicts_next)
    address = list(record.cross_attention)[0]
    several = 0
    for b, text in enumerate(record.text.texts):
        for w, word in enumerate(text.words):
            rows = [record.text.weights[address][b][:, t - 1 if predicts_next else t] for t in word.tokens]
            expected = np.mean(rows, axis=0)
            several += len(rows) > 1
            np.testing.assert_allclose(word_rows(record, address)[b][w], expected, rtol=1e-6)
            np.testing.assert_allclose(word_maps(record, address)[b][w], expected[:, 1:], rtol=1e-6)
            np.testing.assert_allclose(word_prefix_mass(record, address)[b][w], expected[:, 0], rtol=1e-6)
    assert several > 3  # sub-words are there


def test_the_row_that_predicts_a_word_is_the_one_before_it():
    record = text_record(1, predicts_next=True, depth=1)
    (address,) = record.cross_attention
    position = record.text.texts[0].words[2].tokens[0]
    record.text.weights[address][:] = 0
    record.text.weights[address][0, :, position - 1, 7] = 1
    maps = word_maps(record)[0]
    assert maps[2].max() > 0 and maps[2].argmax(-1).tolist() == [6] * 3
    assert not maps[[0, 1]].any()  # of the word before it the row is another one
    mask = query_mask(record)
    assert mask[0].sum() == record.text.padding_mask[0].sum() - 1 and mask[0, 0]


def test_the_last_layer_is_shown_and_unknown_ones_are_refused():
    record = text_record(2)
    first, last = record.cross_attention
    np.testing.assert_array_equal(word_maps(record)[1], word_maps(record, last)[1])
    assert not np.array_equal(word_maps(record)[1], word_maps(record, first)[1])
    with pytest.raises(ValueError, match="block_07"):
        word_maps(record, "text_encoder/block_07/cross_attention")
    with pytest.raises(ValueError, match="`address`"):
        word_maps(text_record(2, dual=True))


def test_patches_divide_what_they_receive_among_the_words():
    record = text_record(3)
    for shares, maps in zip(patch_words(record), word_maps(record), strict=True):
        np.testing.assert_allclose(shares.sum(-1), 1.0)
        np.testing.assert_allclose(shares[3, 1], maps[:, 1, 3] / maps[:, 1, 3].sum())
    record.text.weights[list(record.cross_attention)[-1]][:] = 0
    assert not patch_words(record)[0].any()


def test_similarity_of_words_keeps_its_sign_and_has_its_own_rows():
    record = text_record(3, dual=True)
    word = record.text.texts[1].words[1]
    found = word_similarity_maps(record)[1][1]
    np.testing.assert_allclose(found, record.text.word_similarity[1, list(word.tokens)].mean(0), rtol=1e-6)
    assert found.min() < 0
    with pytest.raises(ValueError, match="None"):
        word_similarity_maps(text_record(2))


def test_texts_without_words():
    record = text_record(2)
    texts = tuple(type(t)(text="", tokens=t.tokens, words=()) for t in record.text.texts)
    record = with_text(record, texts=texts)
    assert word_maps(record)[0].shape == (0, 3, 28) and patch_words(record)[0].shape == (28, 3, 0)
    assert word_grounding(record) == {} and best_layer({}) == ""


def test_what_poolings_read():
    record = text_record(3)
    last = list(record.text.self_attention.values())[-1]
    ends = [len(text.tokens) - 1 for text in record.text.texts]
    for b, end in enumerate(ends):
        np.testing.assert_allclose(pooled_text_rows(record)[b], last[b, :, end])
        mean = with_text(record, pooling="gap")
        np.testing.assert_allclose(pooled_text_rows(mean)[b], last[b, :, : end + 1].mean(axis=1), rtol=1e-5)
    with pytest.raises(ValueError, match="None"):
        pooled_text_rows(text_record(2, predicts_next=True))


# ---------------------------------------------------------------------------------------------------------- grounding


def flat(record):
    """The record with uniform cross-attention, or cosines that are the same everywhere."""
    weights = {a: np.full_like(w, 1 / w.shape[-1]) if "cross" in a else w for a, w in record.text.weights.items()}
    changes = {"weights": weights}
    if record.text.word_similarity is not None:
        changes["word_similarity"] = np.full_like(record.text.word_similarity, 0.3)
    return with_text(record, **changes)


@pytest.mark.parametrize("kind", [{"predicts_next": True}, {"dual": True}, {}])
def test_maps_that_know_nothing_have_lift_one_and_planted_ones_more(kind):
    knows = word_grounding(text_record(11, planted=4, **kind))
    nothing = word_grounding(flat(text_record(11, **kind)))
    assert list(knows) == list(nothing) == (["similarity"] if "dual" in kind else ["block_00", "block_01"])
    for layer, row in nothing.items():
        assert row["lift"] == pytest.approx(1, abs=1e-6)
        assert knows[layer]["pointing"] == 1 and knows[layer]["lift"] > 2 and row["words"] == knows[layer]["words"] > 5
        assert 0 < row["chance"] < 1 and row["pointing"] < 0.7
    if "dual" not in kind:
        assert knows["block_01"]["lift"] > knows["block_00"]["lift"]
        assert "block 01" in best_layer(knows) and "lift" in best_layer(knows)


def test_the_grounding_is_the_mean_over_words_of_the_union_of_their_boxes():
    record = text_record(7, planted=1)
    boxes = [None, np.float32([[0, 0, 0.5, 0.3], [0.4, 0.6, 1, 1]])]
    texts = tuple(
        type(t)(text=t.text, tokens=t.tokens, words=t.words, word_boxes=(boxes[1], *[None] * (len(t.words) - 1)))
        for t in record.text.texts
    )
    record = with_text(record, texts=texts)
    mask = np.logical_or(*(box_to_patches(box, (32, 56), (4, 7), (8, 8)) for box in boxes[1]))
    for layer, address in (("block_00", 0), ("block_01", 1)):
        maps = [m[0].mean(0).reshape(4, 7) for m in word_maps(record, list(record.cross_attention)[address])]
        energy = np.mean([energy_in_box(m, mask) for m in maps])
        found = word_grounding(record)[layer]
        assert found["energy"] == pytest.approx(energy) and found["lift"] == pytest.approx(energy / mask.mean())
        assert found["words"] == 7


def test_negative_cosines_are_no_evidence():
    record = text_record(5, dual=True)
    record.text.word_similarity[:] = -0.5
    found = word_grounding(record)["similarity"]
    assert found["energy"] == found["pointing"] == found["lift"] == 0


def test_portions_measure_what_the_whole_measures():
    record = flat(text_record(11))  # ties everywhere, decided by the example, not by its place in the portion
    portions = (record.take(rows) for rows in (range(4), range(4, 8), range(8, 11)))
    found, expected = word_grounding(portions), word_grounding(record)
    assert list(found) == list(expected) == ["block_00", "block_01"]
    for layer, row in expected.items():
        assert found[layer] == pytest.approx(row)


# ------------------------------------------------------------------------------------------ statistics of text towers


def test_entropy_of_padded_causal_and_crossing_rows():
    """T != S, padding queries, and causal rows that may attend to another number of keys each."""
    weights = np.full((2, 3, 5, 7), 1 / 7)
    weights[0, :, 3:] = np.eye(7)[0]  # padding queries of the first text: they must not count
    mask = np.array([[True] * 3 + [False] * 2, [True] * 5])
    np.testing.assert_allclose(entropy(weights, query_mask=mask), 1.0)
    assert entropy(weights)[0, 0] < 1
    causal = np.tri(5, dtype=bool)
    uniform = np.broadcast_to(causal / causal.sum(-1, keepdims=True), (2, 3, 5, 5))
    found = entropy(uniform, key_mask=causal[None], query_mask=mask)
    np.testing.assert_allclose(found, [[2 / 3] * 3, [4 / 5] * 3])  # a row with one key has entropy 0


def test_prefix_mass_and_sinks_of_crossing_rows_leave_padding_out():
    weights = np.full((1, 1, 3, 5), 0.1)
    weights[0, 0, :, 4] = [0.6, 0.6, 0.0]
    mask = np.array([[True, True, False]])
    assert sink_share(weights, query_mask=mask)[0, 0] == pytest.approx(0.6)
    assert prefix_mass(weights, 2, query_mask=mask)[0, 0] == pytest.approx(0.2)


# ---------------------------------------------------------------------------------------------- maps of each text token


@pytest.mark.parametrize("predicts_next", [True, False])
def test_maps_of_tokens_are_merged_to_words_at_their_own_place(predicts_next):
    record = text_record(5, predicts_next=predicts_next)
    shape = (*record.text.padding_mask.shape, record.token_layout.num_patches)
    maps = np.random.default_rng(2).uniform(size=shape).astype(np.float32)
    record = with_text(record, token_maps={"relevance": maps})
    for b, text in enumerate(record.text.texts):
        expected = [maps[b, list(word.tokens)].mean(0) for word in text.words]
        np.testing.assert_allclose(token_word_maps(record, "relevance")[b], expected, rtol=1e-6)
    with pytest.raises(ValueError, match="rollout"):
        token_word_maps(record, "rollout")


def test_maps_of_tokens_are_measured_on_the_boxes_of_their_words():
    record = text_record(5, predicts_next=True)
    shape = (*record.text.padding_mask.shape, record.token_layout.num_patches)
    knows, nothing = np.zeros(shape, np.float32), np.full(shape, 0.3, np.float32)
    for b, text in enumerate(record.text.texts):
        for word, boxes in zip(text.words, text.word_boxes, strict=True):
            if boxes is not None:
                knows[b, list(word.tokens)] = boxes_to_patches(record, boxes).ravel()
    record = with_text(record, token_maps={"relevance": knows, "rollout": nothing})
    found = word_grounding(record)
    assert list(found) == ["block_00", "block_01", "relevance", "rollout"]
    assert found["relevance"]["pointing"] == found["relevance"]["energy"] == 1
    assert found["rollout"]["lift"] == pytest.approx(1)
    assert found["relevance"]["words"] == found["block_00"]["words"]
    assert best_layer(found).startswith("Best on the boxes") and ": relevance, " in best_layer(found)
