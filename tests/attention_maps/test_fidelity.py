"""Fidelity of maps whose truth is known: models written by hand, with oracles that follow the definitions in loops."""

import numpy as np
import pytest

from tests.attention_maps.scored import LAYOUT, P, Portioned, important_patches, looking_model, scores_of
from vitcross.attention_maps.records.trust_report import CANNOT_TELL, FOLLOWS, NO_BETTER, NOTHING
from vitcross.attention_maps.trust.deletion_insertion import deletion_insertion, kept_counts, orders_of_maps
from vitcross.attention_maps.trust.fidelity import baseline, fidelity, leave_one_out, measure, plan, probe_fidelity

COUNT = 23
IMPORTANT = important_patches(COUNT)
TRUE = IMPORTANT.astype(float)
FUNCTION = looking_model(IMPORTANT)


def measured(function, maps, *, size=COUNT, num_steps=4, **options):
    count = len(next(iter(maps.values())))
    portions = Portioned(function, count, size)
    return measure(portions, plan(maps, LAYOUT.grid, **options), num_steps=num_steps)


def test_curves_are_those_of_the_pure_function():
    maps = {"raw": np.random.default_rng(0).random((COUNT, P))}
    curves, scores = measured(FUNCTION, maps), scores_of(FUNCTION, COUNT)
    deletion, insertion = curves["raw"].areas
    for b in range(COUNT):
        order = np.argsort(-maps["raw"][b])
        assert (deletion[b], insertion[b]) == pytest.approx(deletion_insertion(scores.of(b), order, 4), abs=1e-6)
        for k, count in enumerate(kept_counts(P, 4)):
            keep = np.isin(np.arange(P), order[:count])
            assert curves["raw"].insertion[b, k] == pytest.approx(FUNCTION(b, keep), abs=1e-6)
            assert curves["raw"].insertion_right[b, k] == (FUNCTION(b, keep) > 0.5)
            keep = np.isin(np.arange(P), order[P - count :])
            assert curves["raw"].deletion[b, k] == pytest.approx(FUNCTION(b, keep), abs=1e-6)
            assert curves["raw"].deletion_right[b, k] == (FUNCTION(b, keep) > 0.5)


def test_the_true_map_follows_the_model_and_its_reverse_does_not():
    noise = np.random.default_rng(5).random((COUNT, P))
    maps = {"raw": TRUE, "rollout": -TRUE, "relevance": noise}
    rows = fidelity(measured(FUNCTION, maps, num_steps=None))
    assert rows["raw"].verdict == FOLLOWS and rows["raw"].words == "follows the model"
    assert rows["rollout"].verdict == NO_BETTER
    assert rows["relevance"].verdict == CANNOT_TELL and "holds both" in rows["relevance"].reason, "noise on 23 examples"
    assert rows["raw"].gap > 0.5 and rows["rollout"].gap < -0.5
    for row in rows.values():
        assert row.gap_low <= row.gap <= row.gap_high
    assert rows["raw"].insertion == pytest.approx(rows["rollout"].deletion, abs=0.02), "the reverse swaps the two"
    assert rows["raw"].gap_other > 0.4 and rows["raw"].gap_center > 0.4
    assert rows["raw"].gap_share is None, "no reference was measured"


def test_a_constant_model_has_nothing_to_explain():
    curves = measured(lambda example, keep: 0.9, {"raw": TRUE, "relevance": -TRUE})
    for row in fidelity(curves).values():
        assert row.verdict == NOTHING and row.words == "nothing to explain"
        assert row.deletion == row.insertion == pytest.approx(0.9)
        assert row.gap == pytest.approx(0) and row.p_value == 1
    assert not any(row.explainable for row in probe_fidelity(curves)["raw"])
    assert probe_fidelity(curves)["raw"][0].words == "nothing to explain"


def test_gaps_by_the_definitions():
    maps = {"raw": np.random.default_rng(2).random((COUNT, P)), "leave_one_out": TRUE}
    orders = plan(maps, LAYOUT.grid, num_random=3, seed=4)
    assert list(orders) == [
        "raw", "leave_one_out", "other/raw", "other/leave_one_out", "center", "random/0", "random/1", "random/2"
    ]  # fmt: skip
    scores = scores_of(FUNCTION, COUNT)

    def gap(name, b):
        deletion, insertion = deletion_insertion(scores.of(b), orders[name][b], 5)
        return insertion - deletion

    rows = fidelity(measure([(np.arange(COUNT), scores)], orders, num_steps=5))
    by_hand = {name: np.array([gap(name, b) for b in range(COUNT)]) for name in orders}
    random = np.mean([by_hand[f"random/{r}"] for r in range(3)], axis=0)
    for method in maps:
        assert rows[method].gap == pytest.approx(np.mean(by_hand[method] - random), abs=1e-6)
        assert rows[method].gap_other == pytest.approx(np.mean(by_hand[method] - by_hand[f"other/{method}"]), abs=1e-6)
        assert rows[method].gap_center == pytest.approx(np.mean(by_hand[method] - by_hand["center"]), abs=1e-6)
    assert rows["leave_one_out"].gap_share == 1
    assert rows["raw"].gap_share == pytest.approx(rows["raw"].gap / rows["leave_one_out"].gap)


