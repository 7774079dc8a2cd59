"""Controls at the layers: addresses and scopes, gates, offsets, rows. Whole models: tests/models/test_controls.py."""

import keras
import numpy as np
import pytest

from tests import reference
from tests.backend import gradient, parameters, randomize, to_numpy
from vitcross.layers import AttentionControls, AttentionPooling, MultiHeadAttention, TransformerBlock

B, T, S, N, D, DC = 2, 5, 7, 3, 33, 13
RNG = np.random.default_rng(13)
QUERY = RNG.normal(size=(B, T, D)).astype("float32")
CONTEXT = RNG.normal(size=(B, S, DC)).astype("float32")


@pytest.fixture(scope="module")
def attention():
    layer = MultiHeadAttention(num_heads=N)
    layer.build(QUERY.shape)
    return randomize(layer)


def test_scope_takes_one_level_off_and_leaves_the_rest_out():
    controls = AttentionControls(
        head_gates={"a/block_00/self_attention": 1, "a/block_01/self_attention": 2, "b/block_00/self_attention": 3},
        addresses=("a/block_01/self_attention", "ab/block_01/self_attention"),
        query_rows=(0,),
        kept_patches=5,
    )
    below = controls.scope("a").scope("block_01")
    assert below.head_gates == {"self_attention": 2}
    assert below.addresses == ("self_attention",)
    assert below.query_rows == (0,) and below.kept_patches == 5
    leaf = below.scope("self_attention")
    assert leaf.head_gates == {"": 2}
    assert leaf.returns()
    assert not controls.scope("a").scope("block_00").scope("self_attention").returns()
    assert AttentionControls().scope("anything").returns()


@pytest.mark.parametrize("shape", [(N,), (B, N)], ids=["per_head", "per_example"])
def test_gates_multiply_the_heads_and_not_the_weights(attention, shape):
    gates = RNG.normal(size=shape).astype("float32")
    controls = AttentionControls(head_gates={"": gates})
    output, weights = to_numpy(attention(QUERY, return_attention_scores=True, attention_controls=controls))
    expected, expected_weights = reference.multi_head_attention(
        QUERY, None, parameters(attention), N, head_gates=np.broadcast_to(gates, (B, N))
    )
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(weights, expected_weights, rtol=1e-4, atol=1e-6)


def test_gates_of_another_rank_are_refused(attention):
    with pytest.raises(ValueError, match="expected gates per head"):
        attention(QUERY, attention_controls=AttentionControls(head_gates={"": np.ones((B, N, 1))}))


def test_zero_offsets_change_no_bit(attention):
    controls = AttentionControls(weight_offsets={"": np.zeros((B, N, T, T), "float32")})
    np.testing.assert_array_equal(to_numpy(attention(QUERY, attention_controls=controls)), to_numpy(attention(QUERY)))


def test_offsets_are_added_to_the_weights_and_their_gradient_is_that_of_the_weights(attention):
    offsets = RNG.normal(size=(B, N, T, T)).astype("float32")
    controls = AttentionControls(weight_offsets={"": offsets})
    plain = to_numpy(attention(QUERY, return_attention_scores=True))[1]
    moved = to_numpy(attention(QUERY, return_attention_scores=True, attention_controls=controls))[1]
    np.testing.assert_allclose(moved, plain + offsets, rtol=1e-5, atol=1e-6)

    def output_number(array):
        output = attention(QUERY, attention_controls=AttentionControls(weight_offsets={"": array}))
        return keras.ops.sum(output[0, 2])

    result = gradient(output_number, np.zeros((B, N, T, T), "float32"))
    # y = sum_D (A v) W: the derivative by A[n, 2, s] is v[n, s] . sum_D W[n], and other rows and examples have none.
    p = parameters(attention)
    value = reference.split_heads(reference.dense(QUERY, {"kernel": p["query_key_value/kernel"][:, 2 * D :]}), N)
    value = value + p["query_key_value/bias"][2 * D :].reshape(N, 1, -1)
    by_head = p["output/kernel"].sum(1).reshape(N, -1)
    expected = np.einsum("nsd,nd->ns", value[0], by_head)
    np.testing.assert_allclose(result[0, :, 2], expected, rtol=1e-3, atol=1e-4)
    assert not result[1].any() and not result[0, :, [0, 1, 3, 4]].any()


def test_query_rows_select_and_keep_their_order(attention):
    output, weights = to_numpy(attention(QUERY, return_attention_scores=True))
    controls = AttentionControls(query_rows=(3, 0))
    same, rows = to_numpy(attention(QUERY, return_attention_scores=True, attention_controls=controls))
    np.testing.assert_array_equal(rows, weights[:, :, [3, 0]])
    np.testing.assert_array_equal(same, output)
    with pytest.raises(ValueError, match=r"query rows in \[0, 5\). Received: query_rows with \[5\]"):
        attention(QUERY, return_attention_scores=True, attention_controls=AttentionControls(query_rows=(1, 5)))


def test_addresses_choose_what_a_block_returns():
    block = TransformerBlock(num_heads=N, cross_attention=True)
    block.build(QUERY.shape, CONTEXT.shape)
    output, weights = block(QUERY, context=CONTEXT, return_attention_scores=True)
    assert list(weights) == ["self_attention", "cross_attention"]
    controls = AttentionControls(addresses=("cross_attention",))
    chosen_output, chosen = block(QUERY, context=CONTEXT, return_attention_scores=True, attention_controls=controls)
    assert list(chosen) == ["cross_attention"]
    np.testing.assert_array_equal(to_numpy(chosen_output), to_numpy(output))
    np.testing.assert_array_equal(to_numpy(chosen["cross_attention"]), to_numpy(weights["cross_attention"]))


def test_pooling_returns_its_one_row_whatever_rows_are_asked_for():
    pooling = AttentionPooling(num_heads=N)
    pooling.build(QUERY.shape)
    _, weights = pooling(QUERY, return_attention_scores=True, attention_controls=AttentionControls(query_rows=(4, 1)))
    assert weights["cross_attention"].shape == (B, N, 1, T)
    _, weights = pooling(QUERY, return_attention_scores=True, attention_controls=AttentionControls(addresses=()))
    assert weights == {}


def test_unknown_addresses_are_named():
    controls = AttentionControls(weight_offsets={"block_7/self_attention": 0})
    with pytest.raises(ValueError, match=r"block_00/self_attention. Received: weight_offsets \['block_7/self_att"):
        controls.check_addresses(("block_00/self_attention",))
