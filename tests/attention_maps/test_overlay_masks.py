"""Quantile levels of a map: shares of the patches, ties that are never split, maps without levels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitcross.attention_maps.sheets.overlay_masks import LEVELS, level_mask, quantile_levels

SHARES = (0.03, 0.10, 0.25, 0.50)


def oracle(values):
    """The definition, patch by patch: the first level that holds the patch, all brighter ones and all its equals."""
    values = [v if np.isfinite(v) else 0.0 for v in np.ravel(values)]
    limits = [max(1, int(share * len(values) + 0.5)) for share in SHARES]
    levels = []
    for value in values:
        needed = sum(other >= value for other in values)
        fitting = [level for level, limit in enumerate(limits, start=1) if needed <= limit]
        levels.append(fitting[0] if fitting and value > 0 else 0)
    return levels


def test_a_map_of_distinct_values_has_the_shares_that_the_labels_name():
    levels = quantile_levels(np.random.default_rng(0).permutation(np.arange(1, 1001)).reshape(25, 40))
    assert [int((levels == level).sum()) for level in range(5)] == [500, 30, 70, 150, 250]
    assert list(LEVELS.values()) == ["top 3 %", "3-10 %", "10-25 %", "25-50 %"]


def test_brighter_patches_have_the_higher_levels_and_a_coarse_grid_keeps_its_brightest():
    values = np.arange(1.0, 16.0).reshape(3, 5)
    assert quantile_levels(values).tolist() == [[0, 0, 0, 0, 0], [0, 0, 4, 4, 4], [4, 3, 3, 2, 1]]


@pytest.mark.parametrize("constant", [0.0, 0.25, -1.0, np.nan])
def test_a_map_that_is_the_same_everywhere_has_no_levels(constant):
    assert not quantile_levels(np.full((3, 5), constant)).any()


def test_equal_patches_are_never_told_apart():
    # Three of 20 share the maximum: more than 3 % and 10 %, so they are within the top 25 %, all of them.
    values = np.r_[np.full(3, 7.0), np.arange(1, 18) / 17]
    levels = quantile_levels(values)
    assert levels[:3].tolist() == [3, 3, 3] and (levels == 1).sum() == 0
    # Eleven of 20 share it: no level holds them.
    assert not quantile_levels(np.r_[np.full(11, 7.0), np.zeros(9)]).any()


def test_what_speaks_against_or_not_at_all_is_in_no_level():
    values = np.array([3.0, -2.0, -1.0, 0.0, np.nan, np.inf, -5.0, -4.0, -3.0, -6.0])
    assert quantile_levels(values).tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]


few_values = st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0, np.nan]), min_size=1, max_size=61)
many_values = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=61)


@settings(max_examples=150, deadline=None)
@given(st.one_of(few_values, many_values))
def test_equals_the_definition(values):
    assert quantile_levels(np.array(values)).tolist() == oracle(values)


def test_the_mask_is_the_levels_at_the_size_of_the_image():
    levels_map = np.arange(1.0, 16.0).reshape(3, 5)
    mask = level_mask(levels_map, (12, 30), (4, 6), (36, 90))
    assert mask.dtype == np.uint8
    assert (mask == quantile_levels(levels_map).repeat(12, axis=0).repeat(18, axis=1)).all()


def test_patches_beyond_the_image_are_cut_off():
    # A stem that rounds up: 3 x 5 patches of 4 x 6 pixels on an image of 10 x 27.
    levels_map = np.arange(1.0, 16.0).reshape(3, 5)
    mask = level_mask(levels_map, (10, 27), (4, 6), (20, 54))
    assert (mask == quantile_levels(levels_map).repeat(8, axis=0).repeat(12, axis=1)[:20, :54]).all()
