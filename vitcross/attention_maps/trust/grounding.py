"""Measures grounding: whether a map points at the object, where the object's box is known.

Shape legend: B batch, P patches; maps and masks are grids (grid_height, grid_width).

References: pointing game, Zhang et al. 2016 (arXiv 1608.00507); energy, Wang et al. 2020 (arXiv 1910.01279).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps.methods.rollout import read_map
from vitcross.height_and_width import height_and_width

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord

# Float arithmetic must not decide whether exactly half of a patch lies in the box.
_HALF = 0.5 - 1e-6
BOXES_OF = {"object": "boxes", "mark": "mark_boxes"}  # `of` -> the field of a record that holds the boxes
TOLERANCE = 1  # of the pointing game, in patches
MEASURES = ("pointing", "energy", "lift", "chance")


def _check_pair(attention_map, box_mask) -> tuple[np.ndarray, np.ndarray]:
    attention_map, box_mask = np.asarray(attention_map, np.float64), np.asarray(box_mask, bool)
    if attention_map.ndim != 2 or attention_map.shape != box_mask.shape:
        raise ValueError(
            "`attention_map` and `box_mask` must be grids (grid_height, grid_width) of one shape. "
            f"Received: {attention_map.shape} and {box_mask.shape}"
        )
    return attention_map, box_mask


def _near(box_mask: np.ndarray, tolerance: float) -> np.ndarray:
    """The patches at most `tolerance` patches (Euclidean) from a patch in the box."""
    places = np.stack(np.indices(box_mask.shape), axis=-1)
    offsets = places[:, :, None] - np.argwhere(box_mask)
    return ((offsets**2).sum(axis=-1) <= tolerance**2).any(axis=-1)


def pointing_game(attention_map, box_mask, tolerance: float = TOLERANCE, seed: int = 0) -> bool:
    """Whether the map's maximum lies in the box or at most `tolerance` patches (Euclidean) from it.

    Args:
        attention_map: (grid_height, grid_width), larger = more attended. All zero, or without a positive value, is a
            miss.
        box_mask: (grid_height, grid_width) bool, patches that belong to the object.
        tolerance: float >= 0, in patches.
        seed: int, breaks ties between maxima at random.
    """
    attention_map, box_mask = _check_pair(attention_map, box_mask)
    return _points_at(attention_map, _near(box_mask, tolerance), seed)


def _points_at(attention_map: np.ndarray, near: np.ndarray, seed: int) -> bool:
    # NaN compares false too: the map of a network that diverged is a miss.
    if not attention_map.max() > 0:
        return False
    ties = np.flatnonzero(attention_map == attention_map.max())
    return bool(near.flat[ties[0] if len(ties) == 1 else np.random.default_rng(seed).choice(ties)])


def energy_in_box(attention_map, box_mask) -> float:
    """Share of the map's positive mass that lies in the box, `sum_box m+ / sum m+`, in [0, 1]; all-zero map: 0."""
    attention_map, box_mask = _check_pair(attention_map, box_mask)
    positive = np.maximum(attention_map, 0.0)
    total = positive.sum()
    return float(positive[box_mask].sum() / total) if total > 0 else 0.0


def box_to_patches(box, image_size, grid, patch_size) -> np.ndarray:
    """The patches that belong to a box: those of which at least half lies inside it.

    A convolutional stem rounds the grid up, so that the last patches may reach beyond the image; only their part
    inside the image counts.

    Args:
        box: (4,) float, (y_min, x_min, y_max, x_max) in [0, 1].
        image_size: (height, width) in pixels.
        grid: (grid_height, grid_width).
        patch_size: int or (height, width) in pixels.

    Returns:
        (grid_height, grid_width) bool.
    """
    shares = []
    for axis, extent in enumerate(height_and_width(patch_size, "patch_size")):
        starts = np.minimum(np.arange(grid[axis]) * extent, image_size[axis])
        ends = np.minimum(starts + extent, image_size[axis])
        low, high = box[axis] * image_size[axis], box[axis + 2] * image_size[axis]
        covered = np.clip(np.minimum(ends, high) - np.maximum(starts, low), 0.0, None)
        shares.append(covered / np.maximum(ends - starts, 1e-9))
    return np.outer(*shares) >= _HALF


