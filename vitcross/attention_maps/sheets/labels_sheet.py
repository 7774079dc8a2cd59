"""Draws relevance for each label of an image that is there or predicted: one row per image, one panel per label.

Shape legend: B batch, J labels that have a map, P patches; h w pixels of a panel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps.sheets import drawing, render
from vitcross.attention_maps.sheets.drawing import BAR_ROOM, GAP, INK, MARGIN, MUTED, RIGHT, WRONG, Canvas
from vitcross.attention_maps.sheets.sheet import Sheet
from vitcross.attention_maps.sheets.sheet_layout import SheetLayout, Style
from vitcross.pages.direction import in_line
from vitcross.pages.numbers import number, percent

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord

LABEL, LINE = 22, 18
MOST_LINES = 3


def labels_sheet(record: AttentionRecord, style: Style) -> Sheet:
    """Probes x (image, then relevance for each label that is there or predicted); a row has one color scale."""
    sheet, part = SheetLayout(record, style, _all_boxes(record)), record.label_part
    columns = part.shown.shape[1]
    h, w = sheet.size(1 + columns, BAR_ROOM + GAP)
    texts = [sheet.prediction_lines(i, w, MOST_LINES) for i in sheet.examples]
    step_x, step_y = w + GAP, LABEL + h + max(map(len, texts)) * LINE + 2 * GAP
    name = style.color_map.capitalize()
    lines = [
        f"Step {record.step}. Relevance for each label that is there or predicted (from {percent(part.threshold)} on), "
        f"at most {columns} of an image: first the one that all other maps explain, then by probability.",
        f"{name}: darkest = 0; a row shares one scale, whose top is at its bar.",
    ]
    if part.present is not None:
        lines.append("Green: the label is there. Red: it is not.")
    if part.boxes:
        lines.append("White boxes: the objects of the label. The model never sees them.")
    width = 2 * MARGIN + (1 + columns) * step_x + GAP + BAR_ROOM
    canvas, top = sheet.canvas("What speaks for each label", lines, width, len(sheet.examples) * step_y)
    tops = [render.scale_top(part.maps[i]) for i in sheet.examples]
    for i in sheet.examples:
        y = top + i * step_y
        canvas.paste(MARGIN, y + LABEL, sheet.pixels(i, (h, w)))
        for k, (line, fill) in enumerate(texts[i]):
            canvas.text(MARGIN, y + LABEL + h + 6 + LINE * k, line, fill=fill)
        for j, label in enumerate(part.labels_shown(i)):
            _panel(canvas, sheet, i, j, label, (MARGIN + GAP + (1 + j) * step_x, y), tops[i], (h, w))
        x = MARGIN + GAP + (1 + columns) * step_x
        canvas.color_bar(x, y + LABEL, h, vmin=0.0, vmax=tops[i], color_map=style.color_map)
    rows = "; ".join(f"{i + 1}: {', '.join(label_words(record, i))}" for i in sheet.examples)
    caption = f"{' '.join(lines)} Labels: {rows}."
    return Sheet(image=canvas.array(), title="What speaks for each label", caption=caption, vmin=0.0)


def label_words(record: AttentionRecord, example: int) -> list[str]:
    """The labels of an example that have a map, each with its probability."""
    row = record.probabilities[example]
    return [
        f"{in_line(record.class_name(k))} {percent(float(row[k]))}" for k in record.label_part.labels_shown(example)
    ]


def _all_boxes(record: AttentionRecord):
    part = record.label_part
    none = np.zeros((0, 4), np.float32)
    return (
        [np.concatenate([none, *each.values()]) for each in part.boxes] if part.boxes else [none] * len(record.images)
    )


def _panel(canvas: Canvas, sheet: SheetLayout, i: int, j: int, label: int, place, vmax: float, size):
    (x, y), (h, w), part = place, size, sheet.record.label_part
    fill = INK if part.present is None else RIGHT if part.present[i, label] else WRONG
    canvas.text(x, y, label_words(sheet.record, i)[j], size=15, fill=fill, width=w)
    pixels = np.array(sheet.overlay(i, part.maps[i, j], vmax, size))
    for box in part.boxes_of(i, label):
        drawing.draw_box(pixels, box)
    canvas.paste(x, y + LABEL, pixels)
    peak = f"top {number(float(part.maps[i, j].max()))}" if part.maps[i, j].any() else "all zero: no evidence"
    canvas.text(x, y + LABEL + h + 6, peak, size=12, fill=MUTED, width=w)
