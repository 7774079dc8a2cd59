"""Computes metrics of a classifier from its predictions, each example counted once. n examples, K classes."""

import numpy as np


def top_k_accuracy(probabilities_nK, labels_n, k):
    """Share of examples whose label is among the k most probable classes, in [0, 1].

    A tie counts against the model: a class counts as ahead of the label where its probability is at least as large, so
    that a constant model is not rewarded for the order of its classes.
    """
    own_n = np.take_along_axis(probabilities_nK, labels_n[:, None], axis=1)
    ahead_n = (probabilities_nK >= own_n).sum(axis=1) - 1
    return float(np.mean(ahead_n < k))


def confusion_matrix(predictions_n, labels_n, num_classes):
    """Counts `(K, K)` int64: row = true class, column = predicted class."""
    counts_KK = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts_KK, (labels_n, predictions_n), 1)
    return counts_KK


def expected_calibration_error(probabilities_nK, labels_n, num_bins=15):
    """Mean gap between confidence and accuracy over confidence bins of equal size, weighted by their size, in [0, 1].

    Reference: Guo et al. 2017, equation 3, arXiv 1706.04599.
    """
    return calibration_gap(probabilities_nK.max(axis=1), probabilities_nK.argmax(axis=1) == labels_n, num_bins)


def calibration_gap(confidence_n, correct_n, num_bins):
    """The mean gap itself, of confidences (n,) in [0, 1] and whether each was right (n,)."""
    bin_n = np.clip(np.ceil(confidence_n * num_bins).astype(int) - 1, 0, num_bins - 1)
    right, sure = (np.bincount(bin_n, weights=values, minlength=num_bins) for values in (correct_n, confidence_n))
    return float(np.abs(right - sure).sum() / len(confidence_n))


def summarize(rows, num_classes):
    """Scalars that training logs as `val/<name>`.

    Args:
        rows: dict of arrays over the same n examples: `probabilities` (n, K), `labels` (n,), `losses` (n,) and, where
            the data has it, `num_objects` (n,).

    Returns:
        dict of float: `loss`, `accuracy`, `top5_accuracy` (where K > 5), and `accuracy/objects_<count>`.
    """
    probabilities, labels = rows["probabilities"], rows["labels"]
    correct = probabilities.argmax(axis=1) == labels
    values = {"loss": float(rows["losses"].mean(dtype=np.float64)), "accuracy": float(correct.mean())}
    if num_classes > 5:
        values["top5_accuracy"] = top_k_accuracy(probabilities, labels, 5)
    if "num_objects" in rows:
        for count in np.unique(rows["num_objects"]):
            values[f"accuracy/objects_{count}"] = float(correct[rows["num_objects"] == count].mean())
    return values


def report(rows, class_names):
    """The full record that `evaluate.py` writes: `summarize` plus per-class accuracy, confusion matrix, calibration.

    A class without an example has accuracy None.
    """
    probabilities, labels = rows["probabilities"], rows["labels"]
    counts = confusion_matrix(probabilities.argmax(axis=1), labels, len(class_names))
    totals = counts.sum(axis=1)
    return {
        **summarize(rows, len(class_names)),
        "examples": len(labels),
        "expected_calibration_error": expected_calibration_error(probabilities, labels),
        "accuracy_per_class": {
            name: float(counts[k, k] / totals[k]) if totals[k] else None for k, name in enumerate(class_names)
        },
        "confusion_matrix": counts.tolist(),
        "class_names": list(class_names),
    }


def predictions(rows, class_names):
    """`(columns, lines)`: the prediction for each example, its probability and, where labels are known, whether it is
    correct.

    Args:
        rows: dict of arrays over the same n examples: `probabilities` (n, K) and perhaps `labels` (n,).
    """
    columns, labels = ["prediction", "probability"], rows.get("labels")
    lines = []
    for n, shares in enumerate(rows["probabilities"]):
        best = int(shares.argmax())
        line = [class_names[best], float(shares[best])]
        lines.append(line if labels is None else [*line, class_names[labels[n]], int(best == labels[n])])
    return columns if labels is None else [*columns, "label", "correct"], lines
