"""The sign-flip test, the interval and the verdict; under the null the verdict is hardly ever a false one."""

import itertools
import math

import numpy as np
import pytest

from vitcross.attention_maps.records.trust_report import CANNOT_TELL, FOLLOWS, NO_BETTER, NOTHING
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
    assert tuple(bootstrap_interval(np.full(5, 3.0))) == (3, 3)
    low, high = bootstrap_interval(random.normal(2, 1, 400))
    assert high - low == pytest.approx(2 * 2.576 / 20, rel=0.2)  # 99 %, as the test's level
    assert np.isnan(bootstrap_interval([1.0, np.nan])).all()


def test_the_interval_corrects_for_skew():
    """Efron & Tibshirani 1993, section 14.3: a mean of skewed values is more uncertain on the side of their tail."""
    values = np.random.default_rng(5).exponential(size=40) ** 2
    low, high = bootstrap_interval(values, num_draws=20_000)
    draws = np.random.default_rng(6).choice(values, (20_000, 40)).mean(axis=1)
    plain = np.quantile(draws, [0.005, 0.995])
    assert low > plain[0] + 0.02 and high > plain[1] + 0.05
    skew = ((values - values.mean()) ** 3).mean() / values.std() ** 3
    # Acceleration a, no bias: z moves to z / (1 - a z).
    shares = [0.5 * math.erfc(-z / (1 - skew / (6 * math.sqrt(40)) * z) / math.sqrt(2)) for z in (-2.5758, 2.5758)]
    np.testing.assert_allclose([low, high], np.quantile(draws, shares), rtol=0.04)


def test_sets_of_examples_at_once_are_those_of_each_alone():
    values = np.random.default_rng(7).normal(0.2, 1, (3, 2, 20))
    values[1, 0, 3], values[2, 1] = np.nan, 0.25
    p_values, (low, high) = sign_flip_test(values, seed=3), bootstrap_interval(values, seed=3)
    for i, j in itertools.product(range(3), range(2)):
        assert p_values[i, j] == sign_flip_test(values[i, j], seed=3)
        alone = bootstrap_interval(values[i, j], seed=3)
        np.testing.assert_allclose([low[i, j], high[i, j]], alone, rtol=1e-12)


def test_what_has_no_spread_is_told_without_a_warning(recwarn):
    """A map of a model that says the same of everything differs from chance by float noise, or by nothing."""
    for values in ([0.1] * 64, [0.0] * 64, [0.1, 0.1 + 2e-17, 0.1 - 2e-17], [0.0] * 63 + [1.0]):
        low, high = bootstrap_interval(values)
        assert low <= np.mean(values) + 1e-15 and np.mean(values) - 1e-15 <= high
        assert sign_flip_test(values) > 0.01 or min(values) > 0
    assert sign_flip_test([0.7]) == 1 and np.isnan(bootstrap_interval([0.7])).all(), "one example has no interval"
    assert sign_flip_test([0.7, np.inf]) == 1 and np.isnan(bootstrap_interval([0.7, np.inf])).all()
    assert not [str(w.message) for w in recwarn]


