"""Compares maps with those of a randomized model: does a map show what was learned, or only architecture and image?

The randomized model has the same architecture, initialized with another seed. (Step 0 of a run has the same start, and
that of a fine-tuned one is pretrained.) Rank correlation 1: the same map without training; 0: nothing in common.

Shape legend: B examples, P patches.

Reference: Adebayo et al., "Sanity Checks for Saliency Maps", 2018 (arXiv 1810.03292), model randomization, section 3.
"""

from __future__ import annotations

import random

import numpy as np


def model_randomization(maps, fresh_maps) -> dict[str, float]:
    """method -> mean over the examples of the rank correlation of their two maps, for every method that has both.

    Examples with a constant map have no ranks and are left out, as is a method without any other example.

    Args:
        maps: dict method -> (B, P), of the model.
        fresh_maps: dict method -> (B, P), of a `randomized_model` on the same images.
    """
    found = {}
    for method in maps:
        if method in fresh_maps:
            correlations = rank_correlation(maps[method], fresh_maps[method])
            if np.isfinite(correlations).any():
                found[method] = float(np.nanmean(correlations))
    return found


def rank_correlation(first, second) -> np.ndarray:
    """(B,) Spearman's rank correlation, in [-1, 1], of the rows of two arrays (B, P); equal values share the mean of
    their ranks. NaN where a row is constant or not finite."""
    from scipy.stats import rankdata  # here: `import vitcross.attention_maps` stays light

    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(f"Both arrays must be (B, P) of one shape. Received: {first.shape} and {second.shape}")
    a, b = (rankdata(rows, axis=1) - (rows.shape[1] + 1) / 2 for rows in (first, second))
    norms = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    finite = np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1)
    known = (norms > 0) & finite
    return np.divide((a * b).sum(axis=1), norms, out=np.full(len(a), np.nan), where=known)


def randomized_model(model, seed: int = 1):
    """A model of the same architecture, initialized by `seed` and untrained.

    Keras draws the seeds of initializers and dropout from Python's generator, whose state is restored afterwards:
    training in this process continues with the same numbers.

    Args:
        model: built model of `vitcross.models`.
        seed: int; it should differ from the run's.
    """
    state = random.getstate()
    random.seed(seed)
    try:
        return type(model).from_config(model.get_config())
    finally:
        random.setstate(state)
