"""Deletion and insertion, against numbers worked out by hand and areas computed another way."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitcross.attention_maps.trust.deletion_insertion import (
    area,
    center_prior,
    deletion_insertion,
    kept_counts,
    orders_of_maps,
    random_orders,
)


def linear(*weights):
    return lambda keep: keep @ np.array(weights)


def test_linear_with_the_empty_set():
    assert deletion_insertion(linear(0.5, 0.3, 0.2), [0, 1, 2], 3, smallest=0) == pytest.approx((0.4, 0.6))
    assert deletion_insertion(linear(0.5, 0.3, 0.2), [2, 1, 0], 3, smallest=0) == pytest.approx((0.6, 0.4))


def test_mean_over_all_orders_is_a_half_and_reversing_swaps():
    found = [deletion_insertion(linear(0.5, 0.3, 0.2), o, 3, smallest=0) for o in itertools.permutations(range(3))]
    assert np.mean(found, axis=0) == pytest.approx((0.5, 0.5), abs=1e-12)
    for smallest, steps in itertools.product((0, 1, 2), (1, 2, 5, None)):
        score = lambda keep: np.sin(keep @ np.array([3.0, 1, 4, 1.5, 9, 2, 6]))  # noqa: E731
        forward = deletion_insertion(score, [3, 1, 6, 0, 5, 2, 4], steps, smallest=smallest)
        backward = deletion_insertion(score, [4, 2, 5, 0, 6, 1, 3], steps, smallest=smallest)
        assert forward == pytest.approx(backward[::-1], abs=1e-12)


def test_one_patch_always_stays():
    rows = []
    deletion, insertion = deletion_insertion(
        lambda keep: rows.append(keep) or linear(0.5, 0.3, 0.2)(keep), [0, 1, 2], 3
    )
    assert min(keep.sum(axis=1).min() for keep in rows) == 1
    # Kept 1, 2, 3: deletion .2 .5 1, insertion .5 .8 1.
    assert deletion == pytest.approx((0.2 + 2 * 0.5 + 1) / 4)
    assert insertion == pytest.approx((0.5 + 2 * 0.8 + 1) / 4)


def test_true_abscissae_where_steps_do_not_divide_the_patches():
    assert kept_counts(7, 3).tolist() == [1, 2, 5, 7]
    assert kept_counts(64, 4).tolist() == [1, 16, 32, 48, 64]
    assert kept_counts(5, 40).tolist() == [1, 2, 3, 4, 5]
    assert kept_counts(5, None, 0).tolist() == [0, 1, 2, 3, 4, 5]
    assert kept_counts(1, 3).tolist() == [1]
    # f = share of kept patches is a straight line: its mean over [1/7, 1] whatever the steps are.
    for steps in (1, 2, 3, 4, 5, 7, 11):
        found = deletion_insertion(lambda keep: keep.mean(axis=1), np.arange(7), steps)
        assert found == pytest.approx(((1 / 7 + 1) / 2,) * 2)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 19), st.integers(1, 23), st.integers(0, 1), st.floats(-3, 3), st.integers(0, 99))
def test_a_constant_gives_itself_and_areas_are_within_the_values(patches, steps, smallest, constant, seed):
    random = np.random.default_rng(seed)
    order = random.permutation(patches)
    found = deletion_insertion(lambda keep: np.full(len(keep), constant), order, steps, smallest=smallest)
    assert found == pytest.approx((constant, constant), abs=1e-9)
    counts = kept_counts(patches, steps, smallest)
    values = random.normal(size=(3, len(counts)))
    found = area(counts, values)
    assert ((values.min(axis=1) - 1e-9 <= found) & (found <= values.max(axis=1) + 1e-9)).all()
    if len(counts) > 1:
        expected = np.trapezoid(values, counts / patches) / (counts[-1] - counts[0]) * patches
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_keep_masks_against_a_plain_loop():
    order, seen = np.random.default_rng(3).permutation(11), []
    deletion_insertion(lambda keep: seen.extend(keep) or np.zeros(len(keep)), order, 4)
    expected = []
    for count in kept_counts(11, 4):
        for kept in (order[:count], order[11 - count :]):
            expected.append(frozenset(kept.tolist()))
    assert sorted(map(sorted, ({*np.flatnonzero(keep)} for keep in seen))) == sorted(map(sorted, expected))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="`ordering` must hold every patch"):
        deletion_insertion(linear(1, 2, 3), [0, 1, 1], 3)
    with pytest.raises(ValueError, match=r"`num_steps` must be >= 1.*num_steps=0"):
        kept_counts(5, 0)
    with pytest.raises(ValueError, match=r"`smallest` must be in \[0, 5\].*smallest=6"):
        kept_counts(5, 2, 6)
    with pytest.raises(ValueError, match="`score` must give one number"):
        deletion_insertion(lambda keep: np.zeros((len(keep), 2)), [0, 1, 2], 3)


def test_orders_of_maps_descend():
    maps = np.random.default_rng(0).normal(size=(5, 13))
    orders = orders_of_maps(maps)
    assert (np.diff(np.take_along_axis(maps, orders, axis=1), axis=1) < 0).all()
    np.testing.assert_array_equal(orders_of_maps([[np.nan, 1, 2]]), [[2, 1, 0]])
    with pytest.raises(ValueError, match=r"`maps` must be \(B, P\)"):
        orders_of_maps(np.zeros(4))


def test_ties_are_broken_at_random_never_row_major():
    orders = orders_of_maps(np.zeros((500, 15)))
    first = np.bincount(orders[:, 0], minlength=15)
    assert first.max() < 70  # 33 expected; row-major order would give 500 for patch 0
    np.testing.assert_array_equal(orders, orders_of_maps(np.zeros((500, 15))))
    assert (orders != orders_of_maps(np.zeros((500, 15)), seed=1)).any()
    some = orders_of_maps(np.tile([0.0, 2, 0, 1, 0], (500, 1)))
    assert (some[:, :2] == [1, 3]).all() and len(np.unique(some[:, 2:], axis=0)) == 6


def test_random_orders_are_the_same_whoever_else_is_measured():
    orders = random_orders(3, 7, 15, seed=5)
    assert (np.sort(orders, axis=-1) == np.arange(15)).all()
    assert len(np.unique(orders.reshape(-1, 15), axis=0)) == 21, "every example has its own"
    np.testing.assert_array_equal(random_orders(4, 11, 15, seed=5)[:3, :7], orders)
    assert (random_orders(3, 7, 15, seed=6) != orders).any()
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    random_orders(2, 3, 4)
    orders_of_maps(np.zeros((2, 3)))
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_center_prior_falls_from_the_middle():
    prior = center_prior((3, 5)).reshape(3, 5)
    assert np.unravel_index(prior.argmax(), prior.shape) == (1, 2)
    np.testing.assert_allclose(prior, prior[::-1, ::-1])
    assert prior.min() == prior[0, 0] and (prior >= 0).all()
    # As shares of the sides: a third of the height away is as far as a third of the width.
    assert center_prior((3, 3)).reshape(3, 3)[0, 1] == pytest.approx(1 - 1 / 3)