@pytest.mark.parametrize(
    ("gap", "p_value", "interval", "change", "count", "verdict", "reason"),
    [
        (0.2, 0.0099, (0.02, 0.4), 0.4, 8, FOLLOWS, ""),
        (0.02, 0.001, (0.01, 0.03), 0.4, 61, FOLLOWS, ""),
        (0.2, 0.004, (0.1, 0.3), 0.4, 7, CANNOT_TELL, "too few examples with something to explain: 7 of them, at lea"),
        (-0.2, 0.004, (-0.3, -0.1), 0.4, 0, CANNOT_TELL, "too few examples with something to explain: 0 of them"),
        (0.01, 0.6, (-0.05, 0.0999), 0.4, 8, NO_BETTER, ""),
        (0.04, 0.01, (0.001, 0.09), 0.4, 8, NO_BETTER, ""),
        (-0.2, 0.0001, (-0.3, -0.1), 0.4, 8, NO_BETTER, ""),  # worse than random
        (0.01, 0.6, (-0.05, 0.1), 0.4, 61, CANNOT_TELL, "from -0.05 to +0.10 holds both no effect and a large one"),
        (-0.2, 0.0001, (-0.5, 0.11), 0.4, 61, CANNOT_TELL, "from -0.50 to +0.11 holds both"),
        (0.2, 0.0101, (0.01, 0.4), 0.4, 8, CANNOT_TELL, "reaches +0.40, a large effect, but the test gives p = 0.010"),
        (0.2, 0.0001, (0.1, 0.3), 0.0499, 61, NOTHING, ""),
        (0.2, 0.0001, (0.1, 0.3), 0.0499, 3, NOTHING, ""),  # that of each is known without a test
        (np.nan, 1.0, (np.nan, np.nan), 0.4, 61, CANNOT_TELL, "not all scores are finite numbers"),
        (0.2, 0.0001, (0.1, 0.3), np.nan, 0, CANNOT_TELL, "not all scores are finite numbers"),
        (0.3, 1.0, (np.nan, np.nan), 0.4, 1, CANNOT_TELL, "too few examples with something to explain: 1 of them"),
    ],
)
def test_verdicts(gap, p_value, interval, change, count, verdict, reason):
    found, why = decide(gap, p_value, interval, change, count)
    assert found == verdict and reason in why and bool(reason) == bool(why)


def test_an_explainable_example_changes_by_enough():
    np.testing.assert_array_equal(
        explainable([0.9, 0.5, 0.5, np.nan], [0.84, 0.46, 0.6, 0.1]), [True, False, True, False]
    )


def test_what_is_no_sample_is_refused():
    for function in (sign_flip_test, bootstrap_interval):
        with pytest.raises(ValueError, match=r"must be \(\.\.\., B\) with B > 0"):
            function(np.zeros((2, 0)))
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
    counts, differences = kept_counts(patches, 5), []
    for trial in range(trials):
        random = np.random.default_rng(1000 + trial)
        # Heavy tails: single patches decide, so that orders matter much and examples differ.
        weights = random.exponential(size=(examples, patches)) ** 3 / 20
        maps = np.maximum(weights - 0.1, 0)  # a true map with many ties at 0
        if shuffled:
            maps = random.permuted(maps, axis=1)  # ... in every image anew: nothing is left of it
        own = gaps(orders_of_maps(maps, trial)[None], weights, counts)[0]
        differences.append(own - gaps(random_orders(3, examples, patches, trial), weights, counts).mean(axis=0))
    # Ten at a time share their flips, as the methods of one capture do.
    verdicts = []
    for i in range(0, trials, 10):
        some = np.stack(differences[i : i + 10])
        p_values = sign_flip_test(some, num_flips=1999, seed=i)
        ends = bootstrap_interval(some, num_draws=400, seed=i).T
        rows = zip(some.mean(axis=1), p_values, ends, strict=True)
        verdicts += [decide(gap, p, interval, 0.5, examples)[0] for gap, p, interval in rows]
    return np.array(verdicts)


def test_shuffled_maps_are_hardly_ever_said_to_follow_the_model():
    verdicts = verdicts_of(400, shuffled=True)
    rate = np.mean(verdicts == FOLLOWS)
    assert rate <= 0.01, f"said to follow the model in {rate:.2%} of the trials"
    assert set(verdicts) <= {FOLLOWS, NO_BETTER, CANNOT_TELL} and np.mean(verdicts == NO_BETTER) > 0.5


def test_the_same_maps_unshuffled_are_never_said_to_be_no_better():
    assert (verdicts_of(10, shuffled=False) == FOLLOWS).all()
    for examples in (2, 3, 5, 7):
        assert (verdicts_of(10, shuffled=False, examples=examples) == CANNOT_TELL).all()
    few = verdicts_of(60, shuffled=False, examples=8)
    assert set(few) <= {FOLLOWS, CANNOT_TELL} and np.mean(few == FOLLOWS) > 0.5
