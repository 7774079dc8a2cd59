"""Interventions in a whole model: each does what it says, and leaving it out changes no bit."""

import keras
import numpy as np
import pytest

from tests import reference
from tests.backend import compiled, evaluated, gradient, parameters, randomize, to_numpy
from vitcross.layers import AttentionControls
from vitcross.models import VisionTransformer

RNG = np.random.default_rng(31)
IMAGES = RNG.uniform(-1, 1, size=(2, 24, 40, 3)).astype("float32")
# The same number in both examples, so that the kept tokens alone are a rectangular batch.
KEPT = np.zeros((2, 15), bool)
KEPT[0, [0, 3, 4, 7, 11, 14]] = True
KEPT[1, [1, 2, 6, 8, 9, 13]] = True


def made(pooling, **options):
    sizes = {"image_size": (24, 40), "patch_size": 8, "embed_dim": 33, "depth": 2, "num_heads": 3, "num_classes": 7}
    return randomize(VisionTransformer(**{**sizes, "num_register_tokens": 2, "pooling": pooling, **options}))


@pytest.fixture(scope="module", params=["cls", "gap", "map"])
def model(request):
    return made(request.param)


@pytest.mark.parametrize(
    "controls",
    [
        AttentionControls(),
        AttentionControls(addresses=(), query_rows=(1,)),
        AttentionControls(addresses=("image_encoder/block_01/self_attention",)),
    ],
    ids=["empty", "no_weights", "one_address"],
)
def test_controls_that_only_select_change_no_bit(model, controls):
    np.testing.assert_array_equal(to_numpy(model(IMAGES, attention_controls=controls)), to_numpy(model(IMAGES)))
    logits, weights = model(IMAGES, return_attention_scores=True, attention_controls=controls)
    np.testing.assert_array_equal(to_numpy(logits), to_numpy(model(IMAGES)))
    expected = model.attention_addresses if controls.addresses is None else controls.addresses
    assert tuple(weights) == tuple(expected)


def test_zero_offsets_and_unit_gates_change_no_bit(model):
    _, weights = model(IMAGES, return_attention_scores=True)
    controls = AttentionControls(
        weight_offsets={address: np.zeros(value.shape, "float32") for address, value in weights.items()},
        head_gates={address: np.ones(3, "float32") for address in weights},
    )
    np.testing.assert_array_equal(to_numpy(model(IMAGES, attention_controls=controls)), to_numpy(model(IMAGES)))


def test_dropped_patches_equal_the_reference(model):
    controls = AttentionControls(kept_patches=KEPT)
    logits, weights = evaluated(
        lambda images: model(images, return_attention_scores=True, attention_controls=controls), IMAGES
    )
    expected, expected_weights = reference.vision_transformer(
        IMAGES.astype("float64"),
        parameters(model),
        patch_size=(8, 8),
        depth=2,
        num_heads=3,
        pooling=model.pooling,
        num_registers=2,
        kept=KEPT,
    )
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)
    dropped = ~np.concatenate([np.ones((2, model.num_prefix_tokens), bool), KEPT], axis=1)
    for address, value in weights.items():
        np.testing.assert_allclose(value, expected_weights[address], rtol=1e-3, atol=1e-4)
        assert not (value * dropped[:, None, None, :]).any(), "dropped keys get exactly nothing, in every layer"


