"""Draws all map methods side by side with their trust measurements: one row per image, one column per method.

The head of a column shows the method's verdict over all trust examples; the gap on a single image is below its map.

Shape legend: B batch, P patches, K boxes; h w pixels of a panel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps.methods import rollout
from vitcross.attention_maps.methods.rollout import meaning
from vitcross.attention_maps.records.record import captions
from vitcross.attention_maps.records.trust_report import FOLLOWS, NO_BETTER, TrustReport
from vitcross.attention_maps.sheets import color_maps, drawing, render
from vitcross.attention_maps.sheets.drawing import GAP, INK, MARGIN, MUTED, RIGHT, WRONG, Canvas
from vitcross.attention_maps.sheets.sheet import Sheet
from vitcross.attention_maps.sheets.sheet_layout import SheetLayout, Style
from vitcross.attention_maps.sheets.trust_table import reasons
from vitcross.metric_keys import METHODS
from vitcross.pages.numbers import number

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord

COLUMN = 198  # the gap with its interval must fit above a narrow image
HEAD, BAR = 98, 10  # room for the words of a column's head; height of its color bar
BAR_AT, NUMBER_ROOM = 76, 60
NOTE = 26
MOST_LINES = 3
NOT_MEASURED = "not measured"


def method_maps(record: AttentionRecord) -> dict[str, tuple[np.ndarray, float]]:
    """Method -> (maps (B, P) as they are shown, top of their common color scale).

    Negative values, where leaving out a patch raises the score, are shown as 0.
    """
    shown = {method: np.maximum(rollout.read_map(record, method), 0.0) for method in rollout.methods_of(record)}
    return {method: (maps_BP, render.scale_top(maps_BP)) for method, maps_BP in shown.items()}


def methods_sheet(record: AttentionRecord, style: Style) -> Sheet:
    """Probes x (image, then every method of the record); each column has its own color scale."""
    sheet = SheetLayout(record, style, record.target_boxes)
    maps = method_maps(record)
    h, w = sheet.size(1 + len(maps))
    column = max(w, COLUMN)
    texts = [_below_image(sheet, i, column) for i in sheet.examples]
    step_y = h + max(NOTE, 10 + 18 * max(map(len, texts))) + GAP
    title = "All map methods and their trust measurements"
    lines = _lines(sheet, maps)
    canvas, top = sheet.canvas(title, lines, 2 * MARGIN + (1 + len(maps)) * (column + GAP), HEAD + len(texts) * step_y)
    for k, (method, (maps_BP, vmax)) in enumerate(maps.items()):
        x = MARGIN + (1 + k) * (column + GAP)
        _head(canvas, x, top, column, record, method, vmax, style.color_map)
        for i in sheet.examples:
            y = top + HEAD + i * step_y
            canvas.paste(x, y, sheet.with_boxes(sheet.overlay(i, maps_BP[i], vmax, (h, w)), i))
            note, color = _note(record, method, i, maps_BP[i])
            canvas.text(x, y + h + 6, note, fill=color, width=column)
    for i, text in enumerate(texts):
        y = top + HEAD + i * step_y
        canvas.paste(MARGIN, y, sheet.pixels(i, (h, w)))
        for k, (line, color) in enumerate(text):
            canvas.text(MARGIN, y + h + 6 + 18 * k, line, fill=color)
    predicted = "; ".join(captions(record))
    explained = "; ".join(f"{i + 1}: {target}" for i, target in enumerate(record.targets))
    caption = " ".join([*lines, *_measured(record, maps), predicted, f"Explained: {explained}" if explained else ""])
    return Sheet(image=canvas.array(), title=title, caption=caption.strip(), vmin=0.0)


def _lines(sheet: SheetLayout, maps) -> list[str]:
    record, trust = sheet.record, sheet.record.trust
    name = sheet.style.color_map.capitalize()
    lines = [
        f"Step {record.step}. {name}: darkest = 0; each column has its own scale, whose top is at its bar. "
        "Compare columns by their numbers, not by brightness."
    ]
    if trust is not None:
        lines += _source(trust)
    if "leave_one_out" in maps:
        lines.append(
            "Leave one out is negative where the answer gains without a patch; only its positive part is shown."
        )
    if sheet.object_line:
        lines.append(f"{sheet.object_line}: the object that should count. The model never sees it.")
    if record.mark_boxes is not None and record.mark_boxes.any():
        lines.append("Dashed box: a planted mark that gives the label away.")
    return lines


def _source(trust: TrustReport) -> list[str]:
    gap = "Gap: how much more the answer changes when patches are dropped in the map's order than in random ones"
    if not trust.fidelity:
        return [f"Below each map its gap on that image alone. {gap}."]
    return [
        f"Verdicts come from {trust.source}. In {trust.explainable} of {trust.examples} dropping patches changes the "
        f"answer. {gap}, with its 99 % interval; below each map the gap on that image alone. Cost: {trust.effort}.",
        *reasons(trust.fidelity, METHODS.get),
    ]


def _measured(record: AttentionRecord, maps) -> list[str]:
    words = []
    for method, (_, vmax) in maps.items():
        measured = record.trust and record.trust.fidelity.get(method)
        verdict = f"{measured.words}, gap {measured.gap_words()}" if measured else NOT_MEASURED
        words.append(f"{METHODS[method]}: {verdict}, brightest {number(vmax)}.")
    return words


def _head(canvas: Canvas, x: int, y: int, width: int, record: AttentionRecord, method: str, vmax: float, color_map):
    measured = record.trust and record.trust.fidelity.get(method)
    canvas.text(x, y, METHODS[method], size=16, width=width)
    canvas.text(x, y + 20, meaning(method, record.maps), size=12, fill=MUTED, width=width)
    if measured:
        color = {FOLLOWS: RIGHT, NO_BETTER: WRONG}.get(measured.verdict, MUTED)
        canvas.text(x, y + 36, measured.words, size=14, fill=color, width=width)
        canvas.text(x, y + 54, f"gap {measured.gap_words()}", size=12, fill=MUTED, width=width)
    else:
        canvas.text(x, y + 36, NOT_MEASURED, size=14, fill=MUTED)
    left, right, middle = x + 12, x + width - NUMBER_ROOM, y + BAR_AT + BAR / 2
    shares = np.linspace(0, 1, right - left)[None].repeat(BAR, axis=0)
    canvas.paste(left, y + BAR_AT, color_maps.colors(shares, color_map, 0.0, 1.0))
    canvas.text(x, middle, "0", size=12, anchor="lm")
    canvas.text(right + 7, middle, number(vmax), size=12, anchor="lm")


def _note(record: AttentionRecord, method: str, example: int, patches: np.ndarray) -> tuple[str, tuple[int, int, int]]:
    if not np.any(patches):
        return "all zero: no evidence", MUTED
    measured = record.trust and record.trust.probes.get(method)
    if not measured or example >= len(measured):
        return "", MUTED
    return measured[example].words, INK if measured[example].explainable else MUTED


def _below_image(sheet: SheetLayout, example: int, width: float) -> list[tuple[str, tuple[int, int, int]]]:
    several = sheet.record.predictions or sheet.record.label_part is not None
    lines = sheet.prediction_lines(example, width, MOST_LINES if several else 2)
    if sheet.record.targets:
        target = f"explained: {sheet.record.targets[example]}"
        lines += [(line, INK) for line in drawing.wrap(target, 13, width, 2)]
    return lines + sheet.name_lines(example, width)
