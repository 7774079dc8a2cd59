"""Draws the curves of a run from its `metrics.jsonl`: a figure for each row of `metric_keys.KEYS` that is drawn."""

from __future__ import annotations

import json
import re

from vitcross.metric_keys import KEYS, VARIANTS, MetricKey
from vitcross.pages.numbers import is_number
from vitcross.pages.svg_charts import Line, line_figure

MAX_POINTS = 300  # about one for every pixel
# Of more curves that one figure could have, the first, the last and some between them.
MAX_SERIES = 6
# The table of methods above the curves holds the newest numbers of these.
IN_THE_TABLE = ("verdict", "deletion", "insertion", "gap_share", "{examples,explainable}")
# Endings of keys of another split, and of the average of the weights.
NOT_ANOTHER = "".join(f"(?<!{ending})" for ending in VARIANTS if ending)


def _section(name: str) -> tuple[MetricKey, ...]:
    return tuple(row for row in KEYS if row.section == name and not row.not_drawn and row.last not in IN_THE_TABLE)


TRUST, HEALTH, TRAINING = map(_section, ("trust", "health", "training"))


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


def charts(rows: list[dict], wanted) -> list[str]:
    """One HTML figure for every MetricKey of `wanted` of which the rows have at least one value."""
    return [figure for key in wanted if (figure := _figure(rows, key))]


def _figure(rows, wanted: MetricKey):
    # What an open name stands for is found among the keys; its first curve is that of validation.
    curves = list(wanted.curves.items())[: 1 if "<" in wanted.pattern else MAX_SERIES]
    found = [pair for key, label in curves for pair in _matching(rows, key, "{}" if "<" in key else label)]
    lines = []
    for place, (key, label) in enumerate(found):
        sides = [points(rows, f"{key.rsplit('/', 1)[0]}/{side}") for side in wanted.band]
        band = tuple(sides) if sides and all(sides) else None
        lines.append(Line(place=place, label=label, points=points(rows, key), band=band))
    lines = [line for line in lines if line.points]
    if not lines:
        return None
    reference, meaning = wanted.reference, wanted.meaning
    if isinstance(reference, str):
        levels = [line for key, _ in _matching(rows, f"{wanted.head}{reference}") if (line := points(rows, key))]
        meaning += f"; dashed: {reference}"
        reference = levels[0][-1][1] if levels else None
    meaning += "; band: layers" if wanted.band == ("min", "max") else ""
    return line_figure(wanted.title, meaning, lines, reference)


def _matching(rows, key: str, label: str = "") -> list[tuple[str, str]]:
    """(key, label) of the logged keys that an open key stands for, sorted; of a key that is not open itself."""
    # No slash in what is open: `val/accuracy/<group>` is not `val/accuracy/x/y`.
    pattern = re.sub(r"\{[^}]*\}|<[^>]*>", f"([^/]+){NOT_ANOTHER}", key)
    if pattern == key:
        return [(key, label)]
    matches = map(re.compile(pattern).fullmatch, sorted({name for row in rows for name in row}))
    found = [(match[0], match[1]) for match in matches if match]
    if len(found) > MAX_SERIES:
        found = [found[round(i * (len(found) - 1) / (MAX_SERIES - 1))] for i in range(MAX_SERIES)]
    return [(full, label.format(name.replace("block_", "layer ").replace("_", " "))) for full, name in found]


def points(rows: list[dict], key: str) -> list[tuple[float, float]]:
    """(step, value) of one key, ascending; the last of several values of one step; thinned to what can be seen."""
    found = {row["step"]: row[key] for row in rows if is_number(row.get(key))}
    ordered = sorted(found.items())
    if len(ordered) <= MAX_POINTS:
        return ordered
    stride = (len(ordered) - 1) / (MAX_POINTS - 1)
    return [ordered[round(i * stride)] for i in range(MAX_POINTS)]
