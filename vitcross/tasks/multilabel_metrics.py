"""Computes metrics of several labels per image from their probabilities. n examples, K labels.

Average precision is a dozen lines of NumPy, held in the tests against its definition; scikit-learn, 40 MB that nothing
else here needs, would be imported for one function.
"""

import numpy as np

from vitcross.tasks.classification_metrics import calibration_gap

DEFAULT_THRESHOLD = 0.5  # before the first validation


def average_precision(probabilities_n, present_n):
    """Average precision of one label in [0, 1]: `sum_t (recall_t - recall_(t-1)) precision_t` over the distinct
    probabilities t, most probable first; NaN where no example has the label.

    Examples of equal probability enter together, so that their order does not matter. There is no interpolation.

    Args:
        probabilities_n: (n,) float, any scores.
        present_n: (n,) bool.
    """
    true_positives, predicted, _ = _at_each_threshold(probabilities_n, present_n)
    if not true_positives[-1]:
        return float("nan")
    gained = np.diff(true_positives, prepend=0)
    return float(np.sum(gained * true_positives / predicted) / true_positives[-1])


def average_precisions(probabilities_nK, present_nK):
    """(K,) float64, `average_precision` of each label."""
    pairs = zip(np.transpose(probabilities_nK), np.transpose(present_nK), strict=True)
    return np.array([average_precision(*pair) for pair in pairs])


def best_threshold(probabilities_nK, present_nK):
    """The probability from which on a label counts as predicted such that `f1_score` is highest, one for all labels.

    It lies halfway between the last probability that counts and the next one; of equal F1 the highest is taken.
    """
    true_positives, predicted, distinct = _at_each_threshold(np.ravel(probabilities_nK), np.ravel(present_nK))
    best = int(np.argmax(2 * true_positives / (predicted + true_positives[-1])))
    return float(np.mean(distinct[best : best + 2]))


def f1_score(probabilities_nK, present_nK, threshold):
    """F1 in [0, 1] over all decisions about a label of an image together (micro): `2 TP / (2 TP + FP + FN)`."""
    predicted_nK, present_nK = np.asarray(probabilities_nK) >= threshold, np.asarray(present_nK, bool)
    total = predicted_nK.sum() + present_nK.sum()
    return float(2 * (predicted_nK & present_nK).sum() / total) if total else 0.0


def calibration_error(probabilities_nK, present_nK, num_bins=15):
    """Mean gap between a probability and how often its label is there, over bins of equal width, weighted by size.

    Every probability of every label counts: (expected) calibration error of n K yes-or-no decisions, in [0, 1].
    """
    return calibration_gap(np.ravel(probabilities_nK), np.ravel(present_nK), num_bins)


def summarize(rows):
    """Scalars that training logs as `val/<name>`, with the threshold that is best on these examples.

    Args:
        rows: dict of arrays over the same n examples: `probabilities` (n, K), `labels` (n, K) and `losses` (n,).

    Raises:
        ValueError: where no example has any label.
    """
    return _scalars(rows, best_threshold(rows["probabilities"], _present(rows)))


def report(rows, class_names, threshold):
    """The full record that `evaluate.py` writes, with the threshold that was chosen on validation.

    A label that no example has, has average precision None and is left out of the mean.
    """
    present_nK = _present(rows)
    each = average_precisions(rows["probabilities"], present_nK)
    counts = present_nK.sum(axis=0)
    return {
        **_scalars(rows, threshold),
        "examples": len(present_nK),
        "labels_without_examples": int((counts == 0).sum()),
        "average_precision_per_label": {
            name: float(value) if np.isfinite(value) else None for name, value in zip(class_names, each, strict=True)
        },
        "images_per_label": dict(zip(class_names, counts.tolist(), strict=True)),
    }


def predictions(rows, class_names, threshold):
    """`(columns, lines)`: for each example the predicted labels, most probable first, their probabilities, and where
    the labels are known these and whether both are the same.

    Args:
        rows: dict of arrays over the same n examples: `probabilities` (n, K) and perhaps `labels` (n, K).
    """
    columns, lines = ["predictions", "probabilities"], []
    present_nK = _present(rows) if "labels" in rows else None
    for n, row in enumerate(rows["probabilities"]):
        chosen = predicted_labels(row, threshold)
        line = ["; ".join(class_names[k] for k in chosen), "; ".join(f"{row[k]:.6g}" for k in chosen)]
        if present_nK is not None:
            true = np.flatnonzero(present_nK[n])
            line += ["; ".join(class_names[k] for k in true), int(set(chosen) == set(true))]
        lines.append(line)
    return columns if present_nK is None else [*columns, "labels", "correct"], lines


def predicted_labels(probabilities_K, threshold):
    """The labels that count as predicted, most probable first: list of int."""
    order = np.argsort(-probabilities_K, kind="stable")
    return [int(k) for k in order if probabilities_K[k] >= threshold]


def _scalars(rows, threshold):
    probabilities_nK, present_nK = rows["probabilities"], _present(rows)
    if not present_nK.any():
        raise ValueError("metrics of several labels per image need an image that has a label. Received: none has one")
    return {
        "loss": float(rows["losses"].mean(dtype=np.float64)),
        "mean_average_precision": float(np.nanmean(average_precisions(probabilities_nK, present_nK))),
        "f1": f1_score(probabilities_nK, present_nK, threshold),
        "threshold": threshold,
        "calibration_error": calibration_error(probabilities_nK, present_nK),
    }


def _present(rows):
    return np.asarray(rows["labels"]) > 0.5


def _at_each_threshold(scores_n, present_n):
    """`(true positives, predicted, scores)` at each distinct score, highest first: what is at least as high counts."""
    order = np.argsort(-np.asarray(scores_n, np.float64), kind="stable")
    scores = np.asarray(scores_n, np.float64)[order]
    last = np.flatnonzero(np.append(np.diff(scores) != 0, True))  # the last of each group of equal scores
    return np.cumsum(np.asarray(present_n, bool)[order])[last], last + 1, scores[last]
