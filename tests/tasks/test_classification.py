import keras
import numpy as np
import pytest

from tests.training.tiny import endless, tiny_batch, tiny_task
from vitcross.tasks.classification_metrics import (
    confusion_matrix,
    expected_calibration_error,
    report,
    summarize,
    top_k_accuracy,
)
from vitcross.tasks.evaluation import evaluate, predict_all


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


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_soft_labels_equal_numpy_and_the_larger_share_is_right(loss):
    task = tiny_task(class_weights=[0.5, 1.0, 1.5], label_smoothing=0.1, loss=loss)
    random = np.random.default_rng(1)
    mixed = {"mixing": random.random(11).astype("f"), "mixed_labels": random.integers(0, 3, 11).astype("int32")}
    batch = tiny_batch() | mixed | {"valid": np.arange(11) != 4}
    logits = np.asarray(task(batch), np.float64)
    if loss == "softmax":
        yes, no = logits - np.log(np.exp(logits).sum(1, keepdims=True)), 0.0
    else:
        yes, no = -np.log1p(np.exp(-logits)), -np.log1p(np.exp(logits))
    expected = np.zeros(11)
    for labels, share in ((batch["labels"], mixed["mixing"]), (mixed["mixed_labels"], 1 - mixed["mixing"])):
        target = 0.9 * np.eye(3)[labels] + 0.1 / 3
        own = -(target * yes + (1 - target) * no).sum(1)
        expected += share * np.array([0.5, 1.0, 1.5])[labels] * own
    assert float(task.compute_loss(batch, y_pred=task(batch))) == pytest.approx(
        expected[batch["valid"]].mean(), rel=1e-5
    )
    task.compute_metrics(batch, None, task(batch))
    larger = np.where(mixed["mixing"] >= 0.5, batch["labels"], mixed["mixed_labels"])
    right = (logits.argmax(1) == larger)[batch["valid"]].mean()
    assert float(task.accuracy.result()) == pytest.approx(right)


def test_shares_of_one_are_the_plain_loss():
    task, batch = tiny_task(), tiny_batch()
    whole = batch | {"mixing": np.ones(11, "f"), "mixed_labels": (batch["labels"] + 1) % 3}
    assert float(task.compute_loss(whole, y_pred=task(batch))) == float(task.compute_loss(batch, y_pred=task(batch)))


def test_validation_measures_the_loss_that_is_trained():
    task, batch = tiny_task(loss="sigmoid"), tiny_batch()
    task.compile(optimizer="sgd")
    trained = float(task.compute_loss(batch, y_pred=task(batch)))
    assert evaluate(task, [batch])["loss"] == pytest.approx(trained, rel=1e-5)
    np.testing.assert_allclose(task.probabilities(batch["images"]).sum(1), 1, rtol=1e-5)


def test_a_mixed_batch_trains():
    task = tiny_task(loss="sigmoid")
    task.compile(optimizer=keras.optimizers.SGD(0.1))
    mixed = tiny_batch() | {"mixing": np.full(11, 0.7, "f"), "mixed_labels": np.zeros(11, "int32")}
    losses = task.fit(endless(mixed), steps_per_epoch=20, epochs=3, verbose=0).history["loss"]
    assert losses[2] < losses[1] < losses[0]


def test_an_unknown_loss_is_named():
    with pytest.raises(ValueError, match="expected 'softmax' or 'sigmoid'. Received: loss='hinge'"):
        tiny_task(loss="hinge")


def test_label_smoothing_range():
    with pytest.raises(ValueError, match="expected a number less than 1. Received: label_smoothing=1.0"):
        tiny_task(label_smoothing=1.0)
