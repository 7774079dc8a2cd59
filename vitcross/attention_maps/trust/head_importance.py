"""Measures the importance of each head by the gradient of the loss at a gate on it, checked by closing the gate.

`I_h = mean over examples of |<O_h, dL/dO_h>|`: O_h is the head's output, and the product is the derivative of the loss
by a factor on it, at 1 (`AttentionControls.head_gates`). L is -log of the target's probability, or its negative cosine.
The importances of one layer are divided by their Euclidean length, as in the paper.

Shape legend: B examples, N heads, L layers.

Reference: Michel, Levy & Neubig, "Are Sixteen Heads Really Better than One?", 2019 (arXiv 1905.10650), equation 2 and
section 4.1.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from vitcross.attention_maps.trust.model_randomization import rank_correlation
from vitcross.attention_maps.trust.portions import valid_rows
from vitcross.attention_maps.trust.target_probability import score_images
from vitcross.attention_maps.trust.token_scores import TokenScorer

# Smaller probabilities are clipped before the logarithm.
_LEAST = 1e-30


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class HeadImportance:
    """Tables of one model, by kind of layer: `image_encoder/self_attention`, `text_decoder/cross_attention`, ...

    Fields:
        importance: kind -> (L, N) float64 >= 0, rows of Euclidean length 1 (0 where no head counts).
        drop: kind -> (L, N) float64, mean over examples of the drop of the target's probability when that head alone is
            closed; negative where it rises. Empty where not measured.
        agreement: kind -> float in [-1, 1], rank correlation over all heads of a kind between the gradient, before it
            is divided by its layer's length, and |drop|. Kinds whose heads are all equal are left out.
    """

    importance: dict[str, np.ndarray]
    drop: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    agreement: dict[str, float] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict:
        """JSON-ready."""
        tables = {name: getattr(self, name) for name in ("importance", "drop")}
        return {n: {kind: t.tolist() for kind, t in by_kind.items()} for n, by_kind in tables.items()} | {
            "agreement": dict(self.agreement)
        }


def head_importance(model, batch, target=None, *, ablate: bool = True, portion: int = 64) -> HeadImportance:
    """Importance of every head of the image tower and of towers that read another one, in inference mode.

    Args:
        model: built model that implements `Explainable`.
        batch: dict of arrays, the batch contract; rows with `valid` False are left out.
        target: (B,) int or None, as of `trust.Trust`.
        ablate: bool, also close each head in turn, which takes one pass of the network per head.
        portion: int, examples at a time.
    """
    batch, target = valid_rows(batch, target)
    query = TokenScorer(model).query(batch, target)
    images = np.asarray(batch[model.batch_keys[0]], np.float32)
    towers = [tower for tower in model.towers if tower.tokens == "patches" or tower.reads is not None]
    heads = {address: tower.num_heads for tower in towers for address in tower.attention_addresses}
    score, differentiate = _compiled(model, query.is_probability)
    gradients, drops = {a: [] for a in heads}, {a: [] for a in heads}
    for start in range(0, len(images), portion):
        rows = slice(start, start + portion)
        part, part_images = query.take(rows), {"images": images[rows]}
        gates = {a: np.ones((len(images[rows]), num_heads), np.float32) for a, num_heads in heads.items()}
        full, _, most = score(part_images, part.arrays, gates)
        target = part.rows["target"]
        arrays = part.with_target(np.where(target < 0, most, target)).arrays
        for address, found in differentiate(part_images, arrays, gates).items():
            gradients[address].append(np.abs(found.astype(np.float64)))
        for address in heads if ablate else ():
            drops[address].append(_drops(score, part_images, arrays, gates, address, full))
    raw = _tables({a: np.concatenate(found).mean(axis=0) for a, found in gradients.items()})
    drop = _tables({a: np.concatenate(found).mean(axis=0) for a, found in drops.items() if found})
    return HeadImportance(importance={k: _unit_rows(t) for k, t in raw.items()}, drop=drop, agreement=_agree(raw, drop))


def _compiled(model, is_probability: bool):
    """`score(images, query, gates)`, as of `score_images`, and the loss's gradient by address, (B, N)."""
    from keras import ops

    from vitcross.layers.attention_controls import AttentionControls
    from vitcross.models.compiled import compiled, gradient

    def score(images, query, gates):
        return score_images(model, images["images"], query, AttentionControls(head_gates=gates))

    def differentiate(images, query, gates):
        def loss(gates):
            numbers = score(images, query, gates)[0]
            # Examples are independent: the gradient of the sum is, row by row, that of each.
            return -ops.sum(ops.log(ops.maximum(numbers, _LEAST)) if is_probability else numbers), ()

        return gradient(loss, gates)[0]

    return (compiled(model, function, any_length=True, as_numpy=True) for function in (score, differentiate))


def _drops(score, images, query, gates, address, full) -> np.ndarray:
    """(B, N) by how much the score drops when each head of one layer is closed."""
    drops = np.zeros(gates[address].shape)
    for head in range(drops.shape[1]):
        closed = gates[address].copy()
        closed[:, head] = 0.0
        drops[:, head] = full.astype(np.float64) - score(images, query, {**gates, address: closed})[0]
    return drops


def _tables(by_address: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rows (N,) by address as tables (L, N) by kind of layer."""
    kinds: dict[str, list] = {}
    for address, row in by_address.items():
        tower, place, kind = address.split("/")
        kinds.setdefault(f"{tower}/pooling" if place == "pooling" else f"{tower}/{kind}", []).append(row)
    return {kind: np.stack(rows) for kind, rows in kinds.items()}


def _unit_rows(table: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    return np.divide(table, lengths, out=np.zeros_like(table), where=lengths > 0)


def _agree(raw, drop) -> dict[str, float]:
    found = {k: rank_correlation(raw[k].reshape(1, -1), np.abs(drop[k]).reshape(1, -1))[0] for k in drop}
    return {kind: float(value) for kind, value in found.items() if np.isfinite(value)}
