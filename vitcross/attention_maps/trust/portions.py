"""A batch in portions of one size: one compiled shape, bounded memory."""

from __future__ import annotations

import numpy as np


def portion_rows(total: int, size: int) -> list[np.ndarray]:
    """Rows of `total` examples in portions of `size`; the last portion is filled with repeats of the last row."""
    return [np.minimum(np.arange(start, start + size), total - 1) for start in range(0, total, size)]


def portions(batch, size: int):
    """A batch cut into portions of `size` examples; the last one is filled with repeats that are marked not valid."""
    total, valid = _valid(batch)
    for number, rows in enumerate(portion_rows(total, size)):
        portion = {key: np.asarray(value)[rows] for key, value in batch.items()}
        yield {**portion, "valid": valid[rows] & (number * size + np.arange(size) < total)}


def valid_rows(batch, target=None):
    """A batch and its target without the rows that are marked not valid."""
    total, valid = _valid(batch)
    if not valid.any():
        raise ValueError("`batch` must hold at least one valid image. Received: none")
    batch = {key: np.asarray(value)[valid] for key, value in batch.items()}
    if target is not None:
        target = np.asarray(target)
        target = target[valid] if len(target) == total else target
    return batch, target


def _valid(batch) -> tuple[int, np.ndarray]:
    """How many examples a batch has, whatever its images are called, and which of them count."""
    total = len(next(iter(batch.values())))
    return total, np.asarray(batch.get("valid", np.ones(total, bool)), bool)
