"""When captures are made."""

import pytest

from vitcross.attention_maps.schedule import capture_steps, trust_steps


def test_ten_captures_from_the_start_to_the_end_early_ones_closer():
    steps = capture_steps(1009)
    assert len(steps) == 10 and steps[0] == 0 and steps[-1] == 1009
    gaps = [b - a for a, b in zip(steps, steps[1:], strict=False)]
    assert gaps == sorted(gaps) and gaps[0] < gaps[-1] / 5


def test_short_runs_have_fewer():
    assert capture_steps(0) == (0,)
    assert capture_steps(1) == (0, 1)
    assert capture_steps(3) == (0, 1, 2, 3)


def test_counts_and_fixed_distance():
    assert capture_steps(100, 1) == (100,)
    assert capture_steps(100, 2) == (0, 100)
    assert capture_steps(100, every=30) == (0, 30, 60, 90, 100)
    assert capture_steps(100, every=50) == (0, 50, 100)


@pytest.mark.parametrize("arguments", [{"total_steps": -1}, {"captures": 0}, {"every": 0}])
def test_refuses(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        capture_steps(**{"total_steps": 100, **arguments})


@pytest.mark.parametrize(
    "count, expected", [(0, ()), (1, (100,)), (2, (0, 100)), (3, (0, 11, 100)), (4, (0, 3, 25, 100)), (9, None)]
)
def test_trust_is_measured_at_some_captures_the_last_among_them(count, expected):
    steps = (0, 3, 11, 25, 100) if count != 3 else (0, 3, 11, 44, 100)
    assert trust_steps(steps, count) == (steps if expected is None else expected)
