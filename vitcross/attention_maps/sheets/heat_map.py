"""One statistic as a heat map, depth x capture: how every layer changed while the model trained.

Shape legend: L blocks, M captures.
"""

from __future__ import annotations

import numpy as np

from vitcross.attention_maps.sheets import drawing
from vitcross.attention_maps.sheets.cell_table import CELL_HEIGHT, draw_cells, label_columns, label_rows
from vitcross.attention_maps.sheets.drawing import BAR_ROOM, MARGIN, Canvas
from vitcross.attention_maps.sheets.render import scale_top
from vitcross.attention_maps.sheets.sheet import Sheet
from vitcross.metric_keys import lookup, statistic
from vitcross.pages.numbers import number

LABEL_ROOM, BAR_GAP = 74, 14
WIDEST_CELL, NARROWEST_CELL = 58, 6
MAX_WIDTH = 2600


def heat_map_sheet(name: str, steps, values, color_map: str = "viridis") -> Sheet:
    """The heat map of one statistic.

    Args:
        name: str, `"entropy"`, `"distance"`, `"prefix_mass"` or `"sink_share"`.
        steps: sequence of M ints, the captures so far, oldest first.
        values: (M, L) float, mean over images and heads.
        color_map: `"viridis"` or `"inferno"`.

    Returns:
        Sheet; colors from 0 to the largest value, numbers in the cells where they fit.
    """
    values = np.nan_to_num(np.asarray(values, np.float64))
    if values.ndim != 2 or len(values) != len(steps):
        raise ValueError(f"`values` must be (M, L) with M = {len(steps)} captures. Received: shape {values.shape}")
    # The oldest captures leave first when a run has more of them than fit.
    most = (MAX_WIDTH - 2 * MARGIN - LABEL_ROOM - BAR_GAP - BAR_ROOM) // NARROWEST_CELL
    steps, values = list(steps)[-most:], values[-most:]
    num_captures, depth = values.shape
    cell = min(WIDEST_CELL, max(NARROWEST_CELL, 1200 // num_captures))
    row = lookup(statistic(name, "mean"))
    title, meaning = row.title, f"{row.meaning[0].upper()}{row.meaning[1:]}."
    lines = [meaning, "Rows: layers, first on top. Columns: captures, by step."]
    left, top = MARGIN + LABEL_ROOM, drawing.heading_height(len(lines))
    width = max(640, left + num_captures * cell + BAR_GAP + BAR_ROOM + MARGIN)
    height = max(depth * CELL_HEIGHT, 96)
    canvas = Canvas(width=width, height=top + height + 28 + MARGIN)
    canvas.heading(title, lines, width - 2 * MARGIN)
    vmax = scale_top(values)
    draw_cells(canvas, (left, top), values.T, (cell, CELL_HEIGHT), vmax=vmax, color_map=color_map)
    label_rows(canvas, (left, top), [f"layer {layer}" for layer in range(depth)], CELL_HEIGHT)
    label_columns(canvas, (left, top + depth * CELL_HEIGHT + 8), steps, cell)
    bar_x = left + num_captures * cell + BAR_GAP
    canvas.color_bar(bar_x, top, height, vmin=0.0, vmax=vmax, color_map=color_map)
    span = f"steps {steps[0]} to {steps[-1]}"
    caption = f"{title}, depth x capture, {span}. {meaning} Colors from 0 to {number(vmax)}."
    return Sheet(image=canvas.array(), title=title, caption=caption, vmin=0.0, vmax=vmax)
