"""Which heads does the model use? The gradient of the loss by a gate on each head, checked by closing the gates.

`I_h = mean over examples of |<O_h, dL/dO_h>|`: O_h is a head's output, and the product is the derivative of the loss by
a number that multiplies it, at 1 (`AttentionControls.head_gates`). L is -log of the target's probability, where
it is a similarity its negative. Importances of one layer are divided by their Euclidean length, as in the paper.

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

# A probability below it has no logarithm worth following.
_LEAST = 1e-30


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class HeadImportance:
    """Tables of one model, by kind of layer: `image_encoder/self_attention`, `text_decoder/cross_attention`, ...

    Fields:
        importance: kind -> (L, N) float64 >= 0, rows of Euclidean length 1 (0 where no head counts).
        drop: kind -> (L, N) float64, by how much the target's probability drops, mean over examples, when that head
            alone is closed; negative where it rises. Empty where not measured.
        agreement: kind -> float in [-1, 1], rank correlation over all heads of a kind of the gradient before it is
            divided by its layer's length, and |drop|: does the one foretell the other? Without kinds of which all
            heads do the same.
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
    """Importance of every head of the layers that the image goes through, in inference mode.

    Args:
        model: built model that implements `Explainable`; of its towers those of the image, and those that read one.
        batch: dict of arrays, the batch contract; rows with `valid` False are left out.
        target: (B,) int or None, as of `trust.Trust`.
        ablate: bool, close every head in turn too: one pass of the network for each.
        portion: int, examples at a time.
    """
    batch, target = valid_rows(batch, target)
    query = TokenScorer(model).query(batch, target)
    images = np.asarray(batch[model.batch_keys[0]], np.float32)
    towers = [tower for tower in model.towers if tower.tokens == "patches" or tower.reads is not None]
    heads = {address: tower.num_heads for tower in towers for address in tower.attention_addresses}
    say, differentiate = _compiled(model, query.is_probability)
    gradients, drops = {a: [] for a in heads}, {a: [] for a in heads}
    for start in range(0, len(images), portion):
        rows = slice(start, start + portion)
        part, part_images = query.take(rows), {"images": images[rows]}
        gates = {a: np.ones((len(images[rows]), num_heads), np.float32) for a, num_heads in heads.items()}
        full, _, most = say(part_images, part.arrays, gates)
        target = part.rows["target"]
        arrays = part.with_target(np.where(target < 0, most, target)).arrays
        for address, found in differentiate(part_images, arrays, gates).items():
            gradients[address].append(np.abs(found.astype(np.float64)))
        for address in heads if ablate else ():
            drops[address].append(_drops(say, part_images, arrays, gates, address, full))
    raw = _tables({a: np.concatenate(found).mean(axis=0) for a, found in gradients.items()})
    drop = _tables({a: np.concatenate(found).mean(axis=0) for a, found in drops.items() if found})
    return HeadImportance(importance={k: _unit_rows(t) for k, t in raw.items()}, drop=drop, agreement=_agree(raw, drop))


def _compiled(model, is_probability: bool):
    """`say(images, query, gates)` and the gradient of the loss by each address's gates, (B, N) each."""
    from keras import ops

    from vitcross.layers.attention_controls import AttentionControls
    from vitcross.models.compiled import compiled, gradient

    def say(images, query, gates):
        return score_images(model, images["images"], query, AttentionControls(head_gates=gates))

    def differentiate(images, query, gates):
        def loss(gates):
            numbers = say(images, query, gates)[0]
            # Examples do not see each other: the gradient of the sum is, row by row, that of each.
            return -ops.sum(ops.log(ops.maximum(numbers, _LEAST)) if is_probability else numbers), ()

        return gradient(loss, gates)[0]

    return (compiled(model, function, any_length=True, as_numpy=True) for function in (say, differentiate))


def _drops(say, images, query, gates, address, full) -> np.ndarray:
    """(B, N) by how much the target's number drops when each head of one layer is closed."""
    drops = np.zeros(gates[address].shape)
    for head in range(drops.shape[1]):
        closed = gates[address].copy()
        closed[:, head] = 0.0
        drops[:, head] = full.astype(np.float64) - say(images, query, {**gates, address: closed})[0]
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
