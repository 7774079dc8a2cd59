"""Relevance and rollout of one example by loops and joint matrices: what the vectorized rules are held against.

Rollout of two streams is written here as Abnar & Zuidema's rule on one long sequence, text tokens before image tokens.
"""

import numpy as np


def abar(weights_NTS, gradients_NTS):
    found = np.zeros(weights_NTS.shape[1:])
    for weights_TS, gradients_TS in zip(weights_NTS, gradients_NTS, strict=True):
        raised = gradients_TS.astype(np.float64) * weights_TS
        found += np.where(raised > 0, raised, 0) / len(weights_NTS)
    return found


def normalized(relevance):
    count = len(relevance)
    rest = relevance - np.eye(count)
    sums = [sum(rest[i, j] for j in range(count)) for i in range(count)]
    found = np.eye(count)
    for i in range(count):
        if sums[i] > 0 and sums[i] >= 1e-6 * max(sums):
            for j in range(count):
                found[i, j] += rest[i, j] / sums[i]
    return found


def chain(abars):
    relevance = np.eye(len(abars[0]))
    for layer in abars:
        # Each token adds what the tokens that it reads have collected so far.
        relevance = np.array(
            [relevance[i] + sum(layer[i, k] * relevance[k] for k in range(len(layer))) for i in range(len(layer))]
        )
    return relevance


def cross(layer, own, to_other, other, from_other=None, transpose=True):
    """Equations 10 and 11 row by row, from the old matrices."""
    rows, keys = layer.shape
    left = normalized(own) if transpose else np.eye(rows)
    right = normalized(other)
    new_own, new_to_other = own.copy(), to_other.copy()
    for u in range(rows):
        taken = sum(layer[u, v] * right[v] for v in range(keys))
        for t in range(rows):
            new_to_other[t] += left[u, t] * taken
        if from_other is not None:
            new_own[u] += sum(layer[u, v] * from_other[v] for v in range(keys))
    return new_own, new_to_other


def two_streams(blocks, other, transpose=True):
    rows, keys = blocks[0][1].shape
    own, to_other = np.eye(rows), np.zeros((rows, keys))
    for self_layer, cross_layer in blocks:
        own, to_other = own + self_layer @ own, to_other + self_layer @ to_other
        own, to_other = cross(cross_layer, own, to_other, other, transpose=transpose)
    return own, to_other


def pooled(pooling_T, own):
    bar = normalized(own)
    return np.array([sum(pooling_T[i] * bar[i, j] for i in range(len(bar))) for j in range(len(bar))])


def row(own, index):
    found = own[index].copy()
    found[index] -= 1
    return found


def joint_rollout(image_layers_NSS, text_blocks, residual=0.5):
    """(T + S, T + S) rollout of text and image tokens as one sequence; `text_blocks` pairs (N, T, T), (N, T, S)."""
    keys, rows = image_layers_NSS[0].shape[-1], text_blocks[0][0].shape[-1]
    layers = []
    for image in image_layers_NSS:
        layers.append(np.eye(rows + keys))
        layers[-1][rows:, rows:] = _mixed(image.mean(0), residual)
    for own, read in text_blocks:
        layers.append(np.eye(rows + keys))
        layers[-1][:rows, :rows] = _mixed(own.mean(0), residual)
        layers.append(np.eye(rows + keys))
        for t in range(rows):
            line = np.zeros(rows + keys)
            line[rows:] = (1 - residual) * read.mean(0)[t]
            line[t] += residual
            layers[-1][t] = line / line.sum()
    found = np.eye(rows + keys)
    for layer in layers:
        found = layer @ found
    return found


def _mixed(attention, residual):
    mixed = (1 - residual) * attention + residual * np.eye(len(attention))
    return mixed / mixed.sum(-1, keepdims=True)
