"""Statistics of attention weights, against loops in NumPy and the known values of ATTENTION's table."""

import math

import numpy as np
import pytest

from tests.attention_maps.records import LAYOUT, PATCH, B, L, N, T, random_record, random_weights
from vitcross.attention_maps import (
    artifact_patches,
    entropy,
    head_similarity,
    jensen_shannon,
    mean_distance,
    prefix_mass,
    sink_share,
    statistics,
)
from vitcross.layers.token_layout import TokenLayout

S = 19


def entropy_oracle(weights, valid, queries):
    result = np.zeros(weights.shape[:2])
    for b, n in np.ndindex(*result.shape):
        found = []
        for t in range(weights.shape[2]):
            keys = [s for s in range(weights.shape[3]) if valid[b, t, s]]
            row = [float(weights[b, n, t, s]) for s in keys]
            if not queries[b, t] or sum(row) == 0:
                continue
            row = [a / sum(row) for a in row]
            found.append(-sum(a * math.log(a) for a in row if a > 0) / math.log(len(keys)) if len(keys) > 1 else 0.0)
        result[b, n] = sum(found) / len(found) if found else 0.0
    return result


def test_entropy_against_loops_with_padding_and_masked_queries():
    random = np.random.default_rng(0)
    weights = random_weights(B, N, T, S, sharpness=2)
    lengths = random.integers(1, S + 1, B)
    keys = np.arange(S) < lengths[:, None]
    queries = random.random((B, T)) < 0.7
    valid = np.broadcast_to(keys[:, None], (B, T, S))
    found = entropy(weights, key_mask=keys, query_mask=queries)
    np.testing.assert_allclose(found, entropy_oracle(weights, valid, queries), rtol=1e-6, atol=1e-12)
    everything = np.ones((B, T), bool)
    np.testing.assert_allclose(
        entropy(weights), entropy_oracle(weights, np.ones((B, T, S), bool), everything), rtol=1e-6
    )


def test_entropy_of_causal_rows_counts_every_rows_own_keys():
    causal = np.tril(np.ones((T, T), bool))
    uniform = np.broadcast_to(causal / causal.sum(-1, keepdims=True), (B, N, T, T))
    # The first row has one valid key and counts 0; all others are uniform over their own keys.
    for mask in (causal[None], np.broadcast_to(causal, (B, T, T)), causal):
        np.testing.assert_allclose(entropy(uniform, key_mask=mask), (T - 1) / T)


def test_entropy_edges():
    padded = np.zeros((B, N, T, S))
    padded[..., :5] = 1 / 5
    mask = np.broadcast_to(np.arange(S) < 5, (B, S))
    np.testing.assert_allclose(entropy(padded, key_mask=mask), 1.0)
    np.testing.assert_allclose(entropy(np.full((B, N, T, S), 1 / S)), 1.0)
    np.testing.assert_array_equal(entropy(np.ones((B, N, T, 1))), 0.0)
    np.testing.assert_array_equal(entropy(np.eye(T)[None, None]), 0.0)
    padded[:, :, 1:] = 0  # rows in which nothing may be attended are left out
    np.testing.assert_allclose(entropy(padded, key_mask=mask), 1.0)
    assert np.isfinite(entropy(np.zeros((1, 1, 3, 3)))).all()


def test_entropy_refuses_masks_of_another_shape():
    with pytest.raises(ValueError, match=r"`key_mask`.*Received: \(3, 4\)"):
        entropy(random_weights(B, N, T, S), key_mask=np.ones((3, 4)))
    with pytest.raises(ValueError, match="`query_mask`"):
        entropy(random_weights(B, N, T, S), query_mask=np.ones((B, S)))


def test_distance_of_uniform_attention_on_two_by_two():
    layout = TokenLayout(grid_height=2, grid_width=2)
    uniform = np.full((1, 1, 4, 4), 0.25)
    np.testing.assert_allclose(mean_distance(uniform, layout, 16), (16 + 16 + 16 * math.sqrt(2)) / 4)
    assert round(float(mean_distance(uniform, layout, 16)[0, 0]), 2) == 13.66
    np.testing.assert_array_equal(mean_distance(np.eye(4)[None, None], layout, 16), 0.0)


