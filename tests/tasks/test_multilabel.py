"""Several labels per image: loss and metrics held against their definitions, written out one example at a time."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitcross.models import VisionTransformer
from vitcross.tasks import Classification, Multilabel
from vitcross.tasks.evaluation import evaluate, predict_all
from vitcross.tasks.image_query import ImageQuery
from vitcross.tasks.losses import binary_cross_entropy
from vitcross.tasks.multilabel_metrics import (
    average_precision,
    best_threshold,
    calibration_error,
    f1_score,
    predictions,
    report,
    summarize,
)

NAMES = tuple("abcde")
N, K = 23, 5


def tiny_task(**options):
    keras.utils.set_random_seed(3)
    network = VisionTransformer(
        num_classes=K, image_size=(6, 10), patch_size=2, embed_dim=8, depth=1, num_heads=2, multilabel=True
    )
    return Multilabel(network=network, **options)


def batch(size=11):
    random = np.random.default_rng(1)
    return {
        "images": random.uniform(-1, 1, (size, 6, 10, 3)).astype("f"),
        "labels": (random.random((size, K)) < 0.4).astype("f"),
        "valid": np.ones(size, bool),
        "index": np.arange(size),
    }


def rows(seed=0, digits=1):
    """Predictions with many ties."""
    random = np.random.default_rng(seed)
    labels = (random.random((N, K)) < 0.3).astype("f")
    labels[:, 4] = 0  # no example has "e"
    probabilities = np.clip(labels * 0.3 + random.random((N, K)) * 0.8, 0, 1).round(digits)
    return {"probabilities": probabilities, "labels": labels, "losses": random.random(N)}


def precision_and_recall(scores, present, threshold):
    chosen = scores >= threshold
    return (chosen & present).sum() / max(chosen.sum(), 1), (chosen & present).sum() / present.sum()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=29))
def test_average_precision_is_its_definition(pairs):
    scores, present = np.array([s for s, _ in pairs]) / 7, np.array([p for _, p in pairs])
    if not present.any():
        assert np.isnan(average_precision(scores, present))
        return
    expected = last = 0.0
    for threshold in sorted(set(scores), reverse=True):
        precision, recall = precision_and_recall(scores, present, threshold)
        expected, last = expected + (recall - last) * precision, recall
    assert average_precision(scores, present) == pytest.approx(expected, abs=1e-12)
    order = np.random.default_rng(0).permutation(len(scores))
    assert average_precision(scores[order], present[order]) == pytest.approx(expected, abs=1e-12)


def test_average_precision_of_known_rankings():
    present = np.array([True, False, True, False])
    assert average_precision(np.array([0.9, 0.2, 0.8, 0.1]), present) == 1.0
    assert average_precision(np.array([0.9, 0.8, 0.7, 0.1]), present) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(np.full(4, 0.5), present) == 0.5  # a constant model gets the share of the label


@pytest.mark.parametrize("digits", [1, 6])
def test_no_threshold_has_a_better_f1(digits):
    found = rows(digits=digits)
    probabilities, present = found["probabilities"], found["labels"] > 0
    threshold = best_threshold(probabilities, present)
    best = f1_score(probabilities, present, threshold)
    for other in np.unique(probabilities):
        precision, recall = precision_and_recall(probabilities.ravel(), present.ravel(), other)
        f1 = 2 * precision * recall / max(precision + recall, 1e-12)
        assert f1 == pytest.approx(f1_score(probabilities, present, other), abs=1e-12)
        assert f1 <= best + 1e-12
    assert best_threshold(np.array([[0.75], [0.25]]), np.array([[True], [False]])) == 0.5
    assert best_threshold(np.array([[0.75], [0.25]]), np.array([[True], [True]])) == 0.25


def test_calibration_error_compares_frequencies_with_probabilities():
    probabilities, present = np.array([[0.7, 0.7, 0.7, 0.7, 0.1]]), np.array([[1, 1, 0, 0, 0]])
    assert calibration_error(probabilities, present) == pytest.approx((4 * 0.2 + 0.1) / 5)
    found = rows()
    expected = 0.0
    p, y = found["probabilities"].ravel(), found["labels"].ravel()
    for low in range(15):
        inside = (p > low / 15) & (p <= (low + 1) / 15) | (p == 0) & (low == 0)
        expected += abs(p[inside].sum() - y[inside].sum()) / len(p)
    assert calibration_error(found["probabilities"], found["labels"]) == pytest.approx(expected)


def test_a_label_that_never_occurs_is_left_out_and_counted():
    found = rows()
    values, full = summarize(found), report(found, NAMES, threshold=0.5)
    each = [average_precision(found["probabilities"][:, k], found["labels"][:, k] > 0) for k in range(4)]
    assert values["mean_average_precision"] == full["mean_average_precision"] == pytest.approx(np.mean(each))
    assert full["average_precision_per_label"]["e"] is None and full["labels_without_examples"] == 1
    assert full["images_per_label"] == dict(zip(NAMES, found["labels"].sum(0), strict=True))
    assert set(values) == {"loss", "mean_average_precision", "f1", "threshold", "calibration_error"}
    assert full["f1"] <= values["f1"] and full["threshold"] == 0.5
    with pytest.raises(ValueError, match="none has one"):
        summarize(found | {"labels": np.zeros((N, K))})


def test_predictions_list_labels_above_the_threshold_most_probable_first():
    found = {"probabilities": np.array([[0.2, 0.9, 0.5], [0.1, 0.2, 0.3]])}
    columns, lines = predictions(found, ("a", "b", "c"), 0.5)
    assert (columns, lines) == (["predictions", "probabilities"], [["b; c", "0.9; 0.5"], ["", ""]])
    columns, lines = predictions(found | {"labels": np.array([[0, 1, 1], [1, 0, 0]])}, ("a", "b", "c"), 0.5)
    assert columns[2:] == ["labels", "correct"] and [line[2:] for line in lines] == [["b; c", 1], ["a", 0]]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, (0.5, 2.0, 1.0, 3.0, 1.5)])
def test_the_loss_equals_numpy_in_float64(smoothing, weights):
    random = np.random.default_rng(0)
    logits, targets = random.normal(size=(7, K)) * 9, random.random((7, K))
    q, yes = targets * (1 - smoothing) + smoothing / 2, 1 / (1 + np.exp(-logits))
    expected = -(np.array(weights or 1.0) * q * np.log(yes) + (1 - q) * np.log(1 - yes)).mean(1)
    actual = binary_cross_entropy(logits.astype("f"), targets.astype("f"), smoothing, weights)
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-4, atol=1e-4)
    extreme = binary_cross_entropy(np.array([[1e4, -1e4]], "f"), np.array([[1.0, 0.0]], "f"))
    assert float(extreme[0]) == 0.0


def test_mixed_images_count_by_their_shares_and_invalid_rows_not_at_all():
    task, whole = tiny_task(class_weights=[1, 2, 3, 4, 5]), batch()
    outputs = task(whole)
    share, others = np.linspace(0, 1, 11, dtype="f"), np.roll(whole["labels"], 1, axis=0)
    mixed = task.compute_loss(whole | {"mixing": share, "mixed_labels": others}, y_pred=outputs)
    soft = share[:, None] * whole["labels"] + (1 - share[:, None]) * others
    expected = np.mean(binary_cross_entropy(outputs, soft, 0.0, task.class_weights))
    assert float(mixed) == pytest.approx(float(expected), rel=1e-5)
    kept = {key: value[:7] for key, value in whole.items()}
    padded = whole | {"valid": np.arange(11) < 7}
    losses = [float(task.compute_loss(b, y_pred=task(b))) for b in (kept, padded)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    task.compile(optimizer="sgd")
    assert evaluate(task, [kept]) == pytest.approx(evaluate(task, [padded]))


def test_the_threshold_of_validation_decides_later():
    task, whole = tiny_task(), batch()
    task.compile(optimizer="sgd")
    found = predict_all(task, [whole])
    task.use_validation({})
    assert task.threshold == 0.5
    task.use_validation({"threshold": 0.4, "threshold_ema": 0.3})
    assert task.report(found, NAMES)["threshold"] == task.threshold == 0.3
    answer = task.answer_images(whole["images"], ImageQuery(class_names=NAMES))
    chosen = [[NAMES[k] for k in np.argsort(-p) if p[k] >= 0.3] for p in found["probabilities"]]
    assert [line[0] for line in answer.lines] == ["; ".join(names) for names in chosen]
    task.threshold = 0.99
    assert task.answer_images(whole["images"][:1], ImageQuery(class_names=NAMES)).words[0].startswith("none above 99%")


def test_the_network_must_know_that_labels_are_independent():
    network = VisionTransformer(num_classes=3, image_size=4, patch_size=2, embed_dim=4, depth=1, num_heads=1)
    assert network.multilabel is False
    with pytest.raises(ValueError, match="multilabel=True"):
        Multilabel(network=network)
    assert isinstance(Classification(network=network), Classification)
