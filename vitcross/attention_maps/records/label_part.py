"""Holds the labels of a capture, for models whose choices are a yes or no each: which are there, and a map for each.

Shape legend: B batch, K labels, J labels that have a map, P patches, M boxes of one label.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from vitcross.attention_maps.records.record_file import array_fields, arrays_of, check_shape

MOST_LABELS = 6  # of one image that get a map


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ProbeLabels:
    """What a capture must be told of the labels of its images.

    Args:
        threshold: callable without arguments, gives the probability from which on a label counts as predicted.
        boxes: tuple of B dicts of label to (M, 4) boxes (y_min, x_min, y_max, x_max) in [0, 1], or None where unknown.
    """

    threshold: Callable[[], float] = lambda: 0.5
    boxes: tuple[dict, ...] | None = None

    @staticmethod
    def joined(parts: list[ProbeLabels | None]) -> ProbeLabels | None:
        """The labels of several batches as one; None where there are none."""
        known = [part for part in parts if part is not None]
        if not known:
            return None
        unknown = any(part.boxes is None for part in known)
        return dataclasses.replace(known[0], boxes=None if unknown else tuple(b for part in known for b in part.boxes))

    def take(self, rows) -> ProbeLabels:
        """The labels of the examples `rows`, in this order."""
        return dataclasses.replace(self, boxes=self.boxes and tuple(self.boxes[row] for row in rows))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LabelPart:
    """The labels of a capture, as `AttentionRecord.label_part`; their probabilities are those of the record.

    Args:
        threshold: float, the probability from which on a label counts as predicted.
        present: (B, K) bool, the true labels, or None where unknown.
        boxes: tuple of B dicts of label to (M, 4) float32 boxes, or () where unknown.
        shown: (B, J) int32, the labels that have a map: the target, then those that are present or predicted, most
            probable first; -1 where an image has fewer. J may be 0.
        maps: (B, J, P) float32 >= 0, relevance for each of them.
    """

    threshold: float
    present: np.ndarray | None = None
    boxes: tuple[dict[int, np.ndarray], ...] = ()
    shown: np.ndarray | None = None
    maps: np.ndarray | None = None

    ARRAYS = ("present", "shown", "maps")
    TABLES = ()
    PER_EXAMPLE = (*ARRAYS, "boxes")

    def check(self, batch: int, num_labels: int, layout) -> None:
        """Raise ValueError where the part contradicts the number of images or labels, or the TokenLayout."""
        check_shape("present", self.present, (batch, num_labels))
        if self.boxes and len(self.boxes) != batch:
            raise ValueError(f"`boxes` of labels must be one dict per image ({batch}). Received: {len(self.boxes)}")
        if self.shown is not None:
            check_shape("shown", self.shown, (batch, self.shown.shape[-1]))
            check_shape("maps", self.maps, (batch, self.shown.shape[-1], layout.num_patches))

    def labels_shown(self, example: int) -> list[int]:
        """The labels of an example that have a map."""
        return [] if self.shown is None else [int(label) for label in self.shown[example] if label >= 0]

    def boxes_of(self, example: int, label: int) -> np.ndarray:
        """(M, 4) float32, the boxes of a label of an example; M = 0 where there is none or they are unknown."""
        none = np.zeros((0, 4), np.float32)
        return self.boxes[example].get(label, none) if self.boxes else none

    def to_file(self) -> tuple[dict, dict[str, np.ndarray]]:
        """`(header, arrays)`: a JSON-ready dict, and the arrays by their names in the file."""
        names, arrays = arrays_of(self)
        boxes = [[[int(k), np.asarray(b).tolist()] for k, b in each.items()] for each in self.boxes]
        return {"threshold": float(self.threshold), "boxes": boxes, "names": names}, arrays

    @classmethod
    def from_file(cls, header: dict, arrays: dict[str, np.ndarray]) -> LabelPart:
        """The inverse of `to_file`."""
        boxes = tuple({int(k): np.array(b, np.float32).reshape(-1, 4) for k, b in each} for each in header["boxes"])
        return cls(threshold=header["threshold"], boxes=boxes, **array_fields(cls, header["names"], arrays))


def labels_to_show(probabilities_BK, present_BK, threshold: float, target_B) -> np.ndarray:
    """(B, J) int32 as `LabelPart.shown`, J at most `MOST_LABELS`."""
    chosen = np.asarray(probabilities_BK) >= threshold
    chosen = chosen if present_BK is None else chosen | present_BK
    rows = []
    for probabilities, wanted, target in zip(probabilities_BK, chosen, target_B, strict=True):
        others = [int(k) for k in np.argsort(-probabilities, kind="stable") if wanted[k] and k != target]
        rows.append([int(target), *others][:MOST_LABELS])
    most = max(map(len, rows), default=0)
    return np.array([row + [-1] * (most - len(row)) for row in rows], np.int32).reshape(len(rows), most)


def labels_of(data, split: str, indices, task=None) -> ProbeLabels | None:
    """What a capture needs of the labels of some examples of a split; None for data with one label per image.

    Args:
        data: `vitcross.data.image_data.ImageData`.
        split, indices: as for `data.examples`.
        task: task of the model (`vitcross.tasks`), which has the threshold; None: 1/2.
    """
    if not data.multilabel:
        return None
    boxes = data.label_boxes(split, indices)
    threshold = {} if task is None else {"threshold": lambda: task.threshold}
    return ProbeLabels(boxes=boxes and tuple(boxes), **threshold)


def targets_to_measure(present_BK, indices, seed: int) -> np.ndarray:
    """(B,) int32: for each example one of its labels, drawn by seed and its index, so that every label is measured
    where it is; -1, the most probable one, for an example without labels."""
    rows = [np.flatnonzero(row) for row in np.asarray(present_BK)]
    draws = (np.random.default_rng([seed, int(index) + 1]) for index in indices)
    return np.array([rng.choice(row) if len(row) else -1 for row, rng in zip(rows, draws, strict=True)], np.int32)
