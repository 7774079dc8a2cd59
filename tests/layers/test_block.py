"""Blocks, encoders, perceptron, LayerScale and attention pooling against NumPy."""

import numpy as np
import pytest

from tests import reference
from tests.backend import parameters, randomize, to_numpy
from vitcross.layers import MLP, AttentionPooling, TransformerBlock, TransformerEncoder
from vitcross.layers.encoder import block_names
from vitcross.layers.pooling import mean_of_tokens

B, T, S, N, D, DC = 2, 5, 7, 3, 33, 13
RNG = np.random.default_rng(17)
TOKENS = RNG.normal(size=(B, T, D)).astype("float32")
CONTEXT = RNG.normal(size=(B, S, DC)).astype("float32")
CLOSE = {"rtol": 1e-3, "atol": 1e-4}


@pytest.mark.parametrize("form", ["erf", "tanh"])
def test_mlp(form):
    mlp = MLP(hidden_dim=13, gelu=form)
    mlp.build(TOKENS.shape)
    randomize(mlp)
    np.testing.assert_allclose(
        to_numpy(mlp(TOKENS)), reference.mlp(TOKENS, parameters(mlp), form), rtol=1e-4, atol=2e-5
    )


def test_the_two_forms_of_gelu_differ():
    x = np.linspace(-4, 4, 17)
    assert np.abs(reference.gelu(x) - reference.gelu(x, "tanh")).max() > 1e-4
    with pytest.raises(ValueError, match="Received: gelu='swish'"):
        MLP(hidden_dim=3, gelu="swish")


@pytest.mark.parametrize("layer_scale_init", [None, 0.5])
def test_block(layer_scale_init):
    block = TransformerBlock(num_heads=N, mlp_ratio=2.0, layer_scale_init=layer_scale_init, qk_norm=True)
    block.build(TOKENS.shape)
    randomize(block)
    padding_mask = np.array([[1, 1, 0, 1, 0], [1, 0, 1, 1, 1]], bool)
    output, weights = to_numpy(block(TOKENS, padding_mask=padding_mask, return_attention_scores=True))
    expected, expected_weights = reference.block(TOKENS, parameters(block), N, mask=padding_mask[:, None, None])
    np.testing.assert_allclose(output, expected, **CLOSE)
    np.testing.assert_allclose(weights["self_attention"], expected_weights["self_attention"], **CLOSE)


def test_block_with_cross_attention():
    block = TransformerBlock(num_heads=N, mlp_ratio=2.0, cross_attention=True, layer_scale_init=0.5, gelu="tanh")
    block.build(TOKENS.shape, CONTEXT.shape)
    randomize(block)
    causal = np.tril(np.ones((1, T, T), bool))
    context_mask = np.array([[1, 1, 0, 1, 0, 1, 1], [1, 0, 1, 1, 1, 1, 0]], bool)
    output, weights = to_numpy(
        block(TOKENS, context=CONTEXT, attention_mask=causal, context_mask=context_mask, return_attention_scores=True)
    )
    expected, expected_weights = reference.block(
        TOKENS, parameters(block), N, CONTEXT, causal[:, None], context_mask[:, None, None], form="tanh"
    )
    np.testing.assert_allclose(output, expected, **CLOSE)
    assert weights["cross_attention"].shape == (B, N, T, S)
    for kind in ("self_attention", "cross_attention"):
        np.testing.assert_allclose(weights[kind], expected_weights[kind], **CLOSE)


def test_a_context_is_never_ignored():
    plain = TransformerBlock(num_heads=N)
    with pytest.raises(ValueError, match=r"expected no context with cross_attention=False. Received: context of shape"):
        plain.build(TOKENS.shape, CONTEXT.shape)
    plain.build(TOKENS.shape)
    with pytest.raises(ValueError, match="expected no context"):
        plain(TOKENS, context=CONTEXT)
    crossed = TransformerBlock(num_heads=N, cross_attention=True)
    crossed.build(TOKENS.shape, CONTEXT.shape)
    with pytest.raises(ValueError, match="expected a context with cross_attention=True. Received: no context"):
        crossed(TOKENS)


def test_encoder():
    encoder = TransformerEncoder(depth=3, num_heads=N, mlp_ratio=2.0)
    encoder.build(TOKENS.shape)
    randomize(encoder)
    output, weights = to_numpy(encoder(TOKENS, return_attention_scores=True))
    expected, expected_weights = reference.encoder(TOKENS, parameters(encoder), 3, N)
    np.testing.assert_allclose(output, expected, **CLOSE)
    assert list(weights) == list(expected_weights) == list(encoder.attention_addresses)
    for address, value in weights.items():
        np.testing.assert_allclose(value, expected_weights[address], **CLOSE)


def test_encoder_with_context_lists_both_kinds_in_depth_order():
    encoder = TransformerEncoder(depth=2, num_heads=N, cross_attention=True)
    encoder.build(TOKENS.shape, CONTEXT.shape)
    _, weights = encoder(TOKENS, context=CONTEXT, return_attention_scores=True)
    assert tuple(weights) == encoder.attention_addresses
    assert [kind for _, kind in (a.split("/") for a in weights)] == ["self_attention", "cross_attention"] * 2


def test_sorted_names_are_in_depth_order():
    assert block_names(3) == ("block_00", "block_01", "block_02")
    assert list(block_names(101)) == sorted(block_names(101))
    with pytest.raises(ValueError, match="depth=0"):
        TransformerEncoder(depth=0, num_heads=1)


def test_drop_path_grows_linearly():
    encoder = TransformerEncoder(depth=5, num_heads=N, drop_path_rate=0.2)
    assert [block.options.drop_path_rate for block in encoder.blocks] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert TransformerEncoder(depth=1, num_heads=N, drop_path_rate=0.2).blocks[0].options.drop_path_rate == 0


def test_attention_pooling():
    pooling = AttentionPooling(num_heads=N, mlp_ratio=2.0, gelu="tanh")
    pooling.build(TOKENS.shape)
    randomize(pooling)
    padding_mask = np.array([[1, 1, 0, 1, 0], [1, 0, 1, 1, 1]], bool)
    output, weights = to_numpy(pooling(TOKENS, padding_mask=padding_mask, return_attention_scores=True))
    expected, expected_weights = reference.attention_pooling(
        TOKENS, parameters(pooling), N, padding_mask[:, None, None], form="tanh"
    )
    np.testing.assert_allclose(output, expected, **CLOSE)
    np.testing.assert_allclose(weights["cross_attention"], expected_weights, **CLOSE)
    np.testing.assert_array_equal(output, to_numpy(pooling(TOKENS, padding_mask=padding_mask)))


def test_mean_of_kept_tokens():
    kept = np.array([[1, 0, 1, 0, 0], [0, 0, 0, 0, 0]], bool)
    mean = to_numpy(mean_of_tokens(TOKENS, kept))
    np.testing.assert_allclose(mean[0], TOKENS[0, [0, 2]].mean(0), rtol=1e-5, atol=1e-6)
    assert not mean[1].any()
    np.testing.assert_allclose(to_numpy(mean_of_tokens(TOKENS)), TOKENS.mean(1), rtol=1e-5, atol=1e-6)


def test_variables_are_named_alike_whatever_was_made_before():
    def paths():
        block = TransformerBlock(num_heads=N, dropout_rate=0.1, drop_path_rate=0.1, name="block")
        block.build(TOKENS.shape)
        return [variable.path for variable in block.variables]

    assert paths() == paths()
