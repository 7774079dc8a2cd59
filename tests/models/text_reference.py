"""Plain NumPy, float64, written from the formulas: what the text tower and the image-text models must compute.

Shapes: B batch, T tokens, S context tokens, N heads, D width, Dc width of the context.
"""

import numpy as np

from tests import reference
from tests.backend import below


def text_transformer(
    ids, p, *, depth, num_heads, name, causal, pooling, real=None, context=None, kept=None, form="erf"
):
    """What a text tower returns and its weights by address. `real` (B, T), `kept` (B, S): bool masks or None."""
    batch, length = ids.shape
    real = np.ones((batch, length), bool) if real is None else real
    x = np.stack([p["embedding/embeddings"][row] for row in ids]) + p["embedding/positions"][:length]
    x = x * np.sqrt(x.shape[-1])
    mask = np.broadcast_to(real[:, None, None, :], (batch, 1, length, length)).copy()
    if causal:
        for t in range(length):
            mask[:, :, t, t + 1 :] = False
    context_mask = None if kept is None else kept[:, None, None, :]
    weights = {}
    for index in range(depth):
        block = f"block_{index:02d}"
        x, kinds = reference.block(x, below(p, f"encoder/{block}"), num_heads, context, mask, context_mask, form)
        weights.update({f"{name}/{block}/{kind}": value for kind, value in kinds.items()})
    x = reference.layer_norm(x, below(p, "norm"))
    if pooling == "map":
        x, weights[f"{name}/pooling/cross_attention"] = reference.attention_pooling(
            x, below(p, "pooling"), num_heads, real[:, None, None, :], form
        )
    elif pooling == "gap":
        x = np.stack([row[keep].mean(0) if keep.any() else 0 * row[0] for row, keep in zip(x, real, strict=True)])
    elif pooling == "eos":
        x = np.stack([row[np.flatnonzero(keep)[-1]] for row, keep in zip(x, real, strict=True)])
    return x, weights


def normalized(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)