def test_dropping_by_mask_is_running_on_the_kept_tokens_alone(model):
    tokens = to_numpy(model.embed(IMAGES))
    prefix = model.num_prefix_tokens
    alone = np.stack(
        [np.concatenate([row[:prefix], row[prefix:][keep]]) for row, keep in zip(tokens, KEPT, strict=True)]
    )
    expected = to_numpy(model.classify(model.encode_tokens(alone)))
    masked = to_numpy(model(IMAGES, attention_controls=AttentionControls(kept_patches=KEPT)))
    np.testing.assert_allclose(masked, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(masked - to_numpy(model(IMAGES))).max() > 1e-2


def test_keeping_every_patch_is_the_plain_call(model):
    controls = AttentionControls(kept_patches=np.ones((2, 15), bool))
    np.testing.assert_allclose(
        to_numpy(model(IMAGES, attention_controls=controls)), to_numpy(model(IMAGES)), rtol=1e-4, atol=1e-5
    )


def test_pixels_of_dropped_patches_do_not_matter(model):
    layout, changed = model.token_layout_for(), IMAGES.copy()
    for example, patch in zip(*np.nonzero(~KEPT), strict=True):
        changed[example, *reference.pixels_of(patch, layout, model.patch_size)] = 0.5
    controls = AttentionControls(kept_patches=KEPT)
    np.testing.assert_allclose(
        to_numpy(model(changed, attention_controls=controls)),
        to_numpy(model(IMAGES, attention_controls=controls)),
        rtol=1e-5,
        atol=1e-6,
    )


def test_dropping_all_patches_gives_finite_logits(model):
    controls = AttentionControls(kept_patches=np.zeros((2, 15), bool))
    assert np.isfinite(to_numpy(model(IMAGES, attention_controls=controls))).all()


def test_without_prefix_dropping_all_patches_gives_finite_logits_and_gradients():
    bare = made("map", num_register_tokens=0)
    kept = np.zeros((2, 15), bool)
    kept[0, 3] = True

    def loss(images):
        return keras.ops.sum(bare(images, attention_controls=AttentionControls(kept_patches=kept)) ** 2)

    assert np.isfinite(gradient(loss, IMAGES)).all()


def test_prescribed_patches_take_the_place_of_patch_dropout():
    model = made("gap", patch_dropout_rate=0.5)
    controls = AttentionControls(kept_patches=KEPT)
    np.testing.assert_array_equal(
        to_numpy(model(IMAGES, training=True, attention_controls=controls)),
        to_numpy(model(IMAGES, training=False, attention_controls=controls)),
    )


def test_a_closed_gate_takes_the_head_out(model):
    address = "image_encoder/block_01/self_attention"
    gated = to_numpy(model(IMAGES, attention_controls=AttentionControls(head_gates={address: np.array([1, 0, 1.0])})))
    head = slice(11, 22)
    kernel = model.encoder.blocks[1].self_attention.output_projection.kernel
    original = to_numpy(kernel.value)
    without = original.copy()
    without[head] = 0
    kernel.assign(without)
    ablated = to_numpy(model(IMAGES))
    kernel.assign(original)
    np.testing.assert_allclose(gated, ablated, rtol=1e-4, atol=1e-5)
    assert np.abs(gated - to_numpy(model(IMAGES))).max() > 1e-3


def test_gradient_with_respect_to_the_weights_of_every_layer(model):
    for address, value in model(IMAGES, return_attention_scores=True)[1].items():

        def logit(offsets, address=address):
            return model(IMAGES, attention_controls=AttentionControls(weight_offsets={address: offsets}))[0, 3]

        result = gradient(logit, np.zeros(value.shape, "float32"))
        assert result.shape == tuple(value.shape)
        assert np.isfinite(result).all()
        assert np.abs(result[0]).max() > 0
        assert not result[1].any(), "the other example has no part in this logit"


def test_query_rows_are_those_rows(model):
    _, full = model(IMAGES, return_attention_scores=True)
    controls = AttentionControls(query_rows=(0, 5))
    _, rows = model(IMAGES, return_attention_scores=True, attention_controls=controls)
    for address, value in full.items():
        expected = to_numpy(value) if "pooling" in address else to_numpy(value)[:, :, [0, 5]]
        np.testing.assert_array_equal(to_numpy(rows[address]), expected)


def test_kept_patches_may_be_a_traced_tensor(model):
    function = compiled(lambda kept: model(IMAGES, attention_controls=AttentionControls(kept_patches=kept)))
    expected = to_numpy(model(IMAGES, attention_controls=AttentionControls(kept_patches=KEPT)))
    np.testing.assert_allclose(to_numpy(function(KEPT)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("argument", ["head_gates", "weight_offsets", "addresses"])
def test_addresses_that_do_not_exist_are_refused(model, argument):
    unknown = "image_encoder/block_7/self_attention"
    value = (unknown,) if argument == "addresses" else {unknown: np.ones(3, "float32")}
    with pytest.raises(ValueError, match=f"image_encoder/block_01/self_attention.*Received: {argument} .*block_7"):
        model(IMAGES, attention_controls=AttentionControls(**{argument: value}))


def test_kept_patches_of_another_shape_are_refused(model):
    with pytest.raises(ValueError, match=r"expected \(B, 15\). Received: kept_patches of shape \(2, 14\)"):
        model(IMAGES, attention_controls=AttentionControls(kept_patches=KEPT[:, :14]))