def mask_to_patches(mask, grid, patch_size) -> np.ndarray:
    """The patches of which at least half lies in a mask; like `box_to_patches`.

    Args:
        mask: (H, W) bool, pixels of the image that the model saw.
        grid: (grid_height, grid_width).
        patch_size: int or (height, width) in pixels.
    """
    inside, image = np.asarray(mask, np.float64), np.ones(np.shape(mask))
    for axis, extent in enumerate(height_and_width(patch_size, "patch_size")):
        starts = np.minimum(np.arange(grid[axis]) * extent, inside.shape[axis] - 1)
        inside, image = (np.add.reduceat(part, starts, axis=axis) for part in (inside, image))
    return inside / image >= _HALF


def object_to_patches(record: AttentionRecord, example: int) -> np.ndarray:
    """(grid_height, grid_width) bool, the patches of the object that decides the label: by its mask where that is
    known, else by its box."""
    if record.masks is not None and record.masks[example].any():
        return mask_to_patches(record.masks[example], record.token_layout.grid, record.patch_size)
    return boxes_to_patches(record, record.boxes[example : example + 1])


def boxes_to_patches(record: AttentionRecord, boxes) -> np.ndarray:
    """(grid_height, grid_width) bool, the patches that belong to any of the boxes (K, 4) on an image of a record."""
    size, grid = record.images.shape[1:3], record.token_layout.grid
    masks = [box_to_patches(box, size, grid, record.patch_size) for box in boxes]
    return np.logical_or.reduce(masks) if masks else np.zeros(grid, bool)


def grounding(record: AttentionRecord, method: str = "rollout", seed: int = 0, of: str = "object") -> dict:
    """How well the maps of a record point at the boxes, mean over the examples.

    Examples whose object covers half of no patch are left out, as are boxes without area.

    Args:
        record: AttentionRecord.
        method: one of `methods_of(record)`.
        seed: int, breaks ties between maxima.
        of: `"object"` (`record.masks` or `record.boxes`, the objects that decide the label) or `"mark"`
            (`record.mark_boxes`, a planted mark that gives the label away).

    Returns:
        dict of floats: `pointing` in [0, 1]; `energy` in [0, 1]; `lift`, energy divided by the box's share of the
        image, 1 for a uniform map; `chance`, the pointing game of a random patch; `examples`, how many were measured.
        Empty where no example has a usable box.
    """
    if of not in BOXES_OF:
        raise ValueError(f"`of` must be one of {', '.join(BOXES_OF)}. Received: of={of!r}")
    boxes = getattr(record, BOXES_OF[of])
    if boxes is None:
        raise ValueError(f"`record` must hold {BOXES_OF[of]} for grounding. Received: {BOXES_OF[of]}=None")
    rows = []
    for i, attention_map in enumerate(record.token_layout.to_grid(read_map(record, method))):
        mask = object_to_patches(record, i) if of == "object" else boxes_to_patches(record, boxes[i : i + 1])
        if mask.any():
            rows.append(measure(attention_map, mask, seed + i))
    return mean_of_rows(rows) | {"examples": len(rows)} if rows else {}


def measure(attention_map, mask, seed) -> tuple[float, ...]:
    """One map against one mask, both (grid_height, grid_width): a value for each of `MEASURES`.

    `seed` is an int or a sequence of them, each >= 0.
    """
    energy = energy_in_box(attention_map, mask)
    near = _near(mask, TOLERANCE)
    return float(_points_at(attention_map, near, seed)), energy, energy / mask.mean(), near.mean()


def mean_of_rows(rows) -> dict[str, float]:
    """Mean over the rows of `measure`, by the names of `MEASURES`."""
    return dict(zip(MEASURES, np.mean(np.array(rows, np.float64), axis=0).tolist(), strict=True))
