"""The sign-flip test, the interval and the verdict; under the null the verdict is hardly ever a false one."""

import itertools
import math

import numpy as np
import pytest

from vitcross.attention_maps.records.trust_report import FOLLOWS, NO_BETTER, NOTHING
from vitcross.attention_maps.trust.deletion_insertion import area, kept_counts, orders_of_maps, random_orders
from vitcross.attention_maps.trust.significance import bootstrap_interval, decide, explainable, sign_flip_test


def test_sign_flips_of_few_examples_are_counted():
    assert sign_flip_test([1.0, 2, 3]) == 2 / 8  # all plus and all minus
    assert sign_flip_test(np.ones(8)) == 2 / 256
    assert sign_flip_test([1.0, -1, 2, -2]) == 1
    assert sign_flip_test([0.0, 0, 0]) == 1
    values = np.random.default_rng(1).normal(0.4, 1, 11)
    reached = [
        abs(np.dot(signs, values)) >= abs(values.sum()) - 1e-12 for signs in itertools.product((1, -1), repeat=11)
    ]
    assert sign_flip_test(values) == np.mean(reached)


def test_many_examples_by_monte_carlo():
    values = np.random.default_rng(2).normal(0.3, 1, 64)
    estimate = sign_flip_test(values)
    assert estimate == sign_flip_test(values) and estimate == sign_flip_test(-values)
    # The mean of 64 flips is nearly normal.
    z = abs(values.sum()) / np.sqrt((values**2).sum())
    assert estimate == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.25)
    assert sign_flip_test(np.ones(64)) == 1 / 10_000, "never 0"
    assert sign_flip_test([*values, np.nan]) == 1


def test_exact_and_monte_carlo_agree():
    values = np.random.default_rng(3).normal(0.5, 1, 13)
    # Two examples that are 0 change no sum: the same test, this time sampled.
    assert sign_flip_test([*values, 0.0, 0.0]) == pytest.approx(sign_flip_test(values), abs=0.015)


def test_the_bootstrap_interval_covers():
    random = np.random.default_rng(4)
    covered = []
    for trial in range(200):
        low, high = bootstrap_interval(random.normal(2, 1, 40), num_draws=400, seed=trial)
        covered.append(low <= 2 <= high)
    assert 0.95 <= np.mean(covered) <= 1.0
    assert bootstrap_interval(np.full(5, 3.0)) == (3, 3)
    low, high = bootstrap_interval(random.normal(2, 1, 400))
    assert high - low == pytest.approx(2 * 2.576 / 20, rel=0.2)  # 99 %, as the test's level
    assert np.isnan(bootstrap_interval([1.0, np.nan])).all()


def test_verdicts():
    assert decide(0.2, 0.004, 0.4) == FOLLOWS
    assert decide(0.2, 0.01, 0.4) == NO_BETTER
    assert decide(-0.2, 0.0001, 0.4) == NO_BETTER, "worse than random is not following"
    assert decide(0.2, 0.0001, 0.049) == NOTHING
    assert decide(0.2, 0.0001, np.nan) == NOTHING
    np.testing.assert_array_equal(
        explainable([0.9, 0.5, 0.5, np.nan], [0.84, 0.46, 0.6, 0.1]), [True, False, True, False]
    )


def test_what_is_no_sample_is_refused():
    for function in (sign_flip_test, bootstrap_interval):
        with pytest.raises(ValueError, match=r"must be \(B,\) with B > 0"):
            function(np.zeros((2, 3)))
        with pytest.raises(ValueError, match="B > 0"):
            function([])
    with pytest.raises(ValueError, match="`level` must be in"):
        bootstrap_interval([1.0, 2.0], level=95)


def gaps(orders_RBP, weights_BP, counts):
    """(R, B) insertion minus deletion of a saturating model that looks at few patches of its own in each image."""
    ordered = np.take_along_axis(np.broadcast_to(weights_BP, orders_RBP.shape), orders_RBP, axis=-1)
    sums = np.concatenate([np.zeros((*ordered.shape[:2], 1)), np.cumsum(ordered, axis=-1)], axis=-1)
    insertion, deletion = sums[..., counts], sums[..., -1:] - sums[..., sums.shape[-1] - 1 - counts]
    return area(counts, np.tanh(insertion)) - area(counts, np.tanh(deletion))


def verdicts_of(trials, shuffled, examples=64, patches=35):
    counts, found = kept_counts(patches, 5), []
    for trial in range(trials):
        random = np.random.default_rng(1000 + trial)
        # Heavy tails: single patches decide, so that orders matter much and examples differ.
        weights = random.exponential(size=(examples, patches)) ** 3 / 20
        maps = np.maximum(weights - 0.1, 0)  # a true map with many ties at 0
        if shuffled:
            maps = random.permuted(maps, axis=1)  # ... in every image anew: nothing is left of it
        own = gaps(orders_of_maps(maps, trial)[None], weights, counts)[0]
        differences = own - gaps(random_orders(3, examples, patches, trial), weights, counts).mean(axis=0)
        found.append(decide(differences.mean(), sign_flip_test(differences, num_flips=1999, seed=trial), 0.5))
    return np.array(found)


def test_shuffled_maps_are_hardly_ever_said_to_follow_the_model():
    verdicts = verdicts_of(400, shuffled=True)
    rate = np.mean(verdicts == FOLLOWS)
    assert rate <= 0.01, f"said to follow the model in {rate:.2%} of the trials"
    assert set(verdicts) <= {FOLLOWS, NO_BETTER}


def test_the_same_maps_unshuffled_always_are():
    assert (verdicts_of(10, shuffled=False) == FOLLOWS).all()
