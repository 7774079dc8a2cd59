"""Computes the metrics of a split, each example counted once.

Validation during training and `evaluate.py` both call `predict_all`, so that their numbers are equal.
"""

import numpy as np


def predict_all(task, batches):
    """Predictions for every valid example of a split.

    Args:
        task: has `predict_rows(batch)`, which returns a dict of arrays over the batch, one of them `valid`.
        batches: finite iterable of batches (`vitcross.data.batch`), the last one padded.

    Returns:
        dict of NumPy arrays over the n valid examples, in the order of the split, without `valid`.

    Raises:
        ValueError: where there is no valid example.
    """
    collected, counted = [], 0
    for batch in batches:
        rows = task.predict_rows({key: np.asarray(value) for key, value in batch.items()})
        valid = rows.pop("valid").astype(bool)
        counted += valid.sum()
        collected.append({key: value[valid] for key, value in rows.items()})
    if not counted:
        raise ValueError("evaluation needs at least one readable example. Received: an empty split")
    return {key: np.concatenate([rows[key] for rows in collected]) for key in collected[0]}


def evaluate(task, batches, references=None):
    """Scalar metrics of a split: dict of float, e.g. `{"loss": 0.1, "accuracy": 0.97}`.

    Args:
        references: what is true of the split's examples beyond the arrays of a batch (`ImageTextData.references`): an
            object with `text(index)`, `texts(index)` of its image, `scene(index)` or None, `answers(index)` and
            `question_types`; None for data without texts.
    """
    return task.summarize(predict_all(task, batches), references)
