"""Draws the trust of every method: curves of deletion and insertion beside the baselines, and a table with verdicts.

Shape legend: K points of a curve; h w pixels of a panel.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from vitcross.attention_maps.records.trust_report import FOLLOWS, NO_BETTER, Fidelity
from vitcross.attention_maps.sheets import drawing
from vitcross.attention_maps.sheets.drawing import INK, LINE, MARGIN, MUTED, RIGHT, WRONG, Canvas
from vitcross.attention_maps.sheets.sheet import Sheet
from vitcross.attention_maps.sheets.trust_table import reasons
from vitcross.attention_maps.trust.fidelity import CENTER, LEAVE_ONE_OUT, RANDOM
from vitcross.attention_maps.trust.significance import is_positive
from vitcross.attention_maps.trust.trust_evaluation import MeanCurves, TrustEvaluation
from vitcross.pages.numbers import number, percent

NAMES = {"raw": "last layer", LEAVE_ONE_OUT: "leave one token out", RANDOM: "random orders", CENTER: "center prior"}
# Colors that color-blind people can tell apart (Okabe & Ito); baselines in grays.
COLORS = {
    "raw": (0, 114, 178),
    "rollout": (230, 159, 0),
    "relevance": (213, 60, 40),
    LEAVE_ONE_OUT: (28, 30, 34),
    CENTER: (150, 110, 170),
    RANDOM: (140, 144, 150),
}
OTHER_COLOR = (0, 158, 115)
PANEL = (250, 352)  # height, width
PANEL_GAP, AXIS_ROOM = 56, 44
FINE = 3  # curves are drawn larger by this factor, then reduced, since Pillow does not smooth lines
ROW = 26
COLUMNS = (
    ("method", 0),
    ("insertion", 208),
    ("deletion", 288),
    ("gap to random, 99 %", 368),
    ("p", 528),
    ("to another's map", 586),
    ("to center", 708),
    ("share of reference", 786),
    ("verdict", 920),
)
WIDTH = 2 * MARGIN + 1110
# The parts of the grounding table, and the x where each starts.
PARTS = (("on the boxes of what is explained", 208), ("on the planted mark", 568))
MEASURES = (("pointing (chance)", 0), ("energy", 132), ("lift", 202))


def trust_sheet(evaluation: TrustEvaluation, *, blurred: bool = False) -> Sheet:
    """Curves and verdicts of an `evaluate_trust`.

    Args:
        evaluation: TrustEvaluation.
        blurred: bool, show the measurements with blurred pixels instead of dropped tokens.
    """
    curves = evaluation.blurred_curves if blurred else evaluation.curves
    rows = evaluation.blurred if blurred else evaluation.report.fidelity
    if not rows:
        raise ValueError("`evaluation` must hold the measurements to show. Received: none with blurred pixels")
    report, how = evaluation.report, "patches are blurred" if blurred else "tokens are dropped"
    title = f"Do the maps follow the model? {how.capitalize()}"
    worth = "" if blurred else f" For {report.explainable} dropping patches changes the prediction."
    lines = [
        f"Step {report.step}. Measured on {report.source}.{worth}",
        "Insertion adds the most important patches first: high is good. Deletion drops them first: low is good.",
        "Verdict: paired sign-flip test at 1 % of insertion minus deletion, against random orders; no better where the "
        "whole interval is below +0.1.",
        "Reference: leave one token out.",
        "In gray: a gap to another image's map or to the center that is not significantly above 0.",
        *reasons(rows, _name),
    ]
    top = drawing.heading_height(len(lines))
    table = top + 22 + PANEL[0] + AXIS_ROOM + 24
    # Blurring does not change the maps: grounding is shown once.
    grounding = [] if blurred else [report.grounding, report.grounding_mark]
    pointing = table + ROW * (len(rows) + 2) + 20
    canvas = Canvas(width=WIDTH, height=pointing + _pointing_height(grounding) + MARGIN)
    canvas.heading(title, lines, WIDTH - 2 * MARGIN)
    _charts(canvas, top, curves)
    _table(canvas, table, rows, curves)
    if any(grounding):
        _pointing(canvas, pointing, grounding)
    words = "; ".join(f"{_name(method)}: {row.full_words} (gap {row.gap:+.3f})" for method, row in rows.items())
    return Sheet(image=canvas.array(), title=title, caption=f"Step {report.step}, {report.source}. {words}.")


def _charts(canvas: Canvas, top: int, curves: dict[str, MeanCurves]) -> None:
    charts = (
        ("Insertion: score of the target", ("insertion",), False),
        ("Deletion: score of the target", ("deletion",), True),
        ("Prediction unchanged; thin: least important first", ("positive", "negative"), True),
    )
    highest = max(getattr(c, name).max() for c in curves.values() for name in ("insertion", "deletion"))
    for i, (title, names, leaves) in enumerate(charts):
        x, y = MARGIN + 34 + i * (PANEL[1] + PANEL_GAP - 32), top + 22
        vmax = 1.0 if "positive" in names else _nice(highest)
        lines = {
            key: (1 - c.kept if leaves else c.kept, [getattr(c, name) for name in names]) for key, c in curves.items()
        }
        width = PANEL[1] - 40
        canvas.text(x, y - 22, title, size=13, width=width)
        canvas.paste(x, y, _panel(lines, (PANEL[0], width), vmax))
        for share in (0.0, 0.5, 1.0):
            level = y + (1 - share) * (PANEL[0] - 1)
            canvas.text(x - 6, level, number(share * vmax), size=11, fill=MUTED, anchor="rm")
            canvas.text(x + share * width, y + PANEL[0] + 5, f"{share:.0%}", size=11, fill=MUTED, anchor="ma")
        below = "of the patches are dropped" if leaves else "of the patches are kept"
        canvas.text(x + width / 2, y + PANEL[0] + 21, below, size=11, fill=MUTED, anchor="ma")


def _nice(highest: float) -> float:
    """The top of the scale: a round number above the curves, at most 1."""
    steps = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
    return next((step for step in steps if highest <= step), 1.0)


def _panel(lines, size, vmax: float) -> np.ndarray:
    """(h, w, 3) the curves over [0, 1] x [0, vmax]; the second one of a name is thinner, and negative values (cosines)
    are drawn on the axis."""
    height, width = (FINE * side for side in size)
    image = Image.new("RGB", (width, height), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    for share in (0.25, 0.5, 0.75):
        draw.line((0, share * height, width, share * height), fill=LINE, width=2)
        draw.line((share * width, 0, share * width, height), fill=LINE, width=2)
    # Baselines first, so that methods are drawn over them.
    for name in sorted(lines, key=lambda name: name not in (CENTER, RANDOM)):
        xs, several = lines[name]
        for ys, thickness in zip(several, (2 * FINE, FINE), strict=False):
            heights = 1 - np.clip(np.nan_to_num(ys) / vmax, 0, 1)
            points = [(x * (width - 1), 4 + y * (height - 9)) for x, y in zip(xs, heights, strict=True)]
            if name in (CENTER, RANDOM, LEAVE_ONE_OUT):
                _dashed(draw, points, _color(name), thickness)
            else:
                draw.line(points, fill=_color(name), width=thickness, joint="curve")
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.LANCZOS))


def _dashed(draw, points, color, width: int, dash: float = 15.0) -> None:
    """A line through `points` whose dashes continue around corners."""
    travelled = 0.0
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        length = float(np.hypot(x1 - x0, y1 - y0))
        pieces = max(1, int(np.ceil(length / 3)))
        for piece in range(pieces):
            a, b = piece / pieces, (piece + 1) / pieces
            if (travelled + a * length) % (2 * dash) < dash:
                ends = (x0 + a * (x1 - x0), y0 + a * (y1 - y0), x0 + b * (x1 - x0), y0 + b * (y1 - y0))
                draw.line(ends, fill=color, width=width)
        travelled += length


def _table(canvas: Canvas, top: int, rows: dict[str, Fidelity], curves: dict[str, MeanCurves]) -> None:
    for name, x in COLUMNS:
        canvas.text(MARGIN + x, top, name, size=12, fill=MUTED)
    canvas.draw.line((MARGIN, top + 20, WIDTH - MARGIN, top + 20), fill=LINE)
    y = top + 28
    for method, row in rows.items():
        _swatch(canvas, y, method)
        cells = (
            f"{row.insertion:.3f}",
            f"{row.deletion:.3f}",
            row.gap_words(3),
            _p_value(row.p_value),
            _signed(row.gap_other),
            _signed(row.gap_center),
            "" if row.gap_share is None else percent(row.gap_share),
        )
        positive = {4: is_positive(row.gap_other, row.p_other), 5: is_positive(row.gap_center, row.p_center)}
        for k, ((_, x), cell) in enumerate(zip(COLUMNS[1:-1], cells, strict=True)):
            canvas.text(MARGIN + x, y, cell, fill=MUTED if positive.get(k) is False else INK)
        color = RIGHT if row.verdict == FOLLOWS else WRONG if row.verdict == NO_BETTER else MUTED
        canvas.text(MARGIN + COLUMNS[-1][1], y, row.words, size=14, fill=color)
        y += ROW
    x = MARGIN
    for name in (n for n in (CENTER, RANDOM) if n in curves):
        x = _swatch(canvas, y + 4, name, x) + 28


def _pointing_height(grounding) -> int:
    return ROW * (max(map(len, grounding)) + 2) + 8 if any(grounding) else 0


def _pointing(canvas: Canvas, top: int, grounding: list[dict[str, dict[str, float]]]) -> None:
    """The grounding table. (A map may follow the model although the model looks at the wrong place.)"""
    canvas.text(MARGIN, top + 8, "Grounding", size=14)
    # The place of a missing part stays free.
    parts = [(where, x, rows) for (where, x), rows in zip(PARTS, grounding, strict=True) if rows]
    for where, x, _ in parts:
        canvas.text(MARGIN + x, top + 8, where, size=12)
        for name, offset in MEASURES:
            canvas.text(MARGIN + x + offset, top + 28, name, size=12, fill=MUTED)
    canvas.draw.line((MARGIN, top + 48, WIDTH - MARGIN, top + 48), fill=LINE)
    for k, method in enumerate(dict.fromkeys(method for _, _, rows in parts for method in rows)):
        y = top + 56 + k * ROW
        _swatch(canvas, y, method)
        for _, x, rows in parts:
            row = rows.get(method)
            if row:
                pointing = f"{percent(row['pointing'])} ({percent(row['chance'])})"
                cells = pointing, percent(row["energy"]), f"{row['lift']:.2f}"
                for (_, offset), cell in zip(MEASURES, cells, strict=True):
                    canvas.text(MARGIN + x + offset, y, cell)


def _swatch(canvas: Canvas, y: float, name: str, x: float = MARGIN) -> float:
    """Draw a piece of the curve and its name; returns the x of their end."""
    for piece in range(0, 24, 1):
        if name not in (CENTER, RANDOM, LEAVE_ONE_OUT) or piece % 10 < 5:
            canvas.draw.rectangle((x + piece, y + 7, x + piece + 1, y + 9), fill=_color(name))
    canvas.text(x + 34, y, _name(name), fill=MUTED if name in (CENTER, RANDOM) else INK)
    return x + 34 + drawing.text_width(_name(name), 13)


def _name(method: str) -> str:
    return NAMES.get(method, method.replace("_", " "))


def _color(method: str) -> tuple[int, int, int]:
    return COLORS.get(method, OTHER_COLOR)


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.3f}"


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
