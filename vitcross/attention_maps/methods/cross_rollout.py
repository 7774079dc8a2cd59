"""Computes raw attention and rollout through both towers of models whose text reads the image, from weights alone.

It is rollout (Abnar & Zuidema 2020, arXiv 2005.00928) with text and image tokens as one sequence: a layer mixes each
token with what it attends to, `A~ = rownorm(mean_h A + I)`, and cross-attention is a layer in which text tokens attend
to image tokens. A row of the result sums to 1 over text and image tokens together.

Shape legend: B batch, N heads, T text tokens, S image tokens, P patches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps.methods.rollout import check_weights, divide, raw_map, rollout, rollout_map

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord


def two_stream_rollout(blocks, other, residual: float = 0.5):
    """Rollout of a text tower whose blocks read another stream.

    Args:
        blocks: pairs of weights, self-attention (B, N, T, T) and cross-attention (B, N, T, S), of each block, first
            block first.
        other: (B, S, S) rollout of the stream that is read.
        residual: float in [0, 1], the identity's share.

    Returns:
        (B, T, T) and (B, T, S) float64 >= 0: the share of each text token that comes from text tokens and from tokens
        of the other stream.

    Raises:
        ValueError: for no block, or weights of other shapes.
    """
    own = to_other = None
    for self_weights, cross_weights in blocks:
        mixed = (1.0 - residual) * check_weights(self_weights).mean(axis=1, dtype=np.float64)
        mixed = mixed + residual * np.eye(mixed.shape[-1])
        mixed = divide(mixed, mixed.sum(axis=-1, keepdims=True))
        read = (1.0 - residual) * check_weights(cross_weights).mean(axis=1, dtype=np.float64)
        if own is None:
            own, to_other = np.broadcast_to(np.eye(mixed.shape[-1]), mixed.shape), np.zeros(read.shape)
        own, to_other = mixed @ own, mixed @ to_other
        # The row of a text token in this layer: itself, and the tokens that it reads.
        sums = residual + read.sum(axis=-1, keepdims=True)
        own, to_other = divide(residual * own, sums), divide(residual * to_other + read @ other, sums)
    if own is None:
        raise ValueError("`blocks` must hold at least one block. Received: none")
    return own, to_other


def text_rollout(record: AttentionRecord, residual: float = 0.5) -> np.ndarray:
    """(B, T, S) the share of each row of the text tower that comes from image tokens, after the last block."""
    other = rollout(list(record.self_attention.values()), residual)
    blocks = zip(record.text.self_attention.values(), record.cross_attention.values(), strict=True)
    return two_stream_rollout(blocks, other, residual)[1]


def token_rollout_maps(record: AttentionRecord, residual: float = 0.5) -> np.ndarray:
    """(B, T, P) rollout of each text token at its own position: its row, or in a captioner the row that predicts it.

    Padding and the first token of a captioner, which no row predicts, are zero.
    """
    maps = record.token_layout.patches(text_rollout(record, residual))
    if record.text.predicts_next:
        maps = np.concatenate([np.zeros_like(maps[:, :1]), maps[:, :-1]], axis=1)
    return maps * record.text.padding_mask[:, :, None]


def answer_row(record: AttentionRecord, target=None) -> np.ndarray:
    """(B, T) the weight of each row of the text tower in the answer; sums to 1.

    It selects the last real token (`eos`), the mean of the real ones (`gap`), the attention pooling's weights, mean
    over heads (`map`), or for a captioner the row before the target.

    Args:
        record: AttentionRecord with texts.
        target: (B,) int, for a captioner the position of the explained token (1 or later).

    Raises:
        ValueError: a captioner without `target`.
    """
    text, mask = record.text, record.text.padding_mask
    if text.pooling == "map":
        return text.pooling_weights[:, :, 0].mean(axis=1, dtype=np.float64)
    if text.pooling == "gap":
        return divide(mask.astype(np.float64), mask.sum(axis=1, keepdims=True))
    if text.predicts_next and target is None:
        raise ValueError("`target` must say which token of the caption is explained. Received: None")
    rows = np.asarray(target) - 1 if text.predicts_next else mask.sum(axis=1) - 1
    return np.eye(mask.shape[1])[rows]


def cross_raw_map(record: AttentionRecord, target=None) -> np.ndarray:
    """(B, P) cross-attention of the last block, mean over heads, as the answer reads it (`answer_row`); of a dual
    encoder the image tower's own raw map."""
    if not record.cross_attention:
        return raw_map(record)
    last = list(record.cross_attention.values())[-1].mean(axis=1, dtype=np.float64)
    return record.token_layout.patches((answer_row(record, target)[:, None] @ last)[:, 0])


def cross_rollout_map(record: AttentionRecord, target=None, residual: float = 0.5) -> np.ndarray:
    """(B, P) rollout through both towers as the answer reads it (`answer_row`); of a dual encoder the image tower's."""
    if not record.cross_attention:
        return rollout_map(record, residual)
    rows = answer_row(record, target)[:, None] @ text_rollout(record, residual)
    return record.token_layout.patches(rows[:, 0])
