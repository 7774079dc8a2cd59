"""Exchanges leave nothing where it was, and are the same for the same seed."""

import numpy as np
import pytest

from vitcross.derangement import derangement


@pytest.mark.parametrize("count", [2, 3, 7, 53, 64])
def test_each_gets_another_and_each_is_used_once(count):
    others = derangement(count, (2, 5))
    assert sorted(others) == list(range(count)) and not (others == np.arange(count)).any()
    np.testing.assert_array_equal(others, derangement(count, (2, 5)))
    if count > 3:
        assert (others != derangement(count, (2, 6))).any()
