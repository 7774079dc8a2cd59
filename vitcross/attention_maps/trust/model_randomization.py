"""Does a map show the model, or only its architecture and the image? Held against the map of the same architecture,
freshly initialized with another seed: step 0 of a run shares its start, and of a fine-tuned one is pretrained.

Rank correlation 1: the map would be the same without anything learned; 0: nothing in common.

Shape legend: B examples, P patches.

Reference: Adebayo et al., "Sanity Checks for Saliency Maps", 2018 (arXiv 1810.03292), model randomization, section 3.
"""

from __future__ import annotations

import random

import numpy as np


def model_randomization(maps, fresh_maps) -> dict[str, float]:
    """method -> mean over the examples of the rank correlation of their two maps, for every method that has both.

    Examples of which one map is constant have no ranks and are left out; a method of which all are is left out too.

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
    """(B,) Spearman's rank correlation of the rows of two arrays (B, P), in [-1, 1]; equal values have the mean of
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
    """The same architecture with new initial values by `seed`, as if it had never been trained.

    Keras draws the seed of every initial value and of every dropout from Python's generator, which is left as it was
    found: whoever trains in this process goes on with the same numbers.

    Args:
        model: built model of `vitcross.models`.
        seed: int; let it differ from the run's.
    """
    state = random.getstate()
    random.seed(seed)
    try:
        return type(model).from_config(model.get_config())
    finally:
        random.setstate(state)
