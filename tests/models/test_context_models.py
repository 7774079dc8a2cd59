"""Captioner and question answering against NumPy: the text reads all image tokens after the final norm."""

import numpy as np
import pytest

from tests import reference
from tests.backend import below, evaluated, parameters, to_numpy
from tests.models.image_text import HEADS, IDS, IMAGES, REAL, T, V, captioner, question_answering
from tests.models.text_reference import text_transformer
from vitcross.layers import AttentionControls

KEPT = np.zeros((3, 15), bool)
KEPT[0, [0, 3, 4]] = KEPT[1, 5:] = KEPT[2, ::2] = True
CLOSE = {"rtol": 1e-3, "atol": 1e-3}


def context(model, kept):
    """The image tower's tokens after its final norm, from its blocks in NumPy on the model's own embedding."""
    encoder = model.image_encoder
    p = parameters(encoder)
    tokens = to_numpy(encoder.embed(IMAGES)).astype("float64")
    mask = np.concatenate([np.ones((3, encoder.num_prefix_tokens), bool), kept], axis=1)
    tokens, weights = reference.encoder(tokens, below(p, "encoder"), encoder.depth, HEADS, mask[:, None, None])
    return reference.layer_norm(tokens, below(p, "norm")), mask, weights


def check(model, tower, kept, finish):
    controls = None if kept is None else AttentionControls(kept_patches=kept)

    def call(images):
        return model(
            images, token_ids=IDS, padding_mask=REAL, return_attention_scores=True, attention_controls=controls
        )

    logits, weights = evaluated(call, IMAGES)
    tokens, mask, _ = context(model, np.ones((3, 15), bool) if kept is None else kept)
    features, expected = text_transformer(
        IDS,
        parameters(tower),
        depth=2,
        num_heads=HEADS,
        name=tower.name,
        causal=tower.causal,
        pooling=tower.pooling,
        real=REAL,
        context=tokens,
        kept=mask,
    )
    np.testing.assert_allclose(logits, finish(features), **CLOSE)
    for address, value in expected.items():
        np.testing.assert_allclose(weights[address], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kept", [None, KEPT], ids=["all", "kept"])
@pytest.mark.parametrize("tie", [True, False], ids=["tied", "untied"])
def test_captioner(tie, kept):
    model = captioner(tie_embeddings=tie)
    if tie:
        check(model, model.text_decoder, kept, lambda x: x @ parameters(model.text_decoder)["embedding/embeddings"].T)
    else:
        check(model, model.text_decoder, kept, lambda x: reference.dense(x, head(model)))


@pytest.mark.parametrize("kept", [None, KEPT], ids=["all", "kept"])
@pytest.mark.parametrize("pooling", ["eos", "gap", "map"])
def test_question_answering(pooling, kept):
    model = question_answering({"pooling": "cls"}, {"pooling": pooling})
    check(model, model.text_encoder, kept, lambda x: reference.dense(x, head(model)))


def head(model):
    return {name: to_numpy(getattr(model.head, name).value).astype("float64") for name in ("kernel", "bias")}


def test_a_later_token_changes_no_logit_before_it():
    model = captioner()
    before = to_numpy(model(IMAGES, token_ids=IDS))
    for t in range(1, T):
        changed = IDS.copy()
        changed[:, t] = (changed[:, t] + 1) % V
        after = to_numpy(model(IMAGES, token_ids=changed))
        np.testing.assert_array_equal(after[:, :t], before[:, :t])
        assert np.abs(after[:, t] - before[:, t]).max() > 0


def test_the_image_matters():
    for model in (captioner(), question_answering()):
        logits = to_numpy(model(IMAGES, token_ids=IDS, padding_mask=REAL))
        other = to_numpy(model(IMAGES[::-1].copy(), token_ids=IDS, padding_mask=REAL))
        assert np.abs(logits - other)[[0, 2]].max() > 1e-3
        np.testing.assert_allclose(logits[1], other[1], rtol=1e-4, atol=1e-5)


def test_context_of_the_captioner():
    model = captioner()
    tokens, mask = model.encode_images(IMAGES)
    assert tuple(tokens.shape) == (3, 17, 15), "the registers are part of it"
    assert mask is None
    _, mask = model.encode_images(IMAGES, attention_controls=AttentionControls(kept_patches=KEPT))
    np.testing.assert_array_equal(to_numpy(mask)[:, 2:], KEPT)
    np.testing.assert_array_equal(to_numpy(mask)[:, :2], True)
