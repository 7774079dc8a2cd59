"""Token embedding and the poolings of texts against NumPy; one token at a time equals all at once."""

import keras
import numpy as np
import pytest

from tests import reference
from tests.backend import below, evaluated, gradient, parameters, randomize, to_numpy
from vitcross.layers import AttentionPooling, MultiHeadAttention, TokenEmbedding, TransformerEncoder
from vitcross.layers.pooling import last_real_token

B, T, S, N, D, DC, V = 2, 5, 7, 3, 33, 13, 11
RNG = np.random.default_rng(23)
TOKENS = RNG.normal(size=(B, T, D)).astype("float32")
CONTEXT = RNG.normal(size=(B, S, DC)).astype("float32")
CLOSE = {"rtol": 1e-3, "atol": 1e-4}


def token_embedding(**options):
    layer = TokenEmbedding(**{"vocabulary_size": V, "max_length": S, "embed_dim": D, **options})
    layer.build()
    return randomize(layer)


def test_token_embedding():
    layer, ids = token_embedding(), np.array([[1, 5, 2, 0, 0], [1, 10, 10, 4, 2]])
    p = parameters(layer)
    expected = (np.stack([p["embeddings"][row] for row in ids]) + p["positions"][:T]) * np.sqrt(D)
    np.testing.assert_allclose(to_numpy(layer(ids)), expected, rtol=1e-6)
    np.testing.assert_allclose(to_numpy(layer(ids[:, 3:], position=3)), expected[:, 3:], rtol=1e-6)
    np.testing.assert_allclose(to_numpy(layer.logits(TOKENS)), TOKENS @ p["embeddings"].T, **CLOSE)


def test_logits_are_float32_in_mixed_precision():
    layer = token_embedding(dtype="mixed_bfloat16")
    assert keras.backend.standardize_dtype(layer(np.ones((B, T), "int32")).dtype) == "bfloat16"
    logits = layer.logits(keras.ops.cast(TOKENS, "bfloat16"))
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary_size": 0}, "vocabulary_size=0"),
        ({"max_length": -1}, "max_length=-1"),
        ({"embed_dim": 0}, "embed_dim=0"),
        ({"dropout_rate": 1.0}, "rate=1.0"),
    ],
)
def test_errors_of_options(options, message):
    with pytest.raises(ValueError, match=message):
        token_embedding(**options)


@pytest.mark.parametrize("shape", [(B, S + 1), (B,), (B, T, 1)])
def test_too_many_tokens(shape):
    with pytest.raises(ValueError, match=r"expected token_ids \(B, T\) with T <= max_length=7. Received: shape"):
        token_embedding()(np.ones(shape, "int32"))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow has sparse gradients")
def test_gradient_of_the_table_is_dense_and_counts_repeated_tokens():
    import tensorflow as tf

    layer = token_embedding()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(np.array([[3, 3, 5]])))
    result = tape.gradient(loss, layer.embeddings.value)
    assert isinstance(result, tf.Tensor)
    expected = np.bincount([3, 3, 5], minlength=V) * np.sqrt(D)
    np.testing.assert_allclose(to_numpy(result)[:, 0], expected, rtol=1e-6)


def test_last_real_token():
    mask = np.array([[1, 1, 0, 0, 0], [1, 0, 1, 1, 0]], bool)
    np.testing.assert_array_equal(to_numpy(last_real_token(TOKENS, mask)), TOKENS[[0, 1], [1, 3]])
    np.testing.assert_array_equal(to_numpy(last_real_token(TOKENS)), TOKENS[:, -1])
    np.testing.assert_array_equal(to_numpy(last_real_token(TOKENS, np.zeros((B, T), bool))), TOKENS[:, 0])
    grad = gradient(lambda tokens: keras.ops.sum(last_real_token(tokens, mask)), TOKENS)
    assert np.array_equal(np.argwhere(grad.any(-1)), [[0, 1], [1, 3]])


def test_pooling_each_token_is_pooling_it_alone():
    pooling = AttentionPooling(num_heads=N, mlp_ratio=2.0, qk_norm=True)
    pooling.build(TOKENS.shape)
    randomize(pooling)
    each = evaluated(pooling.pool_each, TOKENS)
    for t in range(T):
        expected, _ = reference.attention_pooling(TOKENS[:, t : t + 1], parameters(pooling), N)
        np.testing.assert_allclose(each[:, t], expected, **CLOSE)
        mask = np.zeros((B, T), bool)
        mask[:, t] = True
        np.testing.assert_allclose(each[:, t], to_numpy(pooling(TOKENS, padding_mask=mask)), **CLOSE)


@pytest.mark.parametrize("cross", [False, True], ids=["alone", "with_context"])
def test_decoding_token_by_token_equals_the_causal_call(cross):
    encoder = TransformerEncoder(
        depth=2, num_heads=N, mlp_ratio=2.0, qk_norm=True, layer_scale_init=0.5, cross_attention=cross, dropout_rate=0.5
    )
    context = CONTEXT if cross else None
    encoder.build(TOKENS.shape, CONTEXT.shape if cross else None)
    randomize(encoder)
    causal = np.tril(np.ones((1, T, T), bool))
    expected = evaluated(lambda tokens: encoder(tokens, context=context, attention_mask=causal), TOKENS)

    def decoded(tokens):
        places = T + 2  # more than there are tokens
        empty = keras.ops.zeros((B, N, places, D // N))
        keys_values, of_context = [(empty, empty)] * 2, encoder.project_context(context)
        outputs = []
        for position in range(T):
            token = tokens[:, position : position + 1]
            output, keys_values = encoder.decode(token, keys_values, of_context, position)
            outputs.append(output)
        return keras.ops.concatenate(outputs, axis=1)

    np.testing.assert_allclose(evaluated(decoded, TOKENS), expected, rtol=1e-4, atol=1e-5)


def test_keys_and_values_of_a_context():
    layer = MultiHeadAttention(num_heads=N)
    layer.build(TOKENS.shape, CONTEXT.shape)
    randomize(layer)
    both = reference.dense(CONTEXT, below(parameters(layer), "key_value"))
    for actual, part in zip(to_numpy(layer.project_context(CONTEXT)), np.split(both, 2, axis=-1), strict=True):
        np.testing.assert_allclose(actual, reference.split_heads(part, N), **CLOSE)
    alone = MultiHeadAttention(num_heads=N)
    alone.build(TOKENS.shape)
    with pytest.raises(ValueError, match="built for self-attention. Received: context"):
        alone.project_context(CONTEXT)
