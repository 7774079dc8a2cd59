import numpy as np
import pytest

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
