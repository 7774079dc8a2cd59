"""Reads boxes as tables have them, and finds what their four numbers are.

    xyxy    x_min, y_min, x_max, y_max
    xywh    x_min, y_min, width, height (COCO)
    cxcywh  x and y of the center, width, height (YOLO)
    yxyx    y_min, x_min, y_max, x_max (the batch contract, TensorFlow Datasets)

They are pixels of the upright image, or shares of its width and height where none in the table is above 1.
"""

import math
import re

import numpy as np

from vitcross.data.sources.table_columns import as_text, column_key, listed

FORMATS = ("xyxy", "xywh", "cxcywh", "yxyx")
_NEARLY_ALL = 0.95
_GUESSED = ("xyxy", "xywh")  # the others look like these
_PIXELS, _SHARE = 2.0, 0.05  # a box may reach beyond its image by the smaller of both, from rounding; it is cut there
# Names of four columns, without `_`, and without `bbox` or `box` before them.
_NAMES = {
    "xyxy": [
        ("xmin", "ymin", "xmax", "ymax"),
        ("x1", "y1", "x2", "y2"),
        ("x0", "y0", "x1", "y1"),
        ("left", "top", "right", "bottom"),
    ],
    "xywh": [
        (x, y, *size)
        for x, y in (("x", "y"), ("xmin", "ymin"), ("x1", "y1"), ("left", "top"))
        for size in (("w", "h"), ("width", "height"))
    ],
    "cxcywh": [
        (*center, *size)
        for center in (("xcenter", "ycenter"), ("centerx", "centery"), ("cx", "cy"))
        for size in (("w", "h"), ("width", "height"))
    ],
}


def box_columns(columns):
    """`(format, names)` of four columns that hold a box, found by their names; None if there are none."""
    by_key = {re.sub("^b?box", "", column_key(column)): column for column in columns}
    for box_format, choices in _NAMES.items():
        for names in choices:
            if all(name in by_key for name in names):
                return box_format, [by_key[name] for name in names]
    return None


def read_boxes(value):
    """The boxes in a cell: list of tuples of four floats, [] for an empty cell, None if it holds anything else.

    A cell is a list of four numbers, a list of such lists, or a text of four numbers.
    """
    if isinstance(value, str):
        if not value.strip():
            return []
        value = listed(value) or re.split(r"[\s,;]+", value.strip("[]() "))
    if not isinstance(value, list):
        return None
    several = value if value and all(isinstance(item, list) for item in value) else [value] if value else []
    boxes = [_numbers(box) for box in several]
    return None if None in boxes else boxes


def _numbers(values):
    try:
        numbers = tuple(float(as_text(value)) for value in values)
    except (ValueError, TypeError):
        return None
    return numbers if len(numbers) == 4 and all(map(math.isfinite, numbers)) else None


def corners(boxes, box_format):
    """Boxes (n, 4) of a format as (n, 4) of y_min, x_min, y_max, x_max in the same units, without a check."""
    a, b, c, d = np.asarray(boxes, np.float64).reshape(-1, 4).T
    if box_format == "yxyx":
        return np.stack([a, b, c, d], axis=1)
    if box_format == "cxcywh":
        a, b = a - c / 2, b - d / 2
    if box_format != "xyxy":
        c, d = a + c, b + d
    return np.stack([b, a, d, c], axis=1)


def fitting(boxes, sizes, box_format):
    """(n,) bool, whether boxes (n, 4) of a format lie inside their images and have an area.

    Args:
        boxes: (n, 4).
        sizes: (n, 2), height and width of each image in the units of the boxes.
        box_format: one of `FORMATS`.
    """
    y_min, x_min, y_max, x_max = corners(boxes, box_format).T
    height, width = np.asarray(sizes, np.float64).reshape(-1, 2).T
    slack_y, slack_x = (np.minimum(_PIXELS, _SHARE * extent) for extent in (height, width))
    inside = (y_min >= -slack_y) & (x_min >= -slack_x) & (y_max <= height + slack_y) & (x_max <= width + slack_x)
    return inside & (y_max > y_min) & (x_max > x_min)


def find_format(boxes, sizes):
    """The formats, of those that are guessed, in which (nearly) all boxes fit: list of str."""
    return [box_format for box_format in _GUESSED if fitting(boxes, sizes, box_format).mean() >= _NEARLY_ALL]


def relative(boxes, size, box_format):
    """Boxes (n, 4) of a format in an image of `size` (height, width) in their units: (n, 4) float32 of y_min, x_min,
    y_max, x_max in [0, 1]."""
    return np.clip(corners(boxes, box_format) / [*size, *size], 0, 1).astype(np.float32)
