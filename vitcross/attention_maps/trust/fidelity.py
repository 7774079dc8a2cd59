"""Measures fidelity: whether a map points at what the model uses, by deletion and insertion in the map's order.

The curves of every method are compared, paired over examples, with random orders, another image's map and a center
prior. `f` is the score of `Scores`: the probability of the target when only some patches are kept. A map may be
faithful to an untrained model too: fidelity does not show that anything was learned.

Shape legend: B examples, P patches, K points of a curve.
"""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np

from vitcross.attention_maps.records.trust_report import Fidelity, ProbeFidelity
from vitcross.attention_maps.trust.deletion_insertion import (
    area,
    center_prior,
    kept_counts,
    orders_of_maps,
    random_orders,
)
from vitcross.attention_maps.trust.significance import bootstrap_interval, decide, explainable, sign_flip_test
from vitcross.derangement import derangement

LEAVE_ONE_OUT = "leave_one_out"
RANDOM, CENTER, OTHER = "random", "center", "other"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Curves:
    """The scores along one order of every example.

    Fields:
        counts: (K,) ints, ascending: patches that are kept.
        deletion: (B, K) float64, keeping the least important ones: the most important are removed first.
        insertion: (B, K) float64, keeping the most important ones.
        deletion_right, insertion_right: (B, K) bool, whether the target is the model's top prediction.
    """

    counts: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray
    deletion_right: np.ndarray
    insertion_right: np.ndarray

    @property
    def areas(self) -> tuple[np.ndarray, np.ndarray]:
        """(B,) areas under deletion and under insertion."""
        return area(self.counts, self.deletion), area(self.counts, self.insertion)

    @property
    def gap(self) -> np.ndarray:
        """(B,) insertion minus deletion."""
        deletion, insertion = self.areas
        return insertion - deletion


def leave_one_out(portions) -> np.ndarray:
    """(B, P) float32: by how much `f` drops when a single patch is dropped; negative where it rises.

    It is the practical reference, since it tests each patch on the model; it takes P passes of the network, not one.
    """
    maps = np.zeros((len(portions), 0))
    for rows, scores in portions:
        P = scores.layout.num_patches
        if P < 2:
            raise ValueError(f"`leave_one_out` needs at least two patches. Received: {P}")
        maps = maps if maps.shape[1] else np.zeros((len(portions), P))
        without = np.array([np.delete(np.arange(P), p) for p in range(P)])
        numbers, _ = scores(np.repeat(np.arange(len(rows)), P), np.tile(without, (len(rows), 1)))
        maps[rows] = scores.full[:, None] - numbers.reshape(len(rows), P)
    return maps.astype(np.float32)


def plan(maps, grid, *, num_random: int = 3, other: bool = True, seed: int = 0) -> dict[str, np.ndarray]:
    """name -> (B, P), the orders to measure: of every method, of another image's map (`other/<method>`), of the center
    prior (`center`), and random ones (`random/0`, ...), which are the same for all methods and captures.

    Args:
        maps: dict method -> (B, P).
        grid: (grid_height, grid_width).
        num_random: int, number of random orders.
        other: bool, include another image's map.
        seed: int.
    """
    orders = {method: orders_of_maps(m, seed) for method, m in maps.items()}
    num_examples = len(next(iter(orders.values())))
    if other and num_examples > 1:
        shuffled = derangement(num_examples, (seed, num_examples))
        orders |= {f"{OTHER}/{method}": orders[method][shuffled] for method in maps}
    # Another seed: the ties of a constant map must not be broken like those of the center prior.
    orders[CENTER] = orders_of_maps(np.tile(center_prior(grid), (num_examples, 1)), seed + 1)
    drawn = random_orders(num_random, num_examples, grid[0] * grid[1], seed)
    return orders | {f"{RANDOM}/{r}": order for r, order in enumerate(drawn)}


def planned_runs(num_patches: int, num_orders: int, num_steps: int | None = None, reference: bool = True) -> Counter:
    """Patches kept -> forward passes of one image for `measure` of so many orders, and for `leave_one_out` with
    `reference`; without the one pass of the whole image."""
    runs = Counter({int(count): 2 * num_orders for count in kept_counts(num_patches, num_steps) if count < num_patches})
    if reference:
        runs[num_patches - 1] += num_patches
    return runs


