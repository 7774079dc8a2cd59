"""Importance of heads against finite differences, and the ablation against a model without the head."""

import numpy as np
import pytest

from tests.backend import randomize, to_numpy
from tests.models import image_text
from vitcross.attention_maps.trust.head_importance import head_importance
from vitcross.attention_maps.trust.model_randomization import rank_correlation
from vitcross.layers import AttentionControls
from vitcross.models import VisionTransformer

BATCH = {"images": image_text.IMAGES, "token_ids": image_text.IDS, "padding_mask": image_text.REAL}
TARGET = np.array([2, 4, 2])


def classifier():
    sizes = {"image_size": (24, 40), "patch_size": 8, "embed_dim": 33, "depth": 2, "num_heads": 3, "num_classes": 7}
    model = randomize(VisionTransformer(**sizes, pooling="map", num_register_tokens=2, dropout_rate=0.4))
    model.head.kernel.assign(8 * to_numpy(model.head.kernel.value))
    return model


def probabilities(model, gates):
    logits = to_numpy(model(BATCH["images"], attention_controls=AttentionControls(head_gates=gates))).astype("float64")
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (exponentials / exponentials.sum(axis=1, keepdims=True))[np.arange(3), TARGET]


@pytest.fixture(scope="module")
def model():
    return classifier()


@pytest.fixture(scope="module")
def found(model):
    # Portions of 2 and 1 examples.
    return head_importance(model, BATCH, TARGET, portion=2)


def test_importance_is_the_derivative_of_the_loss_by_a_gate(model, found):
    assert {kind: table.shape for kind, table in found.importance.items()} == {
        "image_encoder/self_attention": (2, 3),
        "image_encoder/pooling": (1, 3),
    }
    step = 0.02
    for address in model.attention_addresses:
        slopes = []
        for head in range(3):
            losses = []
            for sign in (1, -1):
                gates = np.ones(3, "float32")
                gates[head] += sign * step
                losses.append(-np.log(probabilities(model, {address: gates})))
            slopes.append(np.abs((losses[0] - losses[1]) / (2 * step)).mean())
        place = address.split("/")[1]
        kind, row = ("pooling", 0) if place == "pooling" else ("self_attention", int(place[-2:]))
        expected = np.array(slopes) / np.linalg.norm(slopes)
        np.testing.assert_allclose(found.importance[f"image_encoder/{kind}"][row], expected, rtol=0.02, atol=0.01)


def test_the_check_closes_one_head_at_a_time(model, found):
    full = probabilities(model, {})
    for layer, head in ((0, 2), (1, 0)):
        gates = np.ones(3, "float32")
        gates[head] = 0
        closed = probabilities(model, {f"image_encoder/block_{layer:02d}/self_attention": gates})
        expected = (full - closed).mean()
        assert found.drop["image_encoder/self_attention"][layer, head] == pytest.approx(expected, abs=1e-5)
    assert -1 <= found.agreement["image_encoder/self_attention"] <= 1


def test_a_head_that_says_nothing_has_no_importance_and_rows_not_valid_no_part():
    model = classifier()
    kernel = model.encoder.blocks[1].self_attention.output_projection.kernel
    silent = to_numpy(kernel.value).copy()
    silent[11:22] = 0  # what the second head adds
    kernel.assign(silent)
    # Without a target: what the model says. Rows that are not valid have no part.
    some = head_importance(model, {**BATCH, "valid": np.array([True, False, True])})
    assert some.importance["image_encoder/self_attention"][1, 1] == pytest.approx(0, abs=1e-6)
    assert some.drop["image_encoder/self_attention"][1, 1] == pytest.approx(0, abs=1e-6)
    rows = {key: array[[0, 2]] for key, array in BATCH.items()}
    alone = head_importance(model, rows, to_numpy(model(rows["images"])).argmax(axis=1), ablate=False)
    for kind in alone.importance:
        np.testing.assert_allclose(some.importance[kind], alone.importance[kind], rtol=1e-4)
    assert alone.drop == alone.agreement == {}
    assert set(alone.to_json()) == {"importance", "drop", "agreement"}


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("dual_encoder", {"image_encoder/self_attention": (1, 3), "image_encoder/pooling": (1, 3)}),
        (
            "captioner",
            {
                "image_encoder/self_attention": (1, 3),
                "text_decoder/self_attention": (2, 3),
                "text_decoder/cross_attention": (2, 3),
            },
        ),
        (
            "question_answering",
            {
                "image_encoder/self_attention": (1, 3),
                "text_encoder/self_attention": (2, 3),
                "text_encoder/cross_attention": (2, 3),
            },
        ),
    ],
)
def test_every_image_text_model_has_its_tables(name, kinds):
    found = head_importance(getattr(image_text, name)(), BATCH, [1, 2, 1])
    assert {kind: table.shape for kind, table in found.importance.items()} == kinds
    assert {kind: table.shape for kind, table in found.drop.items()} == kinds
    for table in found.importance.values():
        np.testing.assert_allclose(np.linalg.norm(table, axis=1), 1, rtol=1e-6)
        assert (table >= 0).all()
    for kind, value in found.agreement.items():
        assert np.isfinite(value) and kind in kinds


def test_rank_agreement_is_spearmans():
    assert rank_correlation([[1, 2, 3, 4]], [[10, 30, 20, 40]])[0] == pytest.approx(0.8)