def test_another_image_is_ranked_by_its_own_map():
    maps = {"raw": np.random.default_rng(2).random((COUNT, P))}
    orders = plan(maps, LAYOUT.grid)
    own = {tuple(order) for order in orders["raw"]}
    assert {tuple(order) for order in orders["other/raw"]} == own
    assert not (orders["other/raw"] == orders["raw"]).all(axis=1).any()
    assert "other/raw" not in plan(maps, LAYOUT.grid, other=False)
    assert "other/raw" not in plan({"raw": maps["raw"][:1]}, LAYOUT.grid), "a single image has no other"


def test_random_orders_are_the_same_at_every_capture_and_for_every_method():
    first = plan({"raw": TRUE}, LAYOUT.grid, seed=3)
    later = plan({"relevance": -TRUE, "raw": TRUE**2}, LAYOUT.grid, seed=3)
    for name in ("random/0", "random/1", "random/2", "center"):
        np.testing.assert_array_equal(first[name], later[name])
    assert (plan({"raw": TRUE}, LAYOUT.grid, seed=4)["random/0"] != first["random/0"]).any()
    equal = plan({"raw": np.zeros((COUNT, P)), "rollout": np.zeros((COUNT, P))}, LAYOUT.grid, seed=3)
    assert (equal["raw"] != equal["random/0"]).any() and (equal["raw"] != equal["center"]).any()


def test_portions_do_not_change_the_result():
    maps = {"raw": np.random.default_rng(2).random((COUNT, P)), "relevance": TRUE}
    whole = fidelity(measured(FUNCTION, maps))
    for size in (1, 5, 22):
        assert fidelity(measured(FUNCTION, maps, size=size)) == whole
    np.testing.assert_array_equal(
        leave_one_out(Portioned(FUNCTION, COUNT, 4)), leave_one_out(Portioned(FUNCTION, COUNT, COUNT))
    )


def test_leave_one_out_is_the_drop_of_what_the_model_says():
    random = np.random.default_rng(8)
    weights, pair = random.normal(size=(COUNT, P)) / 20, random.random((COUNT, P)) < 0.3

    def function(example, keep):
        return 0.5 + weights[example] @ keep - 0.2 * (keep & pair[example]).all()

    maps = leave_one_out(Portioned(function, COUNT, 9))
    for b in range(COUNT):
        full = function(b, np.ones(P, bool))
        expected = [full - function(b, np.arange(P) != p) for p in range(P)]
        np.testing.assert_allclose(maps[b], expected, atol=1e-6)
    assert maps.dtype == np.float32 and (maps < 0).any()


def test_what_random_orders_reach():
    curves = measured(FUNCTION, {"raw": TRUE}, num_random=5, num_steps=None)
    random = baseline(curves)
    np.testing.assert_allclose(random.full, 0.95, atol=1e-6)
    # One random patch is important in 3 of 15 cases.
    assert random.single.mean() == pytest.approx(0.2 + 0.25 * 3 / 15, abs=0.03)
    assert random.gap.mean() == pytest.approx(0, abs=0.05)
    one = [curves[f"random/{r}"] for r in range(5)]
    ends = [(c.deletion[4, 0] + c.insertion[4, 0]) / 2 for c in one]
    assert random.single[4] == pytest.approx(np.mean(ends))


def test_numbers_of_single_images():
    maps = {"raw": np.concatenate([TRUE[:2], -TRUE[2:]])}

    def function(example, keep):
        return 0.5 if example == 1 else FUNCTION(example, keep)

    curves = measured(function, maps)
    rows = probe_fidelity(curves)["raw"]
    assert len(rows) == COUNT
    random = np.mean([curves[f"random/{r}"].gap[0] for r in range(3)])
    assert rows[0].gap == pytest.approx(rows[0].insertion - rows[0].deletion - random)
    assert rows[0].explainable and rows[0].words == f"gap {rows[0].gap:+.2f}"
    assert not rows[1].explainable
    assert rows[2].gap < 0 < rows[0].gap


def test_ties_of_a_map_that_is_zero_nearly_everywhere_do_not_favor_the_top():
    # Row-major ties would make this all-zero map find what lies in the first row.
    first_row = np.tile(np.arange(P) < 5, (64, 1))
    rows = fidelity(measured(lambda e, keep: 0.1 + 0.15 * (first_row[0] & keep).sum(), {"raw": np.zeros((64, P))}))
    assert rows["raw"].verdict == NO_BETTER
    assert (orders_of_maps(np.zeros((64, P)))[:, 0] != 0).any()