def measure(portions, orders, *, num_steps: int | None = None) -> dict[str, Curves]:
    """name -> Curves of every order of a `plan`.

    Args:
        portions: `Portions`, or a list of `(rows, Scores)`.
        orders: dict name -> (B, P).
        num_steps: int, points of a curve after its first (one patch kept); None: one for each patch.
    """
    B, P = next(iter(orders.values())).shape
    counts = kept_counts(P, num_steps)
    # Axes: order, deletion or insertion, example, point.
    numbers = np.zeros((len(orders), 2, B, len(counts)))
    right = np.zeros(numbers.shape, bool)
    for rows, scores in portions:
        stacked = np.stack([order[rows] for order in orders.values()])
        for k, count in enumerate(counts):
            if count == P:
                numbers[..., rows, k], right[..., rows, k] = scores.full, scores.right
                continue
            kept = np.stack([stacked[..., P - count :], stacked[..., :count]], axis=1)
            examples = np.broadcast_to(np.arange(len(rows)), kept.shape[:3]).reshape(-1)
            found = scores(examples, kept.reshape(-1, count))
            numbers[..., rows, k], right[..., rows, k] = (a.reshape(kept.shape[:3]) for a in found)
    return {
        name: Curves(
            counts=counts,
            deletion=numbers[i, 0],
            insertion=numbers[i, 1],
            deletion_right=right[i, 0],
            insertion_right=right[i, 1],
        )
        for i, name in enumerate(orders)
    }


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Baseline:
    """Results of the random orders, each (B,): areas `deletion` and `insertion`, their difference `gap`; `full`, `f`
    with all patches; `single`, `f` with one patch, the mean over the ends of the random curves."""

    deletion: np.ndarray
    insertion: np.ndarray
    gap: np.ndarray
    full: np.ndarray
    single: np.ndarray


def baseline(curves: dict[str, Curves]) -> Baseline:
    """The mean over the random orders of a `measure`."""
    drawn = [c for name, c in curves.items() if name.startswith(f"{RANDOM}/")]
    deletion, insertion = (np.mean([c.areas[side] for c in drawn], axis=0) for side in (0, 1))
    single = np.mean([(c.deletion[:, 0] + c.insertion[:, 0]) / 2 for c in drawn], axis=0)
    return Baseline(
        deletion=deletion, insertion=insertion, gap=insertion - deletion, full=drawn[0].insertion[:, -1], single=single
    )


def fidelity(curves: dict[str, Curves], *, seed: int = 0) -> dict[str, Fidelity]:
    """method -> Fidelity of every method of a `measure`, in its order."""
    methods = [name for name in curves if name != CENTER and "/" not in name]
    random = baseline(curves)
    differences = {(method, RANDOM): curves[method].gap - random.gap for method in methods}
    differences |= {(method, CENTER): curves[method].gap - curves[CENTER].gap for method in methods}
    for method in methods:
        if (other := curves.get(f"{OTHER}/{method}")) is not None:
            differences[method, OTHER] = curves[method].gap - other.gap
    # One call, so that the flips are drawn only once.
    p_values = sign_flip_test(list(differences.values()), seed=seed)
    tested = {key: (float(d.mean()), float(p)) for (key, d), p in zip(differences.items(), p_values, strict=True)}
    low, high = bootstrap_interval([differences[method, RANDOM] for method in methods], seed=seed)
    reference = tested[LEAVE_ONE_OUT, RANDOM][0] if LEAVE_ONE_OUT in methods else 0.0
    change = float(np.mean(np.abs(random.full - random.single)))
    num_explainable = int(explainable(random.full, random.single).sum())
    found = {}
    for i, method in enumerate(methods):
        deletion, insertion = (float(side.mean()) for side in curves[method].areas)
        (gap, p_value), (gap_center, p_center) = tested[method, RANDOM], tested[method, CENTER]
        gap_other, p_other = tested.get((method, OTHER), (None, None))
        verdict, reason = decide(gap, p_value, (low[i], high[i]), change, num_explainable)
        found[method] = Fidelity(
            deletion=deletion,
            insertion=insertion,
            gap=gap,
            gap_low=float(low[i]),
            gap_high=float(high[i]),
            p_value=p_value,
            gap_other=gap_other,
            p_other=p_other,
            gap_center=gap_center,
            p_center=p_center,
            gap_share=gap / reference if reference > 0 else None,
            verdict=verdict,
            reason=reason,
        )
    return found


def probe_fidelity(curves: dict[str, Curves]) -> dict[str, tuple[ProbeFidelity, ...]]:
    """method -> one ProbeFidelity for every example of a `measure`."""
    random = baseline(curves)
    worth = explainable(random.full, random.single)
    found = {}
    for method in (name for name in curves if name != CENTER and "/" not in name):
        rows = zip(*curves[method].areas, curves[method].gap - random.gap, worth, strict=True)
        found[method] = tuple(
            ProbeFidelity(deletion=float(d), insertion=float(i), gap=float(g), explainable=bool(w))
            for d, i, g, w in rows
        )
    return found
