"""Computes deletion and insertion: areas under the score of a target while patches are removed or added in order.

Pure functions, NumPy in and out. An ordering lists all patches, most important first. A curve runs over the number of
patches kept; its area is divided by the width of that range, so that a constant model yields its constant.

Shape legend: B examples, P patches, K points of a curve, R orders.

Reference: RISE, Petsiuk et al. 2018 (arXiv 1806.07421), section 4.2; here patches are dropped as tokens, not as pixels.
"""

from __future__ import annotations

import numpy as np


def deletion_insertion(score, ordering, num_steps: int | None = None, *, smallest: int = 1) -> tuple[float, float]:
    """Areas of the deletion and of the insertion curve of one example.

    Deletion removes the most important patches first: a faithful map makes it low. Insertion adds them first: a
    faithful map makes it high. The reversed ordering swaps the two.

    Args:
        score: callable, keep (K, P) bool -> (K,) the score when only those patches are kept.
        ordering: (P,) ints, every patch once, most important first (`orders_of_maps`).
        num_steps: int, points of a curve after its first; None: one for each patch.
        smallest: int >= 0, patches that are always kept. 1 by default: most models need at least one.

    Returns:
        `(deletion, insertion)`, weighted means of `score`.
    """
    ordering = _check_ordering(ordering)
    counts = kept_counts(len(ordering), num_steps, smallest)
    ranks = np.argsort(ordering)
    # The k most important patches, then the k least important ones.
    keep = np.concatenate([ranks < counts[:, None], ranks >= len(ordering) - counts[:, None]])
    values = np.asarray(score(keep), np.float64)
    if values.shape != (len(keep),):
        raise ValueError(f"`score` must give one number for each of the {len(keep)} rows. Received: {values.shape}")
    insertion, deletion = values.reshape(2, -1)
    return float(area(counts, deletion)), float(area(counts, insertion))


def kept_counts(num_patches: int, num_steps: int | None = None, smallest: int = 1) -> np.ndarray:
    """(K,) ascending numbers of patches kept along a curve, from `smallest` to all: even shares, rounded to whole
    patches. There are fewer than `num_steps` + 1 points where two would be equal."""
    if not 0 <= smallest <= num_patches:
        raise ValueError(f"`smallest` must be in [0, {num_patches}]. Received: smallest={smallest}")
    num_steps = num_patches if num_steps is None else num_steps
    if num_steps < 1:
        raise ValueError(f"`num_steps` must be >= 1, or None for every patch. Received: num_steps={num_steps}")
    shares = np.arange(num_steps + 1) / num_steps
    return np.unique(np.maximum(np.rint(num_patches * shares).astype(np.int64), smallest))


def area(counts, values) -> np.ndarray:
    """(...,) float64, the trapezoidal area under `values` (..., K) over `counts` (K,), divided by the counts' range."""
    counts, values = np.asarray(counts, np.float64), np.asarray(values, np.float64)
    if len(counts) == 1:
        return values[..., 0]
    trapezoids = (values[..., 1:] + values[..., :-1]) / 2 * np.diff(counts)
    return trapezoids.sum(axis=-1) / (counts[-1] - counts[0])


def orders_of_maps(maps, seed: int = 0) -> np.ndarray:
    """(B, P) ints: the patches of every map (B, P), largest value first, NaN last.

    Ties are broken at random, by seed and row: in row-major order they would favor the top of the image.
    """
    maps = np.asarray(maps, np.float64)
    if maps.ndim != 2:
        raise ValueError(f"`maps` must be (B, P). Received: shape {maps.shape}")
    ties = np.stack([_generator(seed, b).random(maps.shape[1]) for b in range(len(maps))])
    descending = np.where(np.isnan(maps), np.inf, -maps)
    return np.lexsort((ties, descending), axis=-1)


def random_orders(num_orders: int, num_examples: int, num_patches: int, seed: int = 0) -> np.ndarray:
    """(R, B, P) random orders, drawn for each example separately: shared orders would make differences dependent.

    An order depends only on the seed and on its two indices, not on how many examples or orders there are.
    """
    if num_orders < 1:
        raise ValueError(f"`num_orders` must be >= 1. Received: num_orders={num_orders}")
    draw = [
        [_generator(seed, r, b).permutation(num_patches) for b in range(num_examples)] for r in range(1, num_orders + 1)
    ]
    return np.array(draw, np.int64).reshape(num_orders, num_examples, num_patches)


def center_prior(grid: tuple[int, int]) -> np.ndarray:
    """(P,) a map in [0, 1] that ignores the image: larger the nearer a patch is to the center of the grid."""
    rows, columns = (np.abs((np.arange(side) + 0.5) / side - 0.5) for side in grid)
    return 1.0 - np.hypot(rows[:, None], columns[None]).reshape(-1)


def _generator(*seed: int) -> np.random.Generator:
    # A separate generator: training uses NumPy's global one.
    return np.random.default_rng(seed)


def _check_ordering(ordering) -> np.ndarray:
    ordering = np.asarray(ordering)
    if ordering.ndim != 1 or not np.array_equal(np.sort(ordering), np.arange(len(ordering))):
        raise ValueError(f"`ordering` must hold every patch from 0 on exactly once. Received: {ordering!r}")
    return ordering.astype(np.int64)
