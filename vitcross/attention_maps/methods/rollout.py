"""Reduces the weights of all layers and heads to one map per image: rollout and the read-out of each pooling.

Everything is computed in patch space and float64; `render.py` resizes and colors.

Shape legend: B batch, N heads, T query tokens, S key tokens, P patches, L blocks.

Reference: rollout is Abnar & Zuidema, "Quantifying Attention Flow in Transformers", 2020 (arXiv 2005.00928).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from vitcross import metric_keys

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord


def check_weights(weights) -> np.ndarray:
    """The weights of one layer as an array (B, N, T, S); ValueError for anything else."""
    weights = np.asarray(weights)
    if weights.ndim != 4 or not np.issubdtype(weights.dtype, np.number):
        raise ValueError(
            "`weights` of one layer must be a numeric array (B, N, T, S); several layers are a list of them. "
            f"Received: {weights.dtype} of shape {weights.shape}"
        )
    return weights


def as_layers(weights) -> list[np.ndarray]:
    """`weights` of one layer, or a list of them, as a list, first layer first."""
    several = isinstance(weights, (list, tuple)) or np.ndim(weights) == 5
    layers = [check_weights(w) for w in (weights if several else [weights])]
    if not layers:
        raise ValueError("`weights` must hold at least one layer. Received: an empty list")
    return layers


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """`numerator / denominator`, with 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros(np.broadcast_shapes(numerator.shape, denominator.shape)),
                     where=denominator != 0)  # fmt: skip


def rollout(weights, residual: float = 0.5) -> np.ndarray:
    """Attention followed through all layers: the product `A~[L] ... A~[1]`.

    `A~[l] = rownorm(r I + (1 - r) mean_h A[l])`, with r = 0.5 the paper's `rownorm(mean_h A[l] + I)`. Rows of the
    result sum to 1; row i holds the shares of the input tokens in output token i. It does not depend on a class.

    Args:
        weights: (B, N, T, T) of one layer, or a list of them, first layer first.
        residual: float in [0, 1], the identity's share r, which stands for the residual connection.

    Returns:
        (B, T, T) float64 in [0, 1].
    """
    if not 0.0 <= residual <= 1.0:
        raise ValueError(f"`residual` must be in [0, 1]. Received: residual={residual}")
    result = None
    for layer in as_layers(weights):
        if layer.shape[-1] != layer.shape[-2]:
            raise ValueError(
                f"`weights` of rollout must be self-attention, (B, N, T, T). Received: shape {layer.shape}"
            )
        mixed = (1.0 - residual) * layer.mean(axis=1, dtype=np.float64) + residual * np.eye(layer.shape[-1])
        mixed = divide(mixed, mixed.sum(axis=-1, keepdims=True))
        result = mixed if result is None else mixed @ result
    return result


def _query_rows(record: AttentionRecord) -> slice:
    # With mean pooling no single row is the answer; the mean over the patch rows is the attention received.
    return slice(0, 1) if record.pooling == "cls" else slice(record.token_layout.num_prefix_tokens, None)


def layer_rows(record: AttentionRecord) -> np.ndarray:
    """(L, B, N, T) rows of every self-attention layer that the pooling reads, prefix tokens included."""
    rows = _query_rows(record)
    return np.stack([w[:, :, rows].mean(axis=2, dtype=np.float64) for w in record.self_attention.values()])


def layer_maps(record: AttentionRecord) -> np.ndarray:
    """(L, B, N, P) what each head of each self-attention layer attends to: the class token's row with `cls`, else
    the attention that patches receive from patches."""
    return record.token_layout.patches(layer_rows(record))


def raw_rows(record: AttentionRecord) -> np.ndarray:
    """(B, N, T) rows of the raw map: those of the last self-attention layer or of the attention pooling."""
    if record.pooling == "map":
        return record.pooling_weights[:, :, 0].astype(np.float64)
    last = list(record.self_attention.values())[-1]
    return last[:, :, _query_rows(record)].mean(axis=2, dtype=np.float64)


def raw_maps(record: AttentionRecord) -> np.ndarray:
    """(B, N, P) raw attention of every head. Sums to 1 minus the prefix mass."""
    return record.token_layout.patches(raw_rows(record))


def raw_map(record: AttentionRecord) -> np.ndarray:
    """(B, P) raw attention, mean over heads."""
    return raw_maps(record).mean(axis=1)


def raw_prefix_mass(record: AttentionRecord) -> np.ndarray:
    """(B,) share of the attention that goes to prefix tokens, which `raw_map` leaves out."""
    return record.token_layout.prefix(raw_rows(record).mean(axis=1)).sum(axis=-1)


def rollout_map(record: AttentionRecord, residual: float = 0.5) -> np.ndarray:
    """(B, P) rollout as the pooling reads it: the class token's row, the mean of the patch rows, or the attention
    pooling's weights times the rollout."""
    matrix = rollout(list(record.self_attention.values()), residual)
    if record.pooling == "map":
        pooling = record.pooling_weights.mean(axis=1, dtype=np.float64)
        return record.token_layout.patches((pooling @ matrix)[:, 0])
    return record.token_layout.patches(matrix[:, _query_rows(record)].mean(axis=1))


METHODS: dict[str, Callable[[AttentionRecord], np.ndarray]] = {"raw": raw_map, "rollout": rollout_map}


def methods_of(record: AttentionRecord) -> tuple[str, ...]:
    """The methods that the record has maps of, in the order in which they are shown."""
    return tuple(method for method in metric_keys.METHODS if method in METHODS or method in record.maps)


def read_map(record: AttentionRecord, method: str) -> np.ndarray:
    """(B, P) map of a method of `methods_of`: one that the record holds, else computed from its weights."""
    if method in record.maps:
        return record.maps[method]
    if method not in METHODS:
        known = ", ".join(methods_of(record))
        raise ValueError(f"`method` must be one of {known} for this record. Received: method={method!r}")
    return METHODS[method](record)


MEANINGS = {
    "raw": "last layer, mean of heads",
    "rollout": "all layers, class-agnostic",
    "relevance": "for what is explained",
    "leave_one_out": "without each patch in turn",
}


def meaning(method: str, held) -> str:
    """What a method shows. Raw attention and rollout that the record holds (`held`) went through both towers; otherwise
    they are computed from the weights of the image tower."""
    return "through both towers" if method in ("raw", "rollout") and method in held else MEANINGS[method]