def test_distance_against_loops_on_oblong_grid_and_patches():
    # Trap 4: height and width swapped would pass on squares only.
    weights = random_weights(B, N, T, T, sharpness=2)
    expected = np.zeros((B, N))
    for b, n in np.ndindex(B, N):
        rows = []
        for i in range(15):
            row = weights[b, n, 2 + i, 2:].astype(float)
            row /= row.sum()
            rows.append(
                sum(a * math.hypot(4 * (i // 5 - j // 5), 6 * (i % 5 - j % 5)) for j, a in enumerate(row.tolist()))
            )
        expected[b, n] = np.mean(rows)
    np.testing.assert_allclose(mean_distance(weights, LAYOUT, PATCH), expected, rtol=1e-6)


def test_distance_leaves_out_rows_without_mass_on_patches_and_masked_queries():
    weights = random_weights(1, 1, T, T)
    only_first = np.zeros((1, T), bool)
    only_first[0, 2] = True
    expected = mean_distance(weights, LAYOUT, PATCH, query_mask=only_first)
    weights[0, 0, 3:, 2:] = 0
    np.testing.assert_allclose(mean_distance(weights, LAYOUT, PATCH), expected)
    with pytest.raises(ValueError, match="must be .B, N, 17, 17."):
        mean_distance(random_weights(B, N, T, S), LAYOUT, PATCH)
    with pytest.raises(ValueError, match="`patch_size`"):
        mean_distance(weights, LAYOUT, (4, 0))


def test_prefix_mass_and_sink_share():
    uniform = np.full((B, N, T, S), 1 / S)
    np.testing.assert_allclose(prefix_mass(uniform, 3), 3 / S)
    np.testing.assert_array_equal(prefix_mass(uniform, 0), 0.0)
    np.testing.assert_allclose(sink_share(uniform), 1 / S)
    weights = random_weights(B, N, T, S, sharpness=2)
    np.testing.assert_allclose(prefix_mass(weights, 3), weights[..., :3].sum(-1).mean(-1), rtol=1e-5)
    np.testing.assert_allclose(sink_share(weights), weights.mean(2).max(-1), rtol=1e-5)
    queries = np.arange(T) < 4
    mask = np.broadcast_to(queries, (B, T))
    np.testing.assert_allclose(prefix_mass(weights, 3, mask), weights[:, :, :4, :3].sum(-1).mean(-1), rtol=1e-5)
    np.testing.assert_allclose(sink_share(weights, mask), weights[:, :, :4].mean(2).max(-1), rtol=1e-5)


def test_a_list_of_layers_gives_one_row_per_layer():
    layers = [random_weights(B, N, T, T, seed=seed) for seed in range(3)]
    for function in (entropy, sink_share, lambda w: mean_distance(w, LAYOUT, PATCH), lambda w: prefix_mass(w, 2)):
        assert function(layers).shape == (3, B, N)
        np.testing.assert_array_equal(function(layers)[1], function(layers[1]))
        np.testing.assert_array_equal(function(np.stack(layers)), function(layers))


def test_artifact_patches_stand_out_by_median_absolute_deviation():
    norms = np.array([[99.0, 99.0] + [10, 11, 9, 10, 12, 8, 10, 11, 9, 10, 12, 8, 10, 40, 17]])
    # median 10, MAD 1, so the threshold is 17.413; the prefix's own norms do not count.
    expected = np.zeros((1, 15), bool)
    expected[0, 13] = True
    np.testing.assert_array_equal(artifact_patches(norms, LAYOUT), expected)
    norms[0, 2:12] = 10
    assert not artifact_patches(norms, LAYOUT).any()  # MAD = 0


def test_head_similarity():
    weights = random_weights(B, 3, T, T, sharpness=2)
    flat = weights.reshape(B, 3, -1).astype(float)
    flat /= np.linalg.norm(flat, axis=-1, keepdims=True)
    expected = [(f[0] @ f[1] + f[0] @ f[2] + f[1] @ f[2]) / 3 for f in flat]
    np.testing.assert_allclose(head_similarity(weights), expected)
    np.testing.assert_allclose(head_similarity(np.repeat(weights[:, :1], 5, axis=1)), 1.0)
    assert np.isnan(head_similarity(weights[:, :1])).all()


def test_jensen_shannon():
    p, q = np.array([[1.0, 0, 0], [0.5, 0.5, 0], [0, 0, 0]]), np.array([[0, 2.0, 0], [0.5, 0.5, 0], [1, 0, 0]])
    np.testing.assert_allclose(jensen_shannon(p, q), [1.0, 0.0, np.nan])
    a, b = random_weights(B, 15, seed=1), random_weights(B, 15, seed=2)
    np.testing.assert_allclose(jensen_shannon(a, b), jensen_shannon(b, a))
    middle = (a + b) / 2
    expected = ((a * np.log2(a / middle)).sum(-1) + (b * np.log2(b / middle)).sum(-1)) / 2
    np.testing.assert_allclose(jensen_shannon(a, b), expected, rtol=1e-4)


def test_statistics_of_a_record():
    record, previous = random_record(seed=1, pooling="gap"), random_record(seed=2, pooling="gap")
    scalars, tables = statistics(record, previous)
    assert set(tables) == {"entropy", "distance", "prefix_mass", "sink_share"}
    layers = list(record.weights.values())
    for name, value in {"entropy": entropy(layers), "prefix_mass": prefix_mass(layers, 2)}.items():
        np.testing.assert_allclose(tables[name], value.mean(1))
        by_layer = value.mean((1, 2))
        for reduction in ("mean", "min", "max"):
            expected = getattr(by_layer, reduction)()
            np.testing.assert_allclose(scalars[f"attention_stats/{name}/{reduction}"], expected)
        assert tables[name].shape == (L, N)
    assert 0 < scalars["attention_stats/change"] < 1
    assert statistics(record, record)[0]["attention_stats/change"] == 0
    assert "attention_stats/change" not in statistics(record)[0]
    assert "attention_stats/head_similarity" not in statistics(random_record(heads=1))[0]


def test_without_prefix_tokens_there_is_no_prefix_mass():
    layout = TokenLayout(grid_height=3, grid_width=5, num_prefix_tokens=0)
    scalars, tables = statistics(random_record(layout=layout, pooling="gap"))
    assert set(tables) == {"entropy", "distance", "sink_share"} and not [key for key in scalars if "prefix" in key]


def test_statistics_leave_out_the_pooling_and_what_is_not_finite():
    record = random_record(pooling="map")
    assert statistics(record)[1]["entropy"].shape == (L, N)
    record.weights["image_encoder/block_00/self_attention"][:] = np.nan
    scalars, _ = statistics(record)
    assert all(math.isfinite(value) for value in scalars.values())
    with pytest.raises(ValueError, match="same examples"):
        statistics(record, random_record(example_index=np.arange(B) + 1))
