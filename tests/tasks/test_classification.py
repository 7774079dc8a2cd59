import numpy as np
import pytest

from tests.training.tiny import tiny_batch, tiny_task
from vitcross.evaluation import evaluate, predict_all
from vitcross.tasks.classification_metrics import (
    confusion_matrix,
    expected_calibration_error,
    report,
    summarize,
    top_k_accuracy,
)


def test_invalid_rows_count_nowhere():
    task, batch = tiny_task(class_weights=[0.5, 1.0, 1.5]), tiny_batch()
    kept = {key: value[:7] for key, value in batch.items()}
    padded = {**batch, "valid": np.arange(11) < 7}
    losses = [float(task.compute_loss(b, y_pred=task(b))) for b in (kept, padded)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    task.compile(optimizer="sgd")
    assert evaluate(task, [kept]) == pytest.approx(evaluate(task, [padded]))


def test_evaluation_counts_each_example_once_whatever_the_batches():
    task, batch = tiny_task(), tiny_batch(size=11)
    task.compile(optimizer="sgd")
    pieces = [{key: value[a:b] for key, value in batch.items()} for a, b in ((0, 4), (4, 8), (8, 11))]
    assert evaluate(task, [batch]) == pytest.approx(evaluate(task, pieces))
    np.testing.assert_array_equal(predict_all(task, pieces)["index"], np.arange(11))


def test_an_empty_split_is_an_error():
    task = tiny_task()
    task.compile(optimizer="sgd")
    with pytest.raises(ValueError, match="at least one readable example"):
        predict_all(task, [{**tiny_batch(), "valid": np.zeros(11, bool)}])


def test_top_k_gives_a_constant_model_nothing():
    assert top_k_accuracy(np.full((4, 3), 1 / 3), np.array([0, 1, 2, 0]), 1) == 0.0
    assert top_k_accuracy(np.array([[0.2, 0.5, 0.3]]), np.array([2]), 1) == 0.0
    assert top_k_accuracy(np.array([[0.2, 0.5, 0.3]]), np.array([2]), 2) == 1.0


def test_confusion_matrix_rows_are_true_classes():
    counts = confusion_matrix(np.array([1, 1, 0]), np.array([0, 1, 0]), 3)
    np.testing.assert_array_equal(counts, [[1, 1, 0], [0, 1, 0], [0, 0, 0]])


def test_calibration_error_of_known_cases():
    sure_and_right = np.eye(2)[[0, 1, 1]]
    assert expected_calibration_error(sure_and_right, np.array([0, 1, 1])) == 0.0
    assert expected_calibration_error(sure_and_right, np.array([1, 0, 0])) == 1.0
    assert expected_calibration_error(np.array([[0.8, 0.2]] * 5), np.array([0, 0, 0, 0, 1])) == pytest.approx(
        0.0, abs=1e-9
    )


def test_summary_and_report():
    rows = {
        "probabilities": np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]),
        "labels": np.array([0, 1, 1]),
        "losses": np.array([0.1, 1.6, 0.4]),
        "num_objects": np.array([1, 1, 2]),
    }
    values = summarize(rows, 2)
    assert values == pytest.approx(
        {"loss": 0.7, "accuracy": 2 / 3, "accuracy/objects_1": 0.5, "accuracy/objects_2": 1.0}
    )
    full = report(rows, ("cat", "dog"))
    assert full["accuracy_per_class"] == {"cat": 1.0, "dog": 0.5}
    assert full["confusion_matrix"] == [[1, 0], [1, 1]]
    assert report({k: v[:1] for k, v in rows.items()}, ("cat", "dog"))["accuracy_per_class"]["dog"] is None


def test_label_smoothing_range():
    with pytest.raises(ValueError, match=r"in \[0, 1\).*1.0"):
        tiny_task(label_smoothing=1.0)
