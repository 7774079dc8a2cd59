"""Draws the curves of a run from its `metrics.jsonl`."""

from __future__ import annotations

import json
import re

from vitcross.pages.numbers import is_number
from vitcross.pages.svg_charts import Line, line_figure

MAX_POINTS = 300  # about one for every pixel
# Of more keys that a `*` stands for, the first, the last and some between them.
MAX_SERIES = 6
# Endings of keys of another split, and of the average of the weights.
NOT_ANOTHER = "".join(f"(?<!_{ending})" for ending in ("unseen", "unmarked", "misleading", "ema"))


def read_rows(path) -> list[dict]:
    """The rows of a `metrics.jsonl`; a missing file has none, and a line that is half written is left out."""
    rows = []
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    row = json.loads(line)
                except ValueError:
                    continue
                if isinstance(row, dict) and is_number(row.get("step")):
                    rows.append(row)
    except FileNotFoundError:
        pass
    return rows


def charts(rows, wanted) -> list[str]:
    """One HTML figure for every `Chart` that has at least one value."""
    figures = []
    for chart in wanted:
        found = [pair for label, known in chart.series for pair in _matching(rows, label, known)]
        lines = [_line(rows, place, *pair, chart.band) for place, pair in enumerate(found)]
        lines = [line for line in lines if line.points]
        if lines:
            reference = chart.reference
            if isinstance(reference, str):
                levels = [line for _, key in _matching(rows, "", reference) if (line := points(rows, key))]
                reference = levels[0][-1][1] if levels else None
            figures.append(line_figure(chart.title, chart.meaning, lines, reference))
    return figures


def _line(rows, place, label, key, band) -> Line:
    sides = [points(rows, f"{key.rsplit('/', 1)[0]}/{side}") for side in band or ()]
    return Line(place=place, label=label, points=points(rows, key), band=tuple(sides) if sides and all(sides) else None)


def _matching(rows, label, key) -> list[tuple[str, str]]:
    """(label, key) of the keys that a key with a star stands for, sorted; of a key without one itself."""
    if "*" not in key:
        return [(label, key)]
    start, end = key.split("*")
    # No slash in what the star stands for: `val/accuracy/*` is not `val/accuracy/x/y`.
    fits = re.compile(re.escape(start) + r"([^/]+)" + NOT_ANOTHER + re.escape(end))
    matches = map(fits.fullmatch, sorted({name for row in rows for name in row}))
    found = [(match[0], match[1]) for match in matches if match]
    if len(found) > MAX_SERIES:
        found = [found[round(i * (len(found) - 1) / (MAX_SERIES - 1))] for i in range(MAX_SERIES)]
    return [(label.format(name.replace("block_", "layer ").replace("_", " ")), full) for full, name in found]


def points(rows, key) -> list[tuple[float, float]]:
    """(step, value) of one key, ascending; the last of several values of one step; thinned to what can be seen."""
    found = {row["step"]: row[key] for row in rows if is_number(row.get(key))}
    ordered = sorted(found.items())
    if len(ordered) <= MAX_POINTS:
        return ordered
    stride = (len(ordered) - 1) / (MAX_POINTS - 1)
    return [ordered[round(i * stride)] for i in range(MAX_POINTS)]
