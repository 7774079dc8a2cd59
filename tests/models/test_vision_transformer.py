"""The Vision Transformer against NumPy, its call contract, other image sizes, modes of execution, and its errors."""

import json

import keras
import numpy as np
import pytest

from tests import reference
from tests.backend import compiled, evaluated, parameters, randomize, to_numpy
from vitcross.models import VisionTransformer

SIZES = {"image_size": (24, 40), "patch_size": 8, "embed_dim": 33, "depth": 2, "num_heads": 3, "mlp_ratio": 2.0}
SIZES["num_classes"] = 7
RNG = np.random.default_rng(29)
IMAGES = RNG.uniform(-1, 1, size=(2, 24, 40, 3)).astype("float32")

OPTIONS = {
    "cls": {},
    "cls_registers_pre_norm": {"num_register_tokens": 2, "pre_norm": True, "gelu": "tanh"},
    "gap": {"pooling": "gap", "layer_scale_init": 0.5},
    "gap_class_token_registers": {"pooling": "gap", "class_token": True, "num_register_tokens": 3, "patch_bias": False},
    "map": {"pooling": "map", "qk_norm": True},
    "conv_map_registers": {"pooling": "map", "stem": "conv", "num_register_tokens": 2, "qkv_bias": False},
}
RANDOM = {"dropout_rate": 0.1, "attention_dropout_rate": 0.1, "drop_path_rate": 0.2, "patch_dropout_rate": 0.5}


@pytest.fixture(params=OPTIONS, ids=str)
def options(request):
    return OPTIONS[request.param]


def made(**options):
    return randomize(VisionTransformer(**{**SIZES, **options}))


@pytest.fixture(scope="module", params=OPTIONS, ids=str)
def model(request):
    """Of every choice of options one, for tests that change nothing of it."""
    return made(**OPTIONS[request.param])


def test_equals_the_reference(model):
    logits, weights = evaluated(lambda images: model(images, return_attention_scores=True), IMAGES)
    expected, expected_weights = reference.vision_transformer(
        IMAGES.astype("float64"),
        parameters(model),
        patch_size=model.patch_size,
        depth=2,
        num_heads=3,
        pooling=model.pooling,
        num_registers=model.num_register_tokens,
        form=model.gelu,
    )
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)
    assert list(weights) == list(expected_weights) == sorted(weights) == list(model.attention_addresses)
    for address, value in weights.items():
        np.testing.assert_allclose(value, expected_weights[address], rtol=1e-3, atol=1e-4)


def test_asking_for_weights_changes_no_bit(model):
    np.testing.assert_array_equal(to_numpy(model(IMAGES)), to_numpy(model(IMAGES, return_attention_scores=True)[0]))


def test_call_is_encode_and_classify(model):
    tokens, weights = model.encode(IMAGES, return_attention_scores=True)
    assert tuple(tokens.shape) == (2, model.token_layout_for().num_tokens, 33)
    logits, pooling_weights = model.classify(tokens, return_attention_scores=True)
    expected, expected_weights = model(IMAGES, return_attention_scores=True)
    np.testing.assert_array_equal(to_numpy(logits), to_numpy(expected))
    assert {**weights, **pooling_weights}.keys() == expected_weights.keys()
    assert bool(pooling_weights) == (model.pooling == "map")


def test_encoded_tokens_are_before_the_final_norm():
    model = made()
    tokens = model.encode(IMAGES)
    normed = to_numpy(model.norm(tokens))[:, 0]
    expected = reference.dense(normed, reference.below(parameters(model), "head"))
    np.testing.assert_allclose(to_numpy(model.classify(tokens)), expected, rtol=1e-3, atol=1e-4)


def test_without_classes_the_features_come_back():
    model = made(num_classes=None, pooling="gap")
    assert tuple(model(IMAGES).shape) == (2, 33)
    assert not any("head" in variable.path for variable in model.variables)


# Every layer is compiled with XLA in `tests/layers`: here two whole models, which have all kinds of them.
@pytest.mark.parametrize(
    ("model", "xla"),
    [*((name, False) for name in OPTIONS), ("cls_registers_pre_norm", True), ("conv_map_registers", True)],
    indirect=["model"],
)
def test_compiled_equals_eager(model, xla):
    function = compiled(lambda images: model(images, training=False, return_attention_scores=True), xla=xla)
    expected = to_numpy(model(IMAGES, return_attention_scores=True))
    keras.tree.map_structure(
        lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-3, atol=1e-4), to_numpy(function(IMAGES)), expected
    )


def test_mixed_precision_keeps_logits_and_weights_in_float32(options):
    exact = made(**options)
    mixed = made(**options, dtype="mixed_bfloat16")
    logits, weights = compiled(lambda images: mixed(images, return_attention_scores=True))(IMAGES)
    for tensor in (logits, *weights.values()):
        assert keras.backend.standardize_dtype(tensor.dtype) == "float32"
    for value in weights.values():
        np.testing.assert_allclose(to_numpy(value).sum(-1), 1.0, atol=1e-6)
    expected = evaluated(exact, IMAGES)
    np.testing.assert_allclose(to_numpy(logits), expected, rtol=0, atol=0.1 * np.abs(expected).max())
    assert {keras.backend.standardize_dtype(v.dtype) for v in mixed.trainable_variables} == {"float32"}


