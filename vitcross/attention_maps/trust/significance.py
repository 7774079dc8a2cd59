"""Tests whether a gap is more than chance: a paired sign-flip test, a bootstrap interval, and the verdict.

Pure functions, NumPy in and out; every draw is seeded. The null hypothesis is that each example's difference,
independent of the others, has either sign with equal probability. That holds for an uninformative map: reversing its
order swaps deletion and insertion, and a random order is as likely as its reverse.

SciPy is imported where it is used, so that `import vitcross.attention_maps` stays light.

Shape legend: B examples; `...` sets of them, tested in one call with the same draws.

References: Fisher's randomization test, "The Design of Experiments", 1935, section 21; the count of the observed one in
Monte Carlo is Phipson & Smyth 2010; BCa interval, Efron & Tibshirani, "An Introduction to the Bootstrap", 1993,
section 14.3.
"""

from __future__ import annotations

import warnings

import numpy as np

from vitcross.attention_maps.records.trust_report import CANNOT_TELL, FOLLOWS, NO_BETTER, NOTHING

ALPHA = 0.01
LEVEL = 0.99  # of the interval: it excludes 0 about where the test at ALPHA does
# Where the target's probability changes by less, there is nothing to explain.
LEAST_CHANGE = 0.05
# With fewer examples no sign-flip test reaches ALPHA: the signs of 7 are all equal in 1 of 64 cases.
FEWEST = 8
# A gap that would matter: a map is "no better than random" only where the interval excludes it.
LARGE_GAP = 0.1
_NUMBERS = 2**20  # of the draws that are held in memory at a time


def sign_flip_test(differences, *, num_flips: int = 9999, seed: int = 0) -> np.ndarray:
    """Two-sided p-value that the mean of `differences` is 0.

    All flips are counted where there are at most `num_flips` of them (up to 13 examples); else `num_flips` random ones
    and the observed one: (1 + count) / (1 + num_flips), never 0.

    Args:
        differences: (..., B) paired differences, one for each example.
        num_flips: int.
        seed: int.

    Returns:
        (...) in (0, 1]; 1 where a difference is not finite.
    """
    from scipy import stats

    differences = _check_values(differences, "differences")
    if differences.shape[-1] == 1:
        return np.ones(differences.shape[:-1])
    # Zeros have the p-value 1.
    known = np.where(np.isfinite(differences).all(axis=-1, keepdims=True), differences, 0.0)
    return stats.permutation_test(
        (known,),
        lambda values, axis: np.abs(values.sum(axis=axis)),
        permutation_type="samples",
        alternative="greater",
        n_resamples=num_flips,
        batch=max(1, _NUMBERS // known.size),
        axis=-1,
        rng=np.random.default_rng(seed),
    ).pvalue


def bootstrap_interval(values, *, level: float = LEVEL, num_draws: int = 2000, seed: int = 0) -> np.ndarray:
    """BCa interval of the mean of `values` (..., B), from `num_draws` samples of B examples drawn with replacement.

    Returns:
        (2, ...) low and high end; NaN where a value is not finite and of a single value. Where BCa is not defined, as
        of equal values, the percentile interval of the same draws.
    """
    from scipy import stats

    values = _check_values(values, "values")
    if not 0 < level < 1:
        raise ValueError(f"`level` must be in (0, 1). Received: level={level}")
    values = np.where(np.isfinite(values).all(axis=-1, keepdims=True), values, np.nan)
    if values.shape[-1] == 1:
        return np.full((2, *values.shape[:-1]), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy warns of the intervals that are replaced below
        found = stats.bootstrap(
            (values,),
            np.mean,
            confidence_level=level,
            n_resamples=num_draws,
            batch=max(1, _NUMBERS // values.size),
            axis=-1,
            method="BCa",
            rng=np.random.default_rng(seed),
        )
        tail = (1 - level) / 2
        percentiles = np.quantile(found.bootstrap_distribution, [tail, 1 - tail], axis=-1)
    ends = np.stack(found.confidence_interval)
    return np.where(np.isnan(ends).any(axis=0), percentiles, ends)


def explainable(full, single) -> np.ndarray:
    """(B,) bool, examples with something to explain: keeping one patch changes the score by `LEAST_CHANGE` or more.

    Args:
        full: (B,) score with all patches.
        single: (B,) score with one patch, mean over several random ones, so as not to depend on the map under test.
    """
    # NaN, of a model that diverged, compares false.
    return np.abs(np.asarray(full) - np.asarray(single)) >= LEAST_CHANGE


def decide(gap: float, p_value: float, interval, change: float, num_explainable: int) -> tuple[int, str]:
    """The verdict of a method over a set of examples, and the reason where it is "cannot tell".

    "Nothing to explain" where the mean change of the score (as in `explainable`) is below `LEAST_CHANGE`; "cannot tell"
    with fewer than `FEWEST` explainable examples; "follows the model" where the gap to random orders is positive and
    significant (two-sided at .01: an uninformative map gets there in 1 of 200 cases); "no better than random" only
    where the whole interval lies below `LARGE_GAP`: a test that finds nothing is no evidence of no effect; else "cannot
    tell". The test includes examples with nothing to explain: excluding none cannot favor a map, and their differences
    near 0 hardly matter.

    Args:
        gap: mean over examples of (insertion - deletion), minus the same of random orders.
        p_value: of the sign-flip test of those differences.
        interval: (low, high) of the gap.
        change: mean over examples of |all patches - one patch|.
        num_explainable: int, examples with something to explain.

    Returns:
        `(verdict, reason)`; the reason is empty for the other verdicts.
    """
    low, high = interval
    if change < LEAST_CHANGE:
        return NOTHING, ""
    if not np.isfinite([gap, change]).all():
        return CANNOT_TELL, "not all scores are finite numbers"
    if num_explainable < FEWEST:
        known = f"{num_explainable} of them, at least {FEWEST} are needed"
        return CANNOT_TELL, f"too few examples with something to explain: {known}"
    if is_positive(gap, p_value):
        return FOLLOWS, ""
    if high < LARGE_GAP:
        return NO_BETTER, ""
    if low <= 0:
        return CANNOT_TELL, f"the 99 % interval from {low:+.2f} to {high:+.2f} holds both no effect and a large one"
    return CANNOT_TELL, f"the 99 % interval reaches {high:+.2f}, a large effect, but the test gives p = {p_value:.3f}"


def is_positive(gap: float | None, p_value: float | None) -> bool | None:
    """Whether the test finds a gap above 0; None where it was not tested."""
    return None if p_value is None else gap is not None and gap > 0 and p_value < ALPHA


def _check_values(values, name: str) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if not values.size:
        raise ValueError(f"`{name}` must be (..., B) with B > 0. Received: shape {values.shape}")
    return values
