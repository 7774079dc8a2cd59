"""Draws a table of numbers as colored cells: of statistics by layer, of heads, of classes.

Shape legend: R rows, C columns.
"""

from __future__ import annotations

import numpy as np

from vitcross.attention_maps.sheets import color_maps, drawing
from vitcross.attention_maps.sheets.drawing import MUTED, Canvas
from vitcross.pages.numbers import number

CELL_HEIGHT = 30  # of a table whose rows are layers
LIGHT = 140  # of 255: dark letters stand on cells that are lighter


def draw_cells(canvas: Canvas, corner, values_RC, size, *, vmax: float, color_map: str, texts=None) -> None:
    """Draw the cells of a table and, where they fit, their texts.

    Args:
        corner: (x, y) of the first cell.
        values_RC: numbers; colors go from 0 to `vmax`, and negative values have the color of 0.
        size: (width, height) of a cell.
        texts: R lists of C str; None: the numbers themselves.
    """
    colors = color_maps.colors(values_RC, color_map, 0.0, vmax)
    for row, column in np.ndindex(values_RC.shape):
        x, y = corner[0] + column * size[0], corner[1] + row * size[1]
        color = tuple(int(c) for c in colors[row, column])
        text = texts[row][column] if texts else number(float(values_RC[row, column]), 3 if size[0] >= 50 else 2)
        canvas.draw.rectangle((x, y, x + size[0] - 2, y + size[1] - 2), fill=color)
        if size[1] >= 18 and drawing.text_width(text, 12) <= size[0] - 4:
            center = x + size[0] / 2 - 1, y + size[1] / 2
            canvas.text(*center, text, size=12, fill=letter_color(color), anchor="mm")


def letter_color(cell) -> tuple[int, int, int]:
    """Dark or white, whichever is legible on a cell of this color; the weights are those of perceived lightness."""
    return (24, 24, 24) if np.dot(cell, (0.299, 0.587, 0.114)) > LIGHT else (255, 255, 255)


def label_rows(canvas: Canvas, corner, names, height: int) -> None:
    """Write the name of each row to the left of a table."""
    for row, name in enumerate(names):
        canvas.text(corner[0] - 10, corner[1] + row * height + height / 2, name, fill=MUTED, anchor="rm")


def label_columns(canvas: Canvas, corner, names, width: int) -> None:
    """Write the name of each column below a table, from (x, y) on, except those that would touch the previous one."""
    free = -1.0
    for column, name in enumerate(names):
        half = drawing.text_width(str(name), 12) / 2
        center = corner[0] + column * width + width / 2 - 1
        if center - half > free:
            canvas.text(center, corner[1], name, size=12, fill=MUTED, anchor="ma")
            free = center + half + 8
