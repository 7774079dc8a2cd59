"""What holds for every layer: configuration, the same numbers in every mode, mixed precision, symbolic shapes."""

import inspect
import json

import keras
import numpy as np
import pytest

from tests.backend import compiled, randomize, to_numpy
from vitcross import layers
from vitcross.layers.configured import Configured
from vitcross.options.fields import names

IMAGE = (2, 24, 16, 3)
TOKENS = (2, 7, 33)
CONTEXT = (2, 5, 13)

# name -> (class, options, shapes of the tensors of a call, other call arguments)
CASES = {
    "linear_patches": (layers.PatchEmbedding, {"patch_size": (3, 2), "embed_dim": 11}, {"images": IMAGE}, {}),
    "conv_stem": (
        layers.PatchEmbedding,
        {"patch_size": 8, "embed_dim": 11, "stem": "conv", "stem_depths": (2, 1, 3)},
        {"images": IMAGE},
        {},
    ),
    "learned_positions": (
        layers.PositionEmbedding,
        {"grid": (3, 2), "num_prefix_positions": 1},
        {"tokens": TOKENS},
        {},
    ),
    "resampled_positions": (
        layers.PositionEmbedding,
        {"grid": (5, 3), "num_prefix_positions": 1, "interpolation": "bilinear"},
        {"tokens": TOKENS},
        {"grid": (2, 3)},
    ),
    "sincos_positions": (
        layers.PositionEmbedding,
        {"grid": (7, 1), "method": "sincos2d"},
        {"tokens": (2, 7, 44)},
        {},
    ),
    "token_embedding": (
        layers.TokenEmbedding,
        {"vocabulary_size": 5, "max_length": 11, "embed_dim": 33, "dropout_rate": 0.1},
        {"token_ids": (2, 7)},
        {"position": 3},
    ),
    "prefix": (layers.PrefixTokens, {"num_tokens": 3, "position": 1}, {"tokens": TOKENS}, {}),
    "self_attention": (
        layers.MultiHeadAttention,
        {"num_heads": 3, "qk_norm": True, "attention_dropout_rate": 0.1},
        {"query": TOKENS},
        {"return_attention_scores": True},
    ),
    "cross_attention": (
        layers.MultiHeadAttention,
        {"num_heads": 3, "qkv_bias": False, "layer_norm_epsilon": 1e-5},
        {"query": TOKENS, "context": CONTEXT},
        {"return_attention_scores": True},
    ),
    "mlp": (layers.MLP, {"hidden_dim": 13, "gelu": "tanh", "dropout_rate": 0.3}, {"tokens": TOKENS}, {}),
    "dropout": (layers.Dropout, {"rate": 0.3, "seed": 5}, {"inputs": TOKENS}, {}),
    "drop_path": (layers.DropPath, {"rate": 0.3, "seed": 5}, {"branch": TOKENS}, {}),
    "layer_scale": (layers.LayerScale, {"init": 0.3}, {"branch": TOKENS}, {}),
    "patch_dropout": (
        layers.PatchDropout,
        {"rate": 0.5, "num_prefix_tokens": 2, "seed": 5},
        {"tokens": TOKENS},
        {},
    ),
    "block": (
        layers.TransformerBlock,
        {"num_heads": 3, "mlp_ratio": 2.5, "layer_scale_init": 0.5, "drop_path_rate": 0.2, "dropout_rate": 0.1},
        {"tokens": TOKENS},
        {"return_attention_scores": True},
    ),
    "cross_block": (
        layers.TransformerBlock,
        {"num_heads": 3, "cross_attention": True, "qk_norm": True, "gelu": "tanh"},
        {"tokens": TOKENS, "context": CONTEXT},
        {"return_attention_scores": True},
    ),
    "encoder": (
        layers.TransformerEncoder,
        {"depth": 3, "num_heads": 3, "mlp_ratio": 2.0, "drop_path_rate": 0.2, "attention_dropout_rate": 0.1},
        {"tokens": TOKENS},
        {"return_attention_scores": True},
    ),
    "attention_pooling": (
        layers.AttentionPooling,
        {"num_heads": 3, "mlp_ratio": 2.0, "qk_norm": True},
        {"tokens": TOKENS},
        {"return_attention_scores": True},
    ),
    "image_embedding": (
        layers.ImageEmbedding,
        {"image_size": (24, 32), "patch_size": 8, "embed_dim": 11, "num_register_tokens": 2, "pre_norm": True},
        {"images": IMAGE},
        {},
    ),
}


@pytest.fixture(params=CASES, ids=str)
def case(request):
    """(class, options, inputs, other call arguments)."""
    layer_class, options, shapes, arguments = CASES[request.param]
    rng = np.random.default_rng(7)
    inputs = {
        name: rng.integers(5, size=shape) if name == "token_ids" else rng.normal(size=shape).astype("float32")
        for name, shape in shapes.items()
    }
    return layer_class, options, inputs, arguments


def built(layer_class, options, inputs, **more):
    layer = layer_class(**options, **more)
    layer.build(*(array.shape for array in inputs.values()))
    return randomize(layer)


def call(layer, inputs, arguments):
    return layer(**inputs, **arguments, training=False) if accepts_training(layer) else layer(**inputs, **arguments)


def accepts_training(layer):
    return "training" in inspect.signature(layer.call).parameters


