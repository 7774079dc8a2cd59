"""Capturing from the image-text models: what they compute, in depth order, padding excluded, nothing changed."""

import keras
import numpy as np
import pytest

from tests.attention_maps.text_models import LENGTH, pairs, tiny_text_model
from vitcross.attention_maps import (
    AttentionRecord,
    Capture,
    Prediction,
    RelevanceExplainer,
    capture,
    sheets,
    statistics,
)
from vitcross.attention_maps.methods.cross_rollout import cross_raw_map, cross_rollout_map, token_rollout_maps
from vitcross.attention_maps.methods.rollout import meaning, methods_of, read_map
from vitcross.attention_maps.viewer.capture import describe

KINDS = ("dual", "captioner", "questions")


def numpy(value):
    return keras.ops.convert_to_numpy(value)


def inputs(batch):
    return {key: batch[key] for key in ("images", "token_ids", "padding_mask")}


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_holds_what_the_model_computes(kind):
    model = tiny_text_model(kind)
    batch, texts = pairs(3, questions=kind == "questions")
    record = capture(model, batch, step=3, texts=texts)
    weights = model(**inputs(batch), training=False, return_attention_scores=True)[-1]
    assert isinstance(record, AttentionRecord) and record.step == 3
    assert (*record.weights, *record.text.weights) == tuple(weights) == model.attention_addresses
    for address, found in {**record.weights, **record.text.weights}.items():
        np.testing.assert_allclose(found, numpy(weights[address]), atol=1e-6)
        assert found.dtype == np.float32
    for weights in record.text.self_attention.values():
        padding = ~record.text.padding_mask[:, None, None]
        assert np.all(weights * padding == 0)
        np.testing.assert_allclose(
            (weights.sum(-1) * record.text.padding_mask[:, None]).sum((1, 2)) / 2,
            record.text.padding_mask.sum(1),
            rtol=1e-5,
        )
    tokens = numpy(model.image_encoder.encode(batch["images"], training=False))
    np.testing.assert_allclose(record.token_norms, np.linalg.norm(tokens, axis=-1), rtol=1e-5)
    assert record.text.predicts_next == (kind == "captioner") and len(record.cross_attention) == (
        0 if kind == "dual" else 2
    )
    assert record.text.padding_mask.shape == (3, LENGTH) and [t.text for t in record.text.texts] == [
        t.text for t in texts
    ]
    assert list(record.example_index) == [100, 101, 102]


def test_similarity_is_the_cosine_of_the_model_s_embeddings():
    model = tiny_text_model("dual")
    batch, texts = pairs(3)
    record = capture(model, batch, texts=texts)
    patches = numpy(model.patch_embeddings(batch["images"]))
    text = numpy(model.encode_texts(batch["token_ids"], batch["padding_mask"]))
    words = numpy(model.word_embeddings(batch["token_ids"], batch["padding_mask"]))
    np.testing.assert_allclose(record.text.text_similarity, np.einsum("bpe,be->bp", patches, text), atol=1e-5)
    np.testing.assert_allclose(record.text.word_similarity, np.einsum("bpe,bte->btp", patches, words), atol=1e-5)
    assert np.abs(record.text.word_similarity).max() <= 1 + 1e-5


@pytest.mark.parametrize("pooling", ["gap", "map"])
def test_other_poolings_and_their_sheets(pooling):
    batch, texts = pairs(2)
    record = capture(tiny_text_model("dual", depth=1, pooling=pooling), batch, texts=texts)
    assert record.text.pooling == record.pooling == pooling
    assert (record.text.pooling_weights is not None) == (pooling == "map")
    assert {"attention/cross/similarity", "attention/self/text", "attention/self/overlay"} <= set(sheets(record))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_the_model_changes(kind):
    model = tiny_text_model(kind, depth=1)
    batch, texts = pairs(2, questions=kind == "questions")
    before = [np.array(v.value) for v in model.variables]
    found = [Capture(model)(batch, texts=texts) for _ in range(2)]
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(np.array(variable.value), value)
    for first, second in zip(*(record.text.weights.values() for record in found), strict=True):
        np.testing.assert_array_equal(first, second)


def test_rows_that_are_not_valid_are_left_out_with_their_texts():
    batch, texts = pairs(4)
    batch["valid"] = np.array([True, False, True, False])
    said = []

    def says(given):
        said.append(given)
        return [f"caption {k}" for k in range(4)]

    record = capture(tiny_text_model("captioner", depth=1), batch, texts=texts, describe_predictions=says)
    assert [text.text for text in record.text.texts] == [texts[0].text, texts[2].text]
    assert record.predictions == tuple(Prediction(f"caption {k}", texts[k].text) for k in (0, 2))
    assert said == [batch] and len(record.images) == len(record.text.padding_mask) == 2
    scalars, tables = statistics(record)
    assert 0 < scalars["attention_stats/cross_entropy/min"] <= scalars["attention_stats/cross_entropy/max"] <= 1
    assert tables["cross_entropy"].shape == (1, 2)


