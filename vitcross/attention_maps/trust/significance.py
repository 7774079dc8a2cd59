"""Is a gap more than chance? A paired sign-flip test, a bootstrap interval, and the verdict in three words.

Pure functions, NumPy in and out; every draw is seeded. The test asks of numbers, one for each example and independent
of each other, whether their mean could be as far from 0 if each had either sign with equal chance. That holds for a map
that knows nothing: reversing its order swaps deletion and insertion, and a random order is as likely as its reverse.

References: Fisher's randomization test, "The Design of Experiments", 1935, section 21; the count of the observed one in
Monte Carlo is Phipson & Smyth 2010; percentile interval, Efron & Tibshirani, "An Introduction to the Bootstrap", 1993,
chapter 13.
"""

from __future__ import annotations

import numpy as np

from vitcross.attention_maps.records.trust_report import FOLLOWS, NO_BETTER, NOTHING

ALPHA = 0.01
LEVEL = 0.99  # of the interval: it excludes 0 about where the test at ALPHA does
# Less than this change of the target's probability is nothing to explain.
LEAST_CHANGE = 0.05
# Up to so many examples all flips are counted, 2^13 of them.
_EXACT = 13
_BLOCK = 1024


def sign_flip_test(differences, *, num_flips: int = 9999, seed: int = 0) -> float:
    """Two-sided p-value that the mean of `differences` is 0.

    Up to 13 examples every flip is counted; with more, `num_flips` random ones and the observed one:
    (1 + count) / (1 + num_flips), never 0.

    Args:
        differences: (B,) paired differences, one for each example; 1 where one of them is not finite.
        num_flips: int.
        seed: int.

    Returns:
        float in (0, 1].
    """
    differences = _check_values(differences, "differences")
    if not np.isfinite(differences).all():
        return 1.0
    B = len(differences)
    # Float noise must not decide whether a flip reaches what was observed.
    reached = np.abs(differences.sum()) - 1e-9 * np.abs(differences).sum()
    if B <= _EXACT:
        signs = 1 - 2 * (np.arange(2**B)[:, None] >> np.arange(B) & 1)
        return float(np.mean(np.abs(signs @ differences) >= reached))
    random, count = np.random.default_rng(seed), 0
    for start in range(0, num_flips, _BLOCK):
        signs = 1.0 - 2.0 * random.integers(0, 2, (min(_BLOCK, num_flips - start), B))
        count += int((np.abs(signs @ differences) >= reached).sum())
    return (1 + count) / (1 + num_flips)


def bootstrap_interval(values, *, level: float = LEVEL, num_draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Percentile interval of the mean of `values` (B,), from `num_draws` samples of B examples drawn with replacement.

    Returns:
        `(low, high)`; both NaN where one of the values is not finite.
    """
    values = _check_values(values, "values")
    if not 0 < level < 1:
        raise ValueError(f"`level` must be in (0, 1). Received: level={level}")
    random, means = np.random.default_rng(seed), []
    for start in range(0, num_draws, _BLOCK):
        rows = random.integers(0, len(values), (min(_BLOCK, num_draws - start), len(values)))
        means.append(values[rows].mean(axis=1))
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def explainable(full, single) -> np.ndarray:
    """(B,) bool: the examples of which there is something to explain, where keeping a single patch instead of all
    changes what the model says of the target by `LEAST_CHANGE` or more.

    Args:
        full: (B,) what the model says with all patches.
        single: (B,) with one patch, as the mean over several random ones: it must not depend on the map under test.
    """
    # Written so that NaN, a model that diverged, is nothing to explain.
    return np.abs(np.asarray(full) - np.asarray(single)) >= LEAST_CHANGE


def decide(gap: float, p_value: float, change: float) -> int:
    """The verdict of a method over a set of examples.

    "Nothing to explain" where the change of what the model says, as in `explainable`, but as the mean over the
    examples, is below `LEAST_CHANGE`; "follows the model" where the gap against random orders is positive and the test
    says that it is no chance (two-sided at .01: a map that knows nothing gets there in 1 of 200 cases); else "no better
    than random". All examples take part in the test, also those of which there is nothing to explain: leaving out none
    cannot favor a map, and their differences near 0 hardly weigh.

    Args:
        gap: mean over examples of (insertion - deletion), minus the same of random orders.
        p_value: of the sign-flip test of those differences.
        change: mean over examples of |all patches - one patch|.
    """
    if not change >= LEAST_CHANGE:
        return NOTHING
    return FOLLOWS if gap > 0 and p_value < ALPHA else NO_BETTER


def _check_values(values, name: str) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"`{name}` must be (B,) with B > 0. Received: shape {values.shape}")
    return values
