import itertools
import types

import numpy as np
import pytest

from vitcross.tasks.question_metrics import predictions, report, summarize, vqa_accuracy


def vqa_oracle(prediction, answers):
    """The official evaluation: mean over annotators left out of min(others with this answer / 3, 1)."""
    return np.mean(
        [
            min(sum(a == prediction for a in others) / 3, 1)
            for others in itertools.combinations(answers, len(answers) - 1)
        ]
    )


@pytest.mark.parametrize("agreeing", range(11))
def test_vqa_rule_by_leaving_each_annotator_out(agreeing):
    answers = [4] * agreeing + [5] * (10 - agreeing)
    assert vqa_accuracy(np.array([4]), np.array([answers])) == pytest.approx(vqa_oracle(4, answers))


def test_vqa_rule_known_values():
    answers = [[1] * 3 + [2] * 7]
    assert vqa_accuracy(np.array([1]), np.array(answers)) == pytest.approx(0.9)
    assert vqa_accuracy(np.array([3]), np.array(answers)) == 0.0


def test_an_annotator_with_an_unknown_answer_counts_and_one_who_is_not_there_does_not():
    answers = np.array([[1, 1, -1, -1, -1]])
    assert vqa_accuracy(np.array([1]), answers) == pytest.approx(vqa_oracle(1, [1, 1, 9, 8, 7]))
    assert vqa_accuracy(np.array([1]), answers, [3]) == pytest.approx(vqa_oracle(1, [1, 1, 9]))


def rows():
    return {
        "predictions": np.array([0, 1, 2, 2, 0]),
        "confidence": np.array([0.9, 0.8, 0.7, 0.6, 0.5], "float32"),
        "labels": np.array([0, 2, 2, -1, 0]),
        "losses": np.array([0.1, 2.0, 0.3, np.nan, 0.4]),
        "question_type": np.array([0, 0, 1, 1, 1]),
        "index": np.arange(5),
    }


def references():
    return types.SimpleNamespace(
        question_types=("color", "count"), answers=lambda index: ("red",) * 3, text=lambda index: f"question {index}?"
    )


def test_an_unknown_answer_is_wrong_and_without_a_loss():
    values = summarize(rows(), references())
    assert values == pytest.approx({"loss": 0.7, "accuracy": 0.6, "accuracy/color": 0.5, "accuracy/count": 2 / 3})
    assert "loss" not in summarize({**rows(), "labels": np.full(5, -1), "losses": np.full(5, np.nan)})


def test_types_without_references_go_by_number_and_annotators_are_found():
    values = summarize({**rows(), "annotator_answers": np.array([[0, 0, 0]] * 5)})
    assert values["accuracy/type_1"] == pytest.approx(2 / 3)
    assert values["vqa_accuracy"] == pytest.approx(2 / 3 * 2 / 5)
    with_names = summarize({**rows(), "annotator_answers": np.array([[0, 0, 0, -1]] * 5)}, references())
    assert with_names["vqa_accuracy"] == pytest.approx(values["vqa_accuracy"])


def test_report_and_predictions_name_the_answers():
    full = report(rows(), ("red", "blue", "two"), references())
    assert full["accuracy_per_class"] == {"red": 1.0, "blue": None, "two": 0.5}
    assert (full["examples"], full["unknown_answers"]) == (5, 1)
    columns, lines = predictions(rows(), ("red", "blue", "two"), references().text)
    assert columns == ["question", "prediction", "probability", "label", "correct"]
    assert lines[1] == ["question 1?", "blue", pytest.approx(0.8), "two", 0]
    assert lines[3][-2:] == ["", 0]
