"""Numbers that describe attention weights, per layer and head, and the statistics of one capture.

Pure functions: NumPy in, NumPy out. `weights` is (B, N, T, S) of one layer, which gives (B, N), or a list of them,
first layer first, which gives (L, B, N).

Shape legend: B batch, N heads, T query tokens, S key tokens, P patches, L blocks.

References: mean distance is Figure 7 of Dosovitskiy et al. 2021 (arXiv 2010.11929); artifact patches are the
high-norm tokens of Darcet et al. 2024 (arXiv 2309.16588), found here by a robust outlier rule.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps.methods.rollout import as_layers, check_weights, divide, raw_map
from vitcross.attention_maps.methods.words import query_mask
from vitcross.height_and_width import height_and_width
from vitcross.metric_keys import statistic

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord
    from vitcross.layers.token_layout import TokenLayout

# 1.4826 makes the median absolute deviation of a normal distribution its standard deviation.
MAD_TO_SIGMA = 1.4826
ARTIFACT_SIGMAS = 5.0


def _per_layer(function, weights):
    if isinstance(weights, (list, tuple)) or np.ndim(weights) == 5:
        return np.stack([function(layer) for layer in as_layers(weights)])
    return function(check_weights(weights))


def _query_share(query_mask, shape: tuple[int, ...], usable: np.ndarray) -> np.ndarray:
    """(B, N, T) weight of every query row in a mean over the usable, unmasked rows; all 0 where there is none."""
    if query_mask is not None:
        query_mask = np.asarray(query_mask, bool)
        if query_mask.shape != (shape[0], shape[2]):
            raise ValueError(f"`query_mask` must have shape {(shape[0], shape[2])}. Received: {query_mask.shape}")
        usable = usable & query_mask[:, None]
    return divide(usable.astype(np.float64), usable.sum(axis=-1, keepdims=True))


def _key_mask(key_mask, shape: tuple[int, ...]) -> np.ndarray:
    B, _, T, S = shape
    mask = np.asarray(key_mask, bool)
    if mask.shape == (B, S):
        mask = mask[:, None, None]
    elif mask.ndim == 3:
        mask = mask[:, None]
    if mask.ndim == 4 or mask.shape == (T, S):
        try:
            return np.broadcast_to(mask, shape)
        except ValueError:
            pass  # the message below says more
    raise ValueError(
        f"`key_mask` must have shape {(B, S)}, {(1, T, S)}, {(B, T, S)} or one that broadcasts to {shape}. "
        f"Received: {np.shape(key_mask)}"
    )


def entropy(weights, key_mask=None, query_mask=None) -> np.ndarray:
    """Normalized entropy of the rows, `-sum a log a / log(n_valid)`: 0 attends to one key, 1 to all alike.

    Every row is first renormalized over its own valid keys; a row with one valid key gives 0. Padding queries, and
    rows in which nothing may be attended, are left out of the mean.

    Args:
        weights: (B, N, T, S), or a list of them.
        key_mask: boolean, True = may be attended: (B, S) for padding, (1, T, S) or (B, T, S) where rows differ, as
            under a causal mask. None: every key is valid.
        query_mask: (B, T) boolean, True = real token. None: every query counts.

    Returns:
        (B, N) float64 in [0, 1]; (L, B, N) for a list.
    """

    def one(layer):
        valid = np.ones(layer.shape, bool) if key_mask is None else _key_mask(key_mask, layer.shape)
        layer = np.where(valid, layer, 0.0)
        mass = layer.sum(axis=-1, keepdims=True, dtype=np.float64)
        rows = divide(layer, mass)
        num_valid = valid.sum(axis=-1)
        logarithm = np.log(rows, out=np.zeros_like(rows), where=rows > 0)
        entropies = divide(-(rows * logarithm).sum(axis=-1), np.log(np.maximum(num_valid, 1)))
        return (entropies * _query_share(query_mask, layer.shape, mass[..., 0] > 0)).sum(axis=-1)

    return _per_layer(one, weights)


def mean_distance(weights, token_layout: TokenLayout, patch_size, query_mask=None) -> np.ndarray:
    """Mean distance in pixels from a patch to the patches it attends to, rows renormalized over patches.

    Prefix tokens take no part. A row without any mass on patches is left out.

    Args:
        weights: (B, N, T, T) self-attention, or a list of them.
        token_layout: TokenLayout of the T tokens.
        patch_size: int or (height, width) in pixels.
        query_mask: (B, T) boolean, True = counts.

    Returns:
        (B, N) float64; (L, B, N) for a list.
    """
    height, width = height_and_width(patch_size, "patch_size")
    num_tokens = token_layout.num_tokens
    rows, columns = np.divmod(np.arange(token_layout.num_patches), token_layout.grid_width)
    distances = np.hypot(height * (rows[:, None] - rows), width * (columns[:, None] - columns))

    def one(layer):
        if layer.shape[2:] != (num_tokens, num_tokens):
            raise ValueError(f"`weights` must be (B, N, {num_tokens}, {num_tokens}). Received: shape {layer.shape}")
        patches = token_layout.patches(token_layout.patches(layer, axis=-1), axis=-2).astype(np.float64)
        mass = patches.sum(axis=-1)
        means = divide(np.einsum("bnij,ij->bni", patches, distances), mass)
        mask = None if query_mask is None else token_layout.patches(np.asarray(query_mask))
        return (means * _query_share(mask, patches.shape, mass > 0)).sum(axis=-1)

    return _per_layer(one, weights)


def _attended(layer, query_mask) -> np.ndarray:
    """(B, N, S) mean over the queries that count of what every key receives."""
    if query_mask is None:
        return layer.mean(axis=2, dtype=np.float64)
    share = _query_share(query_mask, layer.shape, np.ones(layer.shape[:3], bool))
    return np.einsum("bnt,bnts->bns", share, layer)


def prefix_mass(weights, num_prefix_tokens: int, query_mask=None) -> np.ndarray:
    """Share of the attention that goes to the prefix tokens, `mean_q sum_{k<P} A[q, k]`: (B, N) or (L, B, N)."""
    if num_prefix_tokens < 0:
        raise ValueError(f"`num_prefix_tokens` must be >= 0. Received: num_prefix_tokens={num_prefix_tokens}")
    return _per_layer(lambda layer: _attended(layer, query_mask)[..., :num_prefix_tokens].sum(axis=-1), weights)


def sink_share(weights, query_mask=None) -> np.ndarray:
    """Share of the attention that the most attended key receives, `max_k mean_q A[q, k]`: (B, N) or (L, B, N)."""
    return _per_layer(lambda layer: _attended(layer, query_mask).max(axis=-1), weights)


def head_similarity(weights) -> np.ndarray:
    """Mean cosine between the maps (T, S) of all pairs of heads: (B,) or (L, B). NaN with one head: not defined."""

    def one(layer):
        B, N = layer.shape[:2]
        if N == 1:
            return np.full(B, np.nan)
        maps = layer.reshape(B, N, -1).astype(np.float64)
        maps = divide(maps, np.linalg.norm(maps, axis=-1, keepdims=True))
        cosines = maps @ maps.transpose(0, 2, 1)
        return (cosines.sum(axis=(1, 2)) - np.trace(cosines, axis1=1, axis2=2)) / (N * (N - 1))

    return _per_layer(one, weights)


def artifact_patches(token_norms, token_layout: TokenLayout) -> np.ndarray:
    """(B, P) bool, patches whose output token stands out: norm > median + 5 * 1.4826 * MAD over the image's patches.

    A bright background patch there is a sink, not evidence. MAD = 0 (more than half of the norms equal): none.

    Args:
        token_norms: (B, T), L2 norms of the output tokens before the final norm.
        token_layout: TokenLayout of the T tokens.
    """
    norms = token_layout.patches(np.asarray(token_norms, np.float64))
    median = np.median(norms, axis=-1, keepdims=True)
    deviation = np.median(np.abs(norms - median), axis=-1, keepdims=True)
    return (norms > median + ARTIFACT_SIGMAS * MAD_TO_SIGMA * deviation) & (deviation > 0)


def jensen_shannon(maps, previous) -> np.ndarray:
    """(B,) Jensen-Shannon divergence in bits, in [0, 1], of maps (B, P) that are first normalized to sum 1.

    NaN where one of the two maps is all zero: there is nothing to compare.
    """
    maps, previous = np.asarray(maps, np.float64), np.asarray(previous, np.float64)
    if maps.shape != previous.shape or maps.ndim != 2:
        raise ValueError(f"`maps` and `previous` must both be (B, P). Received: {maps.shape} and {previous.shape}")
    p, q = (divide(m, m.sum(axis=-1, keepdims=True)) for m in (maps, previous))
    middle = (p + q) / 2
    divergence = np.zeros(len(p))
    for side in (p, q):
        ratio = divide(side, middle)
        divergence += (side * np.log2(ratio, out=np.zeros_like(ratio), where=ratio > 0)).sum(axis=-1) / 2
    empty = (p.sum(axis=-1) == 0) | (q.sum(axis=-1) == 0)
    return np.where(empty, np.nan, np.clip(divergence, 0.0, 1.0))


def tables(record: AttentionRecord) -> dict[str, np.ndarray]:
    """name -> (L, N) float64: every statistic of every self-attention layer and head of the image tower (`prefix_mass`
    where it has prefix tokens), and where text attends to images `cross_entropy` of every cross-attention layer and
    head; mean over the examples."""
    layers = list(record.self_attention.values())
    values = {
        "entropy": entropy(layers),
        "distance": mean_distance(layers, record.token_layout, record.patch_size),
        "sink_share": sink_share(layers),
    }
    # Without prefix tokens it would be 0 whatever the model does.
    if record.token_layout.num_prefix_tokens:
        values["prefix_mass"] = prefix_mass(layers, record.token_layout.num_prefix_tokens)
    cross = list(record.cross_attention.values())
    if cross:
        values["cross_entropy"] = entropy(cross, query_mask=query_mask(record))
    return {name: value.mean(axis=1) for name, value in values.items()}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Earlier:
    """What stays of a capture for the next one to be compared with.

    Fields:
        step: int, optimizer steps taken.
        example_index: (B,) int64.
        maps: (B, P) raw attention.
    """

    step: int
    example_index: np.ndarray
    maps: np.ndarray

    @classmethod
    def of(cls, record: AttentionRecord) -> Earlier:
        """What stays of a record."""
        return cls(step=record.step, example_index=np.asarray(record.example_index), maps=raw_map(record))


def statistics(record: AttentionRecord, previous: AttentionRecord | Earlier | None = None):
    """The statistics of one capture.

    Args:
        record: AttentionRecord of the probe set; of a model with a text its image tower is described.
        previous: record of the capture before, of the same probe set, or what stays of it; None at the first capture.

    Returns:
        `(scalars, tables)`: scalars is a dict of finite floats with the dashboard's keys,
        `attention_stats/{entropy,distance,prefix_mass,sink_share}/{mean,min,max}` over layers (prefix_mass: absent
        without prefix tokens), `attention_stats/artifact_patches` (mean number per image),
        `attention_stats/head_similarity` (mean over layers; absent with one head) and `attention_stats/change` (absent
        at the first capture); where text attends to images also `attention_stats/cross_entropy/{mean,min,max}` over
        its layers; tables is a dict name -> (L, N).
    """
    by_name = tables(record)
    scalars = {}
    for name, table in by_name.items():
        layers = table.mean(axis=1)
        for reduction in ("mean", "min", "max"):
            scalars[statistic(name, reduction)] = float(getattr(layers, reduction)())
    artifacts = artifact_patches(record.token_norms, record.token_layout)
    scalars[statistic("artifact_patches")] = float(artifacts.sum(axis=-1).mean())
    scalars[statistic("head_similarity")] = float(head_similarity(list(record.self_attention.values())).mean())
    if previous is not None:
        previous = previous if isinstance(previous, Earlier) else Earlier.of(previous)
        if not np.array_equal(previous.example_index, record.example_index):
            raise ValueError("`previous` must be a capture of the same examples. Received: other `example_index`")
        changes = jensen_shannon(raw_map(record), previous.maps)
        if not np.isnan(changes).all():
            scalars[statistic("change")] = float(np.nanmean(changes))
    return {key: value for key, value in scalars.items() if np.isfinite(value)}, by_name
