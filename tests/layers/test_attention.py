"""Multi-head attention against NumPy: self and cross, masks, qk_norm, dropout, gradients."""

import keras
import numpy as np
import pytest

from tests import reference
from tests.backend import gradient, parameters, randomize, to_numpy
from vitcross.layers import MultiHeadAttention, dot_product_attention_weights

B, T, S, N, D, DC = 2, 5, 7, 3, 33, 13
RNG = np.random.default_rng(11)
QUERY = RNG.normal(size=(B, T, D)).astype("float32")
CONTEXT = RNG.normal(size=(B, S, DC)).astype("float32")
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def attention(*, cross=False, **options):
    layer = MultiHeadAttention(num_heads=N, **options)
    layer.build(QUERY.shape, CONTEXT.shape if cross else None)
    return randomize(layer)


def check(layer, context, mask=None, **arguments):
    """The layer's output and weights equal the reference's; returns the weights."""
    output, weights = to_numpy(layer(QUERY, context=context, return_attention_scores=True, **arguments))
    expected, expected_weights = reference.multi_head_attention(QUERY, context, parameters(layer), N, mask)
    np.testing.assert_allclose(output, expected, **CLOSE)
    np.testing.assert_allclose(weights, expected_weights, **CLOSE)
    return weights


@pytest.mark.parametrize("qk_norm", [False, True])
@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("qkv_bias", [False, True])
def test_equals_the_reference(cross, qk_norm, qkv_bias):
    weights = check(attention(cross=cross, qk_norm=qk_norm, qkv_bias=qkv_bias), CONTEXT if cross else None)
    assert weights.shape == (B, N, T, S if cross else T)
    np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=1e-6)


def test_padding_mask_gives_exact_zeros():
    padding_mask = RNG.random((B, S)) > 0.4
    weights = check(attention(cross=True), CONTEXT, padding_mask[:, None, None, :], padding_mask=padding_mask)
    assert not weights[~np.broadcast_to(padding_mask[:, None, None, :], weights.shape)].any()


def test_causal_mask():
    mask = np.tril(np.ones((1, T, T), bool))
    weights = check(attention(), None, mask[:, None], attention_mask=mask)
    assert not weights[..., 0, 1:].any()


def test_mask_of_rank_four_may_differ_by_head():
    mask = RNG.random((B, N, T, S)) > 0.5
    check(attention(cross=True), CONTEXT, mask, attention_mask=mask)


def test_both_masks_are_combined():
    padding_mask, mask = RNG.random((B, T)) > 0.3, np.tril(np.ones((1, T, T), bool))
    both = mask[:, None] & padding_mask[:, None, None, :]
    check(attention(), None, both, attention_mask=mask, padding_mask=padding_mask)


def test_fully_masked_rows_are_zero_and_their_gradient_finite():
    layer = attention(cross=True)
    padding_mask = np.ones((B, S), bool)
    padding_mask[1] = False
    output, weights = to_numpy(layer(QUERY, context=CONTEXT, padding_mask=padding_mask, return_attention_scores=True))
    assert not weights[1].any()
    np.testing.assert_allclose(output[1], np.broadcast_to(parameters(layer)["output/bias"], (T, D)), rtol=1e-6)
    for argument in ("query", "context"):

        def loss(array, argument=argument):
            inputs = {"query": QUERY, "context": CONTEXT, argument: array}
            return keras.ops.sum(keras.ops.square(layer(**inputs, padding_mask=padding_mask)))

        result = gradient(loss, QUERY if argument == "query" else CONTEXT)
        assert np.isfinite(result).all()
        assert result[0].any()
        assert not result[1].any()


def test_pure_weights_equal_the_reference():
    query, key = RNG.normal(size=(B, N, T, 11)), RNG.normal(size=(B, N, S, 11))
    mask = RNG.random((B, 1, T, S)) > 0.5
    mask[0, 0, 2] = False
    actual = to_numpy(dot_product_attention_weights(query.astype("float32"), key.astype("float32"), mask))
    np.testing.assert_allclose(actual, reference.attention_weights(query, key, mask), **CLOSE)
    assert not actual[0, :, 2].any()


def test_softmax_is_float32_under_bfloat16():
    query = keras.ops.cast(RNG.normal(size=(B, N, T, 11)), "bfloat16")
    weights = dot_product_attention_weights(query, query)
    assert keras.backend.standardize_dtype(weights.dtype) == "float32"
    np.testing.assert_allclose(to_numpy(weights).sum(-1), 1.0, atol=1e-6)


def test_large_logits_do_not_overflow():
    query = np.full((1, 1, 2, 3), 1e4, "float32")
    weights = to_numpy(dot_product_attention_weights(query, query, np.array([[True, False], [False, False]])))
    np.testing.assert_array_equal(weights[0, 0], [[1, 0], [0, 0]])


def test_returned_weights_are_before_dropout_and_the_output_after():
    keras.utils.set_random_seed(3)
    layer = attention(attention_dropout_rate=0.5)
    still = to_numpy(layer(QUERY, return_attention_scores=True, training=False))
    dropped = to_numpy(layer(QUERY, return_attention_scores=True, training=True))
    np.testing.assert_array_equal(dropped[1], still[1])
    assert np.abs(dropped[0] - still[0]).max() > 1e-3


def test_asking_for_weights_changes_no_bit():
    layer = attention(cross=True)
    alone = to_numpy(layer(QUERY, context=CONTEXT))
    np.testing.assert_array_equal(alone, to_numpy(layer(QUERY, context=CONTEXT, return_attention_scores=True))[0])


def test_every_bias_is_one_dimensional_and_every_kernel_two():
    for variable in attention(cross=True).trainable_variables:
        assert len(variable.shape) == (1 if variable.path.endswith("bias") else 2)


def test_fused_kernels_start_as_if_they_were_apart():
    layer = MultiHeadAttention(num_heads=2)
    layer.build((None, None, 64))
    kernel = to_numpy(layer.query_key_value_projection.kernel.value)
    assert 0.95 * np.sqrt(6 / 128) < np.abs(kernel).max() <= np.sqrt(6 / 128)


def test_symbolic_weights_have_the_length_of_the_context():
    layer = attention(cross=True)
    inputs = keras.KerasTensor((None, T, D)), keras.KerasTensor((None, S, DC))
    output, weights = layer(inputs[0], context=inputs[1], return_attention_scores=True)
    assert output.shape == (None, T, D)
    assert weights.shape == (None, N, T, S)
    assert weights.dtype == "float32"


def test_builds_itself_on_first_call():
    layer = MultiHeadAttention(num_heads=N)
    assert layer(QUERY, context=CONTEXT).shape == (B, T, D)
    assert layer.is_cross_attention


@pytest.mark.parametrize(
    ("cross", "arguments", "message"),
    [
        (False, {"context": CONTEXT}, r"built for self-attention. Received: context of shape \(2, 7, 13\)"),
        (True, {}, "needs a context. Received: no context"),
        (False, {"attention_mask": np.ones((T, T), bool)}, r"expected \(B, T, S\) or \(B, N, T, S\)"),
        (False, {"padding_mask": np.ones((B, 1, T), bool)}, r"expected \(B, S\)"),
    ],
)
def test_errors_name_what_is_wrong(cross, arguments, message):
    with pytest.raises(ValueError, match=message):
        attention(cross=cross)(QUERY, **arguments)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="num_heads=5, embed_dim=33"):
        MultiHeadAttention(num_heads=5).build((None, None, D))
    with pytest.raises(ValueError, match="num_heads=0"):
        MultiHeadAttention(num_heads=0)