def test_config_round_trip(options):
    model = made(**options, **RANDOM)
    stored = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    copy = keras.saving.deserialize_keras_object(stored)
    assert copy.get_config() == model.get_config()
    assert [v.path for v in copy.variables] == [v.path for v in model.variables]
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(evaluated(copy, IMAGES), evaluated(model, IMAGES))


def test_variables_exist_at_once_under_sorted_paths():
    paths = [variable.path for variable in VisionTransformer(**SIZES, **RANDOM).variables]
    assert len(set(paths)) == len(paths)
    assert all(path.startswith("image_encoder/") for path in paths)
    blocks = [path.split("/")[2] for path in paths if "/block_" in path]
    assert blocks == sorted(blocks)
    assert not any("seed_generator_1" in path or "dense" in path for path in paths)


@pytest.mark.parametrize("size", [(40, 24), (64, 64), (16, 72)])
@pytest.mark.parametrize("position_embedding", ["learned", "sincos2d"])
def test_runs_at_other_image_sizes(size, position_embedding):
    model = made(position_embedding=position_embedding, num_register_tokens=1, embed_dim=24)
    images = RNG.uniform(-1, 1, size=(2, *size, 3)).astype("float32")
    layout = model.token_layout_for(size)
    assert (layout.grid, layout.num_prefix_tokens) == ((size[0] // 8, size[1] // 8), 2)
    _, weights = evaluated(lambda x: model(x, return_attention_scores=True), images)
    assert {tuple(value.shape) for value in weights.values()} == {(2, 3, layout.num_tokens, layout.num_tokens)}


def test_a_model_made_at_224_runs_at_384_and_at_224_by_320():
    model = VisionTransformer(image_size=224, num_classes=3, patch_size=16, embed_dim=12, depth=1, num_heads=1)
    for size in ((384, 384), (224, 320)):
        assert evaluated(model, np.zeros((1, *size, 3), "float32")).shape == (1, 3)
    assert model.token_layout_for((224, 320)).grid == (14, 20)


def test_conv_stem_rounds_28_up_to_4_by_4():
    model = VisionTransformer(**{**SIZES, "image_size": 28, "in_channels": 1, "stem": "conv", "pooling": "gap"})
    assert model.token_layout_for().grid == (4, 4)
    assert evaluated(model, np.zeros((2, 28, 28, 1), "float32")).shape == (2, 7)


def test_non_square_patches():
    model = VisionTransformer(**{**SIZES, "patch_size": (12, 5)})
    assert model.patch_size == (12, 5)
    assert model.token_layout_for().grid == (2, 8)
    assert evaluated(model, IMAGES).shape == (2, 7)


def test_learns_with_everything_random_switched_on():
    keras.utils.set_random_seed(5)
    model = VisionTransformer(**{**SIZES, "num_classes": 2, "depth": 1}, **RANDOM, pooling="map", stem="conv")
    labels = np.arange(16) % 2
    images = RNG.normal(size=(16, 24, 40, 3)).astype("float32") * 0.3 + (labels * 2.0 - 1)[:, None, None, None]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=False)
    history = model.fit(images, labels, epochs=8, batch_size=8, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert history[-1] < 0.5 * history[0]


def test_patch_dropout_shortens_the_sequence_in_training_only():
    model = made(patch_dropout_rate=0.5, num_register_tokens=1)
    _, weights = model(IMAGES, training=True, return_attention_scores=True)
    kept = 2 + round(15 * 0.5)
    assert {tuple(value.shape) for value in weights.values()} == {(2, 3, kept, kept)}
    _, weights = model(IMAGES, return_attention_scores=True)
    assert {tuple(value.shape) for value in weights.values()} == {(2, 3, 17, 17)}


def test_inference_moves_no_random_state():
    model = made(**RANDOM)
    before = [to_numpy(v.value) for v in model.non_trainable_variables]
    model(IMAGES, training=False, return_attention_scores=True)
    for old, variable in zip(before, model.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, to_numpy(variable.value))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": (30, 40)}, "image height 30, patch height 8"),
        ({"num_heads": 4}, "num_heads=4, embed_dim=33"),
        ({"pooling": "max"}, "Received: pooling='max'"),
        ({"pooling": "cls", "class_token": False}, "expected a class token with pooling='cls'"),
        ({"num_register_tokens": -1}, "num_register_tokens=-1"),
        ({"num_classes": 0}, "num_classes=0"),
        ({"depth": 0}, "depth=0"),
        ({"stem": "conv", "patch_size": 4}, "expected patch_size=8 with stem='conv'"),
        ({"position_embedding": "none"}, "Received: position_embedding='none'"),
        ({"gelu": "relu"}, "Received: gelu='relu'"),
        ({"dropout_rate": 1.5}, "rate=1.5"),
        ({"variant": "Z/3"}, "expected a size of Ti, S, B, L"),
    ],
)
def test_errors_of_options(options, message):
    with pytest.raises(ValueError, match=message):
        VisionTransformer(**{**SIZES, **options})


@pytest.mark.parametrize("shape", [(2, 24, 40, 1), (24, 40, 3)])
def test_images_of_another_shape(shape):
    with pytest.raises(ValueError, match=r"expected images \(B, H, W, 3\)"):
        made()(np.zeros(shape, "float32"))
