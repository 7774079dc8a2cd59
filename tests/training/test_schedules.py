import numpy as np
import pytest

from vitcross.training.schedules import learning_rate_schedule


def rates(steps, **options):
    schedule = learning_rate_schedule(learning_rate=0.3, **options)
    return [float(schedule(step)) for step in steps]


def test_cosine_equals_its_formula():
    steps = (0, 3, 7, 50, 101)
    expected = [
        0.3 * step / 7 if step <= 7 else 0.3 * (0.1 + 0.9 * (1 + np.cos(np.pi * (step - 7) / 94)) / 2) for step in steps
    ]
    assert rates(steps, warmup_steps=7, total_steps=101, final_share=0.1) == pytest.approx(expected, rel=1e-5)


def test_wsd_is_constant_then_decays_by_the_root():
    steps = (0, 3, 7, 50, 80, 85, 97)
    begun = {85: 5 / 17, 97: 1.0}
    expected = [0.3 * step / 7 if step < 7 else 0.3 * (1 - 0.9 * np.sqrt(begun.get(step, 0.0))) for step in steps]
    found = rates(steps, schedule="wsd", warmup_steps=7, cooldown_steps=17, total_steps=97, final_share=0.1)
    assert found == pytest.approx(expected, rel=1e-5)


def test_reciprocal_square_root_with_a_linear_end():
    steps = (0, 3, 7, 20, 60, 90, 97)
    expected = []
    for step in steps:
        root = 1.0 if step <= 7 else 1 / np.sqrt(1 + (step - 7) / 13)
        expected.append(0.3 * min(1, step / 7) * root * (1 - max(0, step - 80) / 17))
    found = rates(steps, schedule="rsqrt", warmup_steps=7, timescale_steps=13, cooldown_steps=17, total_steps=97)
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_default_cooldown_is_a_fifth_of_the_run_and_default_timescale_the_warmup():
    common = {"warmup_steps": 10, "total_steps": 100}
    assert rates((80, 90), schedule="wsd", **common) == rates((80, 90), schedule="wsd", cooldown_steps=20, **common)
    assert rates((30, 90), schedule="rsqrt", **common) == rates(
        (30, 90), schedule="rsqrt", cooldown_steps=20, timescale_steps=10, **common
    )
    # Where the warm-up leaves less than a fifth, the cool-down is what it leaves.
    assert rates((90, 95, 100), schedule="wsd", warmup_steps=90, total_steps=100)[::2] == pytest.approx([0.3, 0.0])


def test_constant_without_and_with_a_warmup():
    assert rates((0, 5, 100), schedule="constant", total_steps=100) == pytest.approx([0.3] * 3)
    assert rates((0, 5, 10, 99), schedule="constant", total_steps=100, warmup_steps=10) == pytest.approx(
        [0, 0.15, 0.3, 0.3]
    )


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"learning_rate": 0}, "learning_rate must be positive"),
        ({"warmup_steps": 11}, "shorter than the run"),
        ({"warmup_steps": -1}, "shorter than the run"),
        ({"schedule": "linear"}, "cosine, wsd, rsqrt, constant"),
        ({"cooldown_steps": 3}, "cooldown belongs to wsd and rsqrt"),
        ({"schedule": "wsd", "timescale_steps": 3}, "timescale belongs to rsqrt"),
        ({"schedule": "wsd", "warmup_steps": 5, "cooldown_steps": 7}, "must fit into the run"),
    ],
)
def test_refuses(bad, message):
    with pytest.raises(ValueError, match=f"{message}.*Received"):
        learning_rate_schedule(**{"learning_rate": 0.1, "warmup_steps": 0, "total_steps": 11, **bad})