def assert_close(actual, expected, **tolerance):
    keras.tree.map_structure(lambda a, e: np.testing.assert_allclose(a, e, **tolerance), actual, expected)


def test_every_exported_layer_has_a_case():
    exported = {value for value in vars(layers).values() if inspect.isclass(value)}
    exported = {value for value in exported if issubclass(value, keras.layers.Layer)}
    assert exported == {case[0] for case in CASES.values()}


def test_config_round_trip(case):
    layer_class, options, inputs, arguments = case
    layer = built(*case[:3], name="layer_under_test")
    stored = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    copy = keras.saving.deserialize_keras_object(stored)
    assert type(copy) is layer_class
    assert copy.get_config() == layer.get_config()
    if not copy.built:
        copy.build(*(array.shape for array in inputs.values()))
    assert [v.path for v in copy.variables] == [v.path for v in layer.variables]
    copy.set_weights(layer.get_weights())
    assert_close(to_numpy(call(copy, inputs, arguments)), to_numpy(call(layer, inputs, arguments)), rtol=0, atol=0)


def test_every_option_is_in_the_config(case):
    layer = case[0](**case[1])
    if isinstance(layer, Configured):
        options = set(names(layer.OPTIONS))
    else:
        arguments = inspect.signature(type(layer).__init__).parameters.values()
        options = {argument.name for argument in arguments if argument.kind is argument.KEYWORD_ONLY}
    assert options == set(layer.get_config()) - {"name", "trainable", "dtype"}


def test_an_unknown_option_is_named(case):
    if issubclass(case[0], Configured):
        first = next(iter(case[1]))
        with pytest.raises(ValueError, match=f"there is no option '{first}s'. Did you mean '{first}'?"):
            case[0](**case[1], **{f"{first}s": 1})


@pytest.mark.parametrize("xla", [False, True], ids=["graph", "xla"])
def test_compiled_equals_eager(case, xla):
    layer_class, options, inputs, arguments = case
    layer = built(layer_class, options, inputs)
    function = compiled(lambda tensors: call(layer, tensors, arguments), xla=xla)
    assert_close(to_numpy(function(inputs)), to_numpy(call(layer, inputs, arguments)), rtol=1e-4, atol=1e-5)


def test_mixed_precision(case):
    layer_class, options, inputs, arguments = case
    exact = built(layer_class, options, inputs)
    mixed = built(layer_class, options, inputs, dtype="mixed_bfloat16")
    assert {keras.backend.standardize_dtype(v.dtype) for v in mixed.trainable_variables} <= {"float32"}
    expected, actual = call(exact, inputs, arguments), call(mixed, inputs, arguments)
    output = actual[0] if isinstance(actual, tuple) else actual
    assert keras.backend.standardize_dtype(output.dtype) == "bfloat16"
    if isinstance(actual, tuple):
        for weights in keras.tree.flatten(actual[1]):
            assert keras.backend.standardize_dtype(weights.dtype) == "float32"
            np.testing.assert_allclose(to_numpy(weights).sum(-1), 1.0, atol=1e-6)
    scale = np.abs(to_numpy(expected[0] if isinstance(expected, tuple) else expected)).max()
    assert_close(to_numpy(actual), to_numpy(expected), rtol=0, atol=0.06 * max(1.0, scale))


def test_symbolic_shapes_are_the_real_ones(case):
    layer_class, options, inputs, arguments = case
    layer = built(layer_class, options, inputs)
    symbolic = {
        name: keras.KerasTensor((None, *array.shape[1:]), dtype=str(array.dtype)) for name, array in inputs.items()
    }
    real = to_numpy(call(layer, inputs, arguments))
    promised = call(layer, symbolic, arguments)
    keras.tree.map_structure(lambda p, r: _assert_same_shape(p.shape, r.shape), promised, real)


def _assert_same_shape(promised, real):
    assert len(promised) == len(real)
    assert all(p in (None, r) for p, r in zip(promised, real, strict=True)), (promised, real)
    assert tuple(promised[1:]) == tuple(real[1:])


def test_gradients_reach_every_weight_and_are_finite(case):
    layer_class, options, inputs, arguments = case
    if not built(layer_class, options, inputs).trainable_variables:
        pytest.skip("no weights")
    layer = built(layer_class, options, inputs)
    model_output = _loss_and_gradients(layer, inputs, arguments)
    for variable, gradient in zip(layer.trainable_variables, model_output, strict=True):
        assert gradient is not None, variable.path
        assert np.isfinite(gradient).all(), variable.path


def _loss_and_gradients(layer, inputs, arguments):
    def loss_of(result):
        output = result[0] if isinstance(result, tuple) else result
        return keras.ops.sum(keras.ops.square(output))

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = loss_of(call(layer, inputs, arguments))
        return [
            g if g is None else to_numpy(g) for g in tape.gradient(loss, [v.value for v in layer.trainable_variables])
        ]
    if keras.backend.backend() == "jax":
        import jax

        fixed = [v.value for v in layer.non_trainable_variables]
        options = {**arguments, "training": False} if accepts_training(layer) else arguments

        def loss(trainable):
            return loss_of(layer.stateless_call(trainable, fixed, **inputs, **options)[0])

        return to_numpy(jax.jit(jax.grad(loss))([v.value for v in layer.trainable_variables]))
    loss_of(call(layer, inputs, arguments)).backward()
    return [to_numpy(v.value.grad) for v in layer.trainable_variables]
