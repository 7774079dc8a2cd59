import io

import numpy as np
import pytest
from rich.console import Console

from vitcross.evaluation.earlier import make_room
from vitcross.evaluation.file_names import short_names
from vitcross.evaluation.progress import Progress, keeping
from vitcross.tasks.evaluation import evaluate, predict_all


class Doubling:
    """A task without labels that doubles numbers."""

    def predict_rows(self, batch):
        assert all(isinstance(value, np.ndarray) for value in batch.values())
        return {"valid": batch["valid"], "doubled": 2 * batch["numbers"]}

    def summarize(self, rows, references=None):
        return {"sum": float(rows["doubled"].sum()), "references": references}


BATCHES = [
    {"numbers": [1, 2, 3], "valid": [True, False, True]},
    {"numbers": [4, 5, 6], "valid": [False, False, False]},
    {"numbers": [7, 8, 9], "valid": [True, False, False]},
]


def test_rows_that_are_valid_are_kept_in_order():
    rows = predict_all(Doubling(), BATCHES)
    assert set(rows) == {"doubled"}
    np.testing.assert_array_equal(rows["doubled"], [2, 6, 14])


def test_references_reach_the_task():
    assert evaluate(Doubling(), BATCHES, "what is true") == {"sum": 22.0, "references": "what is true"}
    assert evaluate(Doubling(), BATCHES)["references"] is None


@pytest.mark.parametrize("batches", [[], BATCHES[1:2]])
def test_without_a_readable_example_there_is_nothing_to_say(batches):
    with pytest.raises(ValueError, match="at least one readable example"):
        predict_all(Doubling(), batches)


def test_names_are_the_shortest_that_tell_files_apart():
    paths = ["/home/me/a/x.png", "/home/me/b/x.png", "/home/you/b/x.png", "/home/me/y.png", "/home/me/y.png", "/x.png"]
    assert short_names(paths) == ["a/x.png", "me/b/x.png", "you/b/x.png", "y.png", "y.png", "/x.png"]
    assert short_names(["scenes/test/3", "/data/cat/3"]) == ["scenes/test/3", "3"]  # the first is no path
    assert short_names([]) == []


def test_results_of_other_settings_move_away_and_equal_ones_are_replaced(tmp_path):
    folder = tmp_path / "evaluation/test"
    assert make_room(folder, {"step": 3, "limit": None}) is None
    (folder / "metrics.json").write_text("first")
    assert make_room(folder, {"step": 3, "limit": None}) is None and (folder / "metrics.json").exists()
    moved = [make_room(folder, {"step": 3, "limit": limit}) for limit in (7, 11)]
    # Both in one second: two folders.
    assert len(set(moved)) == 2 and {path.parent for path in moved} == {tmp_path / "evaluation/earlier/test"}
    assert (moved[0] / "metrics.json").read_text() == "first" and not (folder / "metrics.json").exists()


def test_progress_in_a_log_file_is_a_line_now_and_then_with_the_time_left():
    times, file = iter([0.0, 2.0, 11.0, 12.0, 22.0]), io.StringIO()
    with Progress("checking", console=Console(file=file), clock=lambda: next(times)) as progress:
        part = progress.part(0.5, 1.0)
        for step, share in ((progress, 0.05), (progress, 0.25), (part, 0.0), (part, 1.0)):
            step(share)
    assert file.getvalue() == "checking: 25 %, 0:33 left\nchecking: 100 %\n"


def test_what_ctrl_c_does_not_cost_is_said():
    with pytest.raises(KeyboardInterrupt) as stopped, keeping("the predictions are kept"):
        raise KeyboardInterrupt
    assert stopped.value.__notes__ == ["the predictions are kept"]
