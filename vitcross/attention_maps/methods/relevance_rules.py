"""Implements the rules of relevance: what each token of the last layer took from each input token *for a target*.

Chefer, Gur, Wolf, "Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder Transformers",
ICCV 2021 (arXiv 2103.15679), section 3; the numbers of equations are the paper's. Everything is NumPy and float64.

A target is a scalar (a logit, a cosine). `Abar` holds the weights of one layer that raise it; relevance starts as the
identity and is propagated from layer to layer. Streams of tokens: own (s, whose queries attend) and other (q, whose
tokens a cross-attention reads). All relevance is >= 0; where no weight raises the target, nothing is added to the
identity, and every map read from it is zero.

Shape legend: B batch, N heads, T tokens of the own stream, S tokens of the other one.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from vitcross.attention_maps.methods.rollout import check_weights, divide

# A row sum below this share of the matrix's largest is rounding, which normalization would blow up to weight 1.
SMALLEST_ROW = 1e-6


def positive_weights(weights, gradients, query_mask=None) -> np.ndarray:
    """Equation 5: `Abar = mean over heads of relu(dy/dA * A)`; the relu comes before the mean.

    Args:
        weights: (B, N, T, S) attention weights A of one layer.
        gradients: (B, N, T, S) dy/dA.
        query_mask: bool (B, T) or None, True = real token; rows of padding are set to 0.

    Returns:
        (B, T, S) float64 >= 0.

    Raises:
        ValueError: for two shapes, or not of rank 4.
    """
    weights, gradients = check_weights(weights), check_weights(gradients)
    if weights.shape != gradients.shape:
        raise ValueError(
            f"`gradients` must have the shape of `weights`, {weights.shape}. Received: shape {gradients.shape}"
        )
    abar = np.maximum(gradients.astype(np.float64) * weights, 0.0).mean(axis=1)
    return abar if query_mask is None else abar * np.asarray(query_mask, bool)[:, :, None]


def identity(batch: int, length: int) -> np.ndarray:
    """(B, T, T) float64, relevance before the first layer: every token is itself."""
    return np.broadcast_to(np.eye(length), (batch, length, length)).copy()


def normalized(relevance) -> np.ndarray:
    """Equations 8 and 9: `Rhat = R - I`, `Rbar = Rhat / rowsum(Rhat) + I`, with 0 / 0 = 0.

    A row sum below `SMALLEST_ROW` of the largest of its matrix counts as 0.

    Args:
        relevance: (B, T, T), of a stream to itself.
    """
    own = np.eye(np.shape(relevance)[-1])
    added = np.asarray(relevance, np.float64) - own
    sums = added.sum(axis=-1, keepdims=True)
    sums = np.where(sums < SMALLEST_ROW * sums.max(axis=-2, keepdims=True), 0.0, sums)
    return divide(added, sums) + own


def after_self_attention(abar, own, to_other=None):
    """Equations 6 and 7: `R_ss + Abar R_ss` and `R_sq + Abar R_sq`.

    Args:
        abar: (B, T, T) of `positive_weights`.
        own: (B, T, T) R_ss.
        to_other: (B, T, S) R_sq, or None where there is one stream.

    Returns:
        R_ss, or with `to_other` the pair R_ss, R_sq.
    """
    own = own + abar @ own
    return own if to_other is None else (own, to_other + abar @ to_other)


def after_cross_attention(abar, own, to_other, other, from_other=None, transpose: bool = True):
    """Equations 10 and 11: `R_sq + Rbar_ss^T Abar Rbar_qq`, and `R_ss + Abar R_qs`, both from the old matrices.

    Args:
        abar: (B, T, S) of `positive_weights`.
        own: (B, T, T) R_ss.
        to_other: (B, T, S) R_sq.
        other: (B, S, S) R_qq.
        from_other: (B, S, T) R_qs, or None for zeros: the other stream never read this one.
        transpose: bool, include the paper's factor Rbar_ss^T. False: `R_sq + Abar Rbar_qq`, so that each token has only
            its own row of the cross-attention.

    Returns:
        The pair R_ss, R_sq.
    """
    read = abar @ normalized(other)
    if transpose:
        read = np.swapaxes(normalized(own), -1, -2) @ read
    return own if from_other is None else own + abar @ from_other, to_other + read


def self_attention_relevance(abars: Iterable[np.ndarray]) -> np.ndarray:
    """(B, T, T) R_ss of one stream after all its layers: equation 6, starting with the identity.

    Args:
        abars: (B, T, T) of each layer, first layer first; at least one.

    Raises:
        ValueError: without any layer.
    """
    own = None
    for abar in abars:
        own = after_self_attention(abar, identity(len(abar), abar.shape[-1]) if own is None else own)
    if own is None:
        raise ValueError("`abars` must hold at least one layer. Received: none")
    return own


def two_stream_relevance(blocks, other, transpose: bool = True):
    """R_ss and R_sq of a text tower whose blocks read another stream that never reads the text (R_qs = 0).

    Args:
        blocks: pairs of Abar, self-attention (B, T, T) and cross-attention (B, T, S), of each block, first block first.
        other: (B, S, S) R_qq of the stream that is read, after all its layers.
        transpose: bool, as of `after_cross_attention`.

    Returns:
        R_ss (B, T, T) and R_sq (B, T, S).
    """
    own = to_other = None
    for self_abar, cross_abar in blocks:
        if own is None:
            own, to_other = identity(*self_abar.shape[:2]), np.zeros(cross_abar.shape)
        own, to_other = after_self_attention(self_abar, own, to_other)
        own, to_other = after_cross_attention(cross_abar, own, to_other, other, transpose=transpose)
    if own is None:
        raise ValueError("`blocks` must hold at least one block. Received: none")
    return own, to_other


def mean_pooling_weights(products) -> np.ndarray:
    """Abar of mean pooling: `relu(<dy/dpool, x_j> / n)`.

    With `pool = mean of n tokens x_j`, dy/dx_j is dy/dpool / n: the products are those of each token and its gradient.

    Args:
        products: (B, T) `<dy/dx_j, x_j>`.
    """
    return np.maximum(np.asarray(products, np.float64), 0.0)


def read_by_pooling(abar, own) -> np.ndarray:
    """(B, T) what a pooling reads: it is a last cross-attention with one query, so that equation 10 gives `Abar Rbar`.

    The query is not a token, so the identity's share is left out. (The mean of the rows of R would leave 1/n of the
    identity on every patch: a lack of evidence would look like a uniform map.)

    Args:
        abar: (B, T) of the pooling's one query: `positive_weights` of its row, or `mean_pooling_weights`.
        own: (B, T, T) R_ss of the tokens that are pooled.
    """
    return (np.asarray(abar, np.float64)[:, None] @ normalized(own))[:, 0]


def read_row(own, rows) -> np.ndarray:
    """(B, T) one row of R_ss - I per example: what a class token or the last token of a text reads from other tokens.

    Args:
        own: (B, T, T) R_ss.
        rows: (B,) int, or one int for all.
    """
    rows = np.broadcast_to(rows, len(own))
    read = own[np.arange(len(own)), rows].copy()
    read[np.arange(len(own)), rows] -= 1.0
    return np.maximum(read, 0.0)
