"""The rules of relevance: closed forms of the paper, and loops on random tensors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.attention_maps import relevance_reference as reference
from tests.attention_maps.records import LAYOUT, random_weights
from vitcross.attention_maps.methods.relevance_rules import (
    after_cross_attention,
    after_self_attention,
    identity,
    mean_pooling_weights,
    normalized,
    positive_weights,
    read_by_pooling,
    read_row,
    self_attention_relevance,
    two_stream_relevance,
)

B, N, T, S, L = 2, 3, 7, LAYOUT.num_tokens, 5  # S = 17: a 3 x 5 grid behind two prefix tokens


def gradients(*shape, seed=0, sign=None):
    found = np.random.default_rng(seed).normal(size=shape)
    return found if sign is None else sign * np.abs(found)


def random_abar(*shape, seed=0):
    """(B, ...) of heads that agree and heads that do not; (weights, gradients, abar)."""
    weights, slopes = random_weights(B, N, *shape, seed=seed), gradients(B, N, *shape, seed=seed + 1000)
    return weights, slopes, positive_weights(weights, slopes)


def test_the_positive_part_is_taken_before_the_mean_over_heads():
    weights, slopes, found = random_abar(T, S)
    np.testing.assert_allclose(found, [reference.abar(w, g) for w, g in zip(weights, slopes, strict=True)], atol=1e-12)
    opposed = positive_weights(np.full((1, 2, 1, 1), 0.5), np.array([1.0, -1.0]).reshape(1, 2, 1, 1))
    assert opposed[0, 0, 0] == 0.25  # relu of the mean would be 0
    assert found.dtype == np.float64


def test_rows_of_padding_are_left_out():
    weights, slopes, full = random_abar(T, T)
    mask = np.arange(T) < np.array([[4], [7]])
    masked = positive_weights(weights, slopes, mask)
    np.testing.assert_array_equal(masked[0, :4], full[0, :4])
    assert not masked[0, 4:].any() and full[0, 4:].any()


def test_weights_and_gradients_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"`gradients` must have the shape.*\(2, 3, 7, 7\). Received.*\(2, 3, 7, 17\)"):
        positive_weights(np.ones((2, 3, 7, 7)), np.ones((2, 3, 7, 17)))
    with pytest.raises(ValueError, match="B, N, T, S"):
        positive_weights(np.ones((3, 7, 7)), np.ones((3, 7, 7)))


@pytest.mark.parametrize("slope", [0.3, 2.0])
def test_uniform_attention_and_a_constant_gradient_have_a_closed_form(slope):
    uniform = np.full((B, N, S, S), 1 / S)
    abars = [positive_weights(uniform, np.full_like(uniform, slope))] * L
    expected = np.linalg.matrix_power(np.eye(S) + slope / S, L)
    np.testing.assert_allclose(self_attention_relevance(abars), np.broadcast_to(expected, (B, S, S)), rtol=1e-12)


def test_without_a_positive_gradient_there_is_no_evidence():
    text, image, cross = ((T, T), (S, S), (T, S))

    def none(shape, seed):
        return positive_weights(random_weights(B, N, *shape, seed=seed), gradients(B, N, *shape, seed=seed, sign=-1))

    own = self_attention_relevance([none(image, layer) for layer in range(L)])
    np.testing.assert_array_equal(own, identity(B, S))
    text_own, to_image = two_stream_relevance([(none(text, k), none(cross, k)) for k in range(L)], own)
    np.testing.assert_array_equal(text_own, identity(B, T))
    assert not to_image.any() and not read_row(own, 0).any()
    assert not read_by_pooling(mean_pooling_weights(-np.ones((B, S))), own).any()


def test_no_evidence_inside_leaves_what_the_pooling_itself_reads():
    pooling = np.abs(gradients(B, S))
    np.testing.assert_array_equal(read_by_pooling(pooling, identity(B, S)), pooling)


def test_the_first_cross_attention_is_the_relevance():
    _, _, layer = random_abar(T, S)
    own, to_other = after_cross_attention(layer, identity(B, T), np.zeros((B, T, S)), identity(B, S))
    np.testing.assert_array_equal(to_other, layer)
    np.testing.assert_array_equal(own, identity(B, T))
    own, _ = after_cross_attention(layer, identity(B, T), np.zeros((B, T, S)), identity(B, S), np.zeros((B, S, T)))
    np.testing.assert_array_equal(own, identity(B, T))


def test_self_attention_is_the_product_of_identity_and_layer():
    abars = [random_abar(S, S, seed=k)[2] for k in range(L)]
    found = self_attention_relevance(abars)
    for b in range(B):
        np.testing.assert_allclose(found[b], reference.chain([layer[b] for layer in abars]), rtol=1e-9)
    product = np.eye(S)
    for layer in abars:
        product = (np.eye(S) + layer) @ product
    np.testing.assert_allclose(found, product, rtol=1e-9)
    with pytest.raises(ValueError, match="`abars`"):
        self_attention_relevance([])


def test_both_streams_of_one_layer_use_the_old_matrices():
    own, other = (self_attention_relevance([random_abar(n, n, seed=n)[2]]) for n in (T, S))
    to_other, from_other = np.abs(gradients(B, T, S, seed=3)), np.abs(gradients(B, S, T, seed=4))
    layer = random_abar(T, S, seed=5)[2]
    found = after_cross_attention(layer, own, to_other, other, from_other)
    for b in range(B):
        expected = reference.cross(layer[b], own[b], to_other[b], other[b], from_other[b])
        np.testing.assert_allclose(found[0][b], expected[0], rtol=1e-9)
        np.testing.assert_allclose(found[1][b], expected[1], rtol=1e-9)
    found = after_self_attention(random_abar(T, T, seed=6)[2], own, to_other)
    layer = random_abar(T, T, seed=6)[2]
    np.testing.assert_allclose(found[0], own + layer @ own)
    np.testing.assert_allclose(found[1], to_other + layer @ to_other)


@pytest.mark.parametrize("transpose", [True, False])
def test_two_streams_against_loops(transpose):
    """T != S, registers among the S, padding among the T."""
    mask = np.arange(T) < np.array([[5], [7]])
    blocks, other = [], self_attention_relevance([random_abar(S, S, seed=k)[2] for k in range(2)])
    for k in range(3):
        text = positive_weights(random_weights(B, N, T, T, seed=k), gradients(B, N, T, T, seed=k), mask)
        read = positive_weights(random_weights(B, N, T, S, seed=k), gradients(B, N, T, S, seed=k), mask)
        blocks.append((text * mask[:, None], read))
    own, to_other = two_stream_relevance(blocks, other, transpose)
    for b in range(B):
        expected = reference.two_streams([(t[b], c[b]) for t, c in blocks], other[b], transpose)
        np.testing.assert_allclose(own[b], expected[0], rtol=1e-9)
        np.testing.assert_allclose(to_other[b], expected[1], rtol=1e-9)
    assert not to_other[0, 5:].any() and to_other[0, :5].any()
    np.testing.assert_array_equal(own[0, 5:], np.eye(T)[5:])
    with pytest.raises(ValueError, match="`blocks`"):
        two_stream_relevance([], other)


def test_the_transpose_hands_on_what_later_readers_took():
    layer = np.zeros((1, T, S))
    layer[0, 3, 11] = 0.5  # token 3 reads patch token 11 ...
    own = identity(1, T)
    own[0, 3, 1] = 0.2  # ... and has read token 1
    with_it = after_cross_attention(layer, own, np.zeros((1, T, S)), identity(1, S))[1]
    without = after_cross_attention(layer, own, np.zeros((1, T, S)), identity(1, S), transpose=False)[1]
    np.testing.assert_array_equal(without, layer)
    assert with_it[0, 1, 11] == 0.5 and with_it[0, 3, 11] == 0.5 and np.count_nonzero(with_it) == 2


def test_normalization_of_empty_and_of_tiny_rows():
    relevance = np.eye(4)
    relevance[0] += [0.0, 3.0, 1.0, 0.0]
    relevance[2] += 1e-7  # 4e-7 in all: rounding beside a row of 4
    relevance[3] += [0, 1e-5, 0, 0]
    found = normalized(relevance[None])[0]
    np.testing.assert_allclose(found[0] - np.eye(4)[0], [0, 0.75, 0.25, 0])
    np.testing.assert_array_equal(found[1], np.eye(4)[1])  # 0 / 0
    np.testing.assert_array_equal(found[2], np.eye(4)[2])
    np.testing.assert_allclose(found[3], [0, 1, 0, 1])
    np.testing.assert_allclose(found, reference.normalized(relevance))


def test_rounding_counts_beside_the_rows_of_its_own_example_only():
    relevance = np.stack([np.eye(3) * 1e6, np.eye(3)])
    relevance[1, 0, 1] = 1e-3
    np.testing.assert_allclose(normalized(relevance)[1, 0], [1, 1, 0])


def test_read_outs():
    own = self_attention_relevance([random_abar(S, S, seed=k)[2] for k in range(2)])
    pooling = np.abs(gradients(B, S, seed=9))
    rows = np.array([4, 16])
    for b in range(B):
        np.testing.assert_allclose(read_by_pooling(pooling, own)[b], reference.pooled(pooling[b], own[b]), rtol=1e-9)
        np.testing.assert_allclose(read_row(own, rows)[b], reference.row(own[b], rows[b]), rtol=1e-9)
        np.testing.assert_allclose(read_row(own, 0)[b], reference.row(own[b], 0), rtol=1e-9)
    np.testing.assert_array_equal(mean_pooling_weights([[-1.0, 0.0, 2.0]]), [[0.0, 0.0, 2.0]])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-6, 1e4), st.booleans())
def test_relevance_is_never_negative_and_finite(seed, scale, transpose):
    def layer(*shape, k):
        return positive_weights(
            random_weights(1, 2, *shape, seed=seed + k), scale * gradients(1, 2, *shape, seed=seed + k)
        )

    other = self_attention_relevance([layer(5, 5, k=k) for k in range(2)])
    own, to_other = two_stream_relevance([(layer(3, 3, k=k), layer(3, 5, k=k)) for k in range(2)], other, transpose)
    for found in (other, own, to_other, normalized(own), read_row(own, 2), read_by_pooling(other[:, 0], other)):
        assert np.isfinite(found).all() and found.min() >= 0
    # Every token keeps itself.
    assert np.diagonal(own, axis1=1, axis2=2).min() >= 1
