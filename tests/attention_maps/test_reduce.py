"""Rollout and the read-outs, against loops in NumPy."""

import numpy as np
import pytest

from tests.attention_maps.records import LAYOUT, B, L, N, T, random_record, random_weights
from vitcross.attention_maps import layer_maps, raw_map, raw_maps, raw_prefix_mass, read_map, rollout, rollout_map

PREFIX = LAYOUT.num_prefix_tokens


def rollout_oracle(layers, residual):
    result = np.zeros((len(layers[0]), T, T))
    for b in range(len(result)):
        product = np.eye(T)
        for layer in layers:
            mixed = np.zeros((T, T))
            for i in range(T):
                row = (1 - residual) * np.mean([head[i] for head in layer[b].astype(float)], axis=0)
                row[i] += residual
                mixed[i] = row / sum(row)
            product = np.dot(mixed, product)
        result[b] = product
    return result


@pytest.mark.parametrize("residual", [0.5, 0.0, 0.3])
def test_rollout_is_the_product_of_row_normalized_layers(residual):
    layers = [random_weights(B, N, T, T, seed=layer, sharpness=2) for layer in range(3)]
    found = rollout(layers, residual)
    np.testing.assert_allclose(found, rollout_oracle(layers, residual), rtol=1e-6)
    np.testing.assert_allclose(found.sum(axis=-1), 1.0, rtol=1e-6)
    assert found.dtype == np.float64


def test_rollout_of_identity_is_identity():
    identity = np.broadcast_to(np.eye(T), (B, N, T, T))
    np.testing.assert_array_equal(rollout([identity] * L), np.broadcast_to(np.eye(T), (B, T, T)))


def test_rollout_of_uniform_attention():
    uniform = np.full((B, N, T, T), 1 / T)
    expected = 0.5**L * np.eye(T) + (1 - 0.5**L) / T
    np.testing.assert_allclose(rollout([uniform] * L), np.broadcast_to(expected, (B, T, T)), atol=1e-14)


def test_rollout_multiplies_later_layers_from_the_left():
    first, second = (random_weights(1, 1, T, T, seed=seed, sharpness=3) for seed in (1, 2))
    a, b = rollout(first)[0], rollout(second)[0]
    np.testing.assert_allclose(rollout([first, second])[0], b @ a, rtol=1e-6)
    assert not np.allclose(b @ a, a @ b, atol=1e-3)


def test_rollout_normalizes_rows_also_where_they_do_not_sum_to_one():
    # Traps 1 and 5: normalizing columns, or by the sum of the whole matrix, passes on doubly stochastic input only.
    weights = random_weights(B, N, T, T) * np.linspace(0.1, 3, T)[:, None]
    np.testing.assert_allclose(rollout(weights).sum(axis=-1), 1.0, rtol=1e-6)


def test_rollout_of_a_query_that_attends_to_nothing_keeps_itself():
    weights = random_weights(1, 1, T, T)
    weights[0, 0, 3] = 0
    np.testing.assert_array_equal(rollout(weights)[0, 3], np.eye(T)[3])


@pytest.mark.parametrize(
    ("weights", "residual", "words"),
    [
        (np.ones((2, 3, 3)), 0.5, "`weights`"),
        (np.ones((1, 1, 3, 5)), 0.5, "self-attention"),
        ([], 0.5, "at least one layer"),
        (np.ones((1, 1, 3, 3)), 1.5, "`residual`"),
    ],
)
def test_rollout_refuses(weights, residual, words):
    with pytest.raises(ValueError, match=words):
        rollout(weights, residual)


def last(record):
    return list(record.weights.values())[L - 1].astype(float)


def test_class_token_reads_row_zero_of_the_deepest_layer_without_the_prefix():
    # Trap 3 with eleven layers: sorted as text without zeros, block_10 would not be the last.
    record = random_record(pooling="cls")
    np.testing.assert_allclose(raw_maps(record), last(record)[:, :, 0, PREFIX:])
    np.testing.assert_allclose(raw_map(record), last(record)[:, :, 0, PREFIX:].mean(1))
    np.testing.assert_allclose(raw_prefix_mass(record), last(record)[:, :, 0, :PREFIX].sum(-1).mean(1))
    matrix = rollout(list(record.weights.values()))
    np.testing.assert_allclose(rollout_map(record), matrix[:, 0, PREFIX:])


def test_mean_pooling_reads_the_mean_of_the_patch_rows():
    # Row 0 is a register here, not an answer.
    record = random_record(pooling="gap")
    np.testing.assert_allclose(raw_maps(record), last(record)[:, :, PREFIX:, PREFIX:].mean(2), rtol=1e-6)
    matrix = rollout(list(record.weights.values()))
    np.testing.assert_allclose(rollout_map(record), matrix[:, PREFIX:, PREFIX:].mean(1))
    total = raw_map(record).sum(-1) + raw_prefix_mass(record)
    np.testing.assert_allclose(total, 1.0, rtol=1e-6)


def test_attention_pooling_reads_its_own_row_and_that_row_times_rollout():
    record = random_record(pooling="map")
    own = record.pooling_weights.astype(float)
    np.testing.assert_allclose(raw_maps(record), own[:, :, 0, PREFIX:])
    matrix = rollout(list(record.self_attention.values()))
    expected = np.einsum("bt,bts->bs", own.mean(1)[:, 0], matrix)[:, PREFIX:]
    np.testing.assert_allclose(rollout_map(record), expected)
    assert layer_maps(record).shape == (L, B, N, LAYOUT.num_patches)


def test_layer_maps_are_in_depth_order():
    record = random_record(pooling="cls")
    for layer, weights in enumerate(record.weights.values()):
        np.testing.assert_allclose(layer_maps(record)[layer], weights[:, :, 0, PREFIX:], rtol=1e-6)


def test_read_map_names_its_methods():
    record = random_record()
    np.testing.assert_array_equal(read_map(record, "raw"), raw_map(record))
    with pytest.raises(ValueError, match="raw, rollout.*'rolout'"):
        read_map(record, "rolout")