def test_predictions_of_their_own_and_none():
    batch, texts = pairs(2)
    model = Capture(tiny_text_model("captioner", depth=1))
    one, two = (text.text for text in texts)
    described = [("blue 97 %", "true: red", False), Prediction("red", two, True)]
    record = model(batch, texts=texts, describe_predictions=lambda _: described)
    assert record.predictions == (Prediction("blue 97 %", f"{one} (true: red)", False), Prediction("red", two, True))
    assert model(batch, texts=texts).predictions == tuple(Prediction(text.text) for text in texts)
    with pytest.raises(ValueError, match="2 pairs. Received: 1"):
        model(batch, texts=texts, describe_predictions=lambda _: ["one"])


def test_refuses_pairs_without_texts():
    batch, texts = pairs(2)
    model = Capture(tiny_text_model("captioner", depth=1))
    with pytest.raises(ValueError, match="`texts`.*Received: None"):
        model(batch)
    with pytest.raises(ValueError, match="Received: 1"):
        model(batch, texts=texts[:1])


@pytest.mark.parametrize(("kind", "pooling"), [("dual", "map"), ("captioner", None), ("questions", "gap")])
def test_a_capture_that_explains_holds_maps_through_both_towers_where_the_text_reads_the_image(kind, pooling):
    model = tiny_text_model(kind, pooling=pooling)
    batch, texts = pairs(3, questions=kind == "questions")
    batch["valid"] = np.array([True, False, True])
    answers = tuple(f"answer {k}" for k in range(7))
    plain, record = (Capture(model, explain)(batch, texts=texts, class_names=answers) for explain in (False, True))
    assert not (plain.maps or plain.text.token_maps or plain.text.text_maps or plain.targets)
    for address, weights in {**plain.weights, **plain.text.weights}.items():
        np.testing.assert_array_equal(weights, {**record.weights, **record.text.weights}[address])
    target, names = model.choose_target(
        texts=texts,
        class_names=answers,
        logits=numpy(model(**inputs(batch), training=False)) if kind == "questions" else None,
    )
    assert record.targets == (names[0], names[2])
    found = RelevanceExplainer(model).explain(batch, target)
    # A dual encoder has no map through both towers: raw and rollout are read from the weights of its image tower.
    both = [] if kind == "dual" else ["raw", "rollout"]
    assert list(record.maps) == [*both, "relevance"] and list(record.text.text_maps) == ["relevance"]
    assert methods_of(record) == ("raw", "rollout", "relevance")
    assert describe(record)["composed"] == both and describe(record)["methods"] == ["raw", "rollout", "relevance"]
    assert {meaning(m, record.maps) == "through both towers" for m in ("raw", "rollout")} == {kind != "dual"}
    np.testing.assert_array_equal(record.maps["relevance"], found.image[[0, 2]])
    np.testing.assert_array_equal(record.text.text_maps["relevance"], found.text[[0, 2]])
    np.testing.assert_allclose(read_map(record, "raw"), cross_raw_map(plain, target[[0, 2]]), rtol=1e-6)
    np.testing.assert_allclose(read_map(record, "rollout"), cross_rollout_map(plain, target[[0, 2]]), rtol=1e-6)
    if kind == "dual":
        assert record.text.token_maps == {} and record.targets == ("match", "match")
    else:
        assert list(record.text.token_maps) == ["relevance", "rollout"]
        np.testing.assert_array_equal(record.text.token_maps["relevance"], found.tokens[[0, 2]])
        np.testing.assert_allclose(record.text.token_maps["rollout"], token_rollout_maps(plain), rtol=1e-6)
    assert {"attention/self/overlay"} <= set(sheets(record))


def test_a_word_by_name_and_no_map_of_each_token():
    batch, texts = pairs(2)
    word = next(word for word in texts[0].words if word.text in {w.text for w in texts[1].words})
    captures = Capture(tiny_text_model("captioner", depth=1), explain=True)
    record = captures(batch, texts=texts, target=word.text, every_token=False)
    assert record.targets == (word.text, word.text) and record.text.token_maps == {}
    whole = captures(batch, texts=texts, target=word.text)
    np.testing.assert_array_equal(record.maps["relevance"], whole.maps["relevance"])
    np.testing.assert_array_equal(
        whole.maps["relevance"][0], whole.text.token_maps["relevance"][0, word.tokens[0]], err_msg="its own place"
    )
    with pytest.raises(ValueError, match="a word of the caption"):
        captures(batch, texts=texts, target="zebra")
