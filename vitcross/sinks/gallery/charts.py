"""Draws the curves of a run from its `metrics.jsonl`: one figure for each drawn row of `metric_keys.KEYS`."""

from __future__ import annotations

import json
import re

from vitcross.metric_keys import KEYS, VARIANTS, MetricKey
from vitcross.pages.numbers import is_number
from vitcross.pages.svg_charts import Line, line_figure

MAX_POINTS = 300  # about one for every pixel
MAX_SERIES = 6  # most curves of a figure; of more, the first, the last and some in between are drawn
# Shown in the table of methods above the curves instead.
IN_THE_TABLE = ("verdict", "deletion", "insertion", "gap_share", "{examples,explainable}")
# An open part of a key must not match the ending of another split or of the averaged weights.
NOT_ANOTHER = "".join(f"(?<!{ending})" for ending in VARIANTS if ending)


def _section(name: str) -> tuple[MetricKey, ...]:
    return tuple(row for row in KEYS if row.section == name and not row.not_drawn and row.last not in IN_THE_TABLE)


TRUST, HEALTH, TRAINING = map(_section, ("trust", "health", "training"))


def read_rows(path) -> list[dict]:
    """The rows of a `metrics.jsonl`, without incomplete lines; empty if there is no file."""
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


def by_key(rows: list[dict]) -> dict[str, list[tuple[float, float]]]:
    """Dict of key to its points `(step, value)`, ascending; of several values of one step the last counts."""
    found: dict[str, dict] = {}
    for row in rows:
        for key, value in row.items():
            if is_number(value):
                found.setdefault(key, {})[row["step"]] = value
    return {key: sorted(values.items()) for key, values in found.items()}


def thinned(points: list) -> list:
    """At most `MAX_POINTS` of the points, including the first and the last."""
    stride = max((len(points) - 1) / (MAX_POINTS - 1), 1)
    return [points[round(i * stride)] for i in range(min(len(points), MAX_POINTS))]


def charts(rows: list[dict], wanted) -> list[str]:
    """One HTML figure for every MetricKey of `wanted` that has at least one value in the rows."""
    curves = {key: thinned(points) for key, points in by_key(rows).items()}
    return [figure for key in wanted if (figure := _figure(curves, key))]


def _figure(curves, wanted: MetricKey):
    # Open names are matched against the logged keys; the first curve is that of validation.
    known = list(wanted.curves.items())[: 1 if "<" in wanted.pattern else MAX_SERIES]
    found = [pair for key, label in known for pair in _matching(curves, key, "{}" if "<" in key else label)]
    lines = []
    for place, (key, label) in enumerate(found):
        sides = [curves.get(f"{key.rsplit('/', 1)[0]}/{side}") for side in wanted.band]
        band = tuple(sides) if sides and all(sides) else None
        if key in curves:
            lines.append(Line(place=place, label=label, points=curves[key], band=band))
    if not lines:
        return None
    reference, meaning = wanted.reference, wanted.meaning
    if isinstance(reference, str):
        meaning += f"; dashed: {reference}"
        levels = [curves[key] for key, _ in _matching(curves, f"{wanted.head}{reference}") if key in curves]
        reference = levels[0][-1][1] if levels else None
    meaning += "; band: layers" if wanted.band == ("min", "max") else ""
    return line_figure(wanted.title, meaning, lines, reference)


def _matching(curves, key: str, label: str = "") -> list[tuple[str, str]]:
    """`(key, label)` of the logged keys that an open key matches, sorted; a key that is not open matches itself."""
    # The open part holds no slash: `val/accuracy/<group>` does not match `val/accuracy/x/y`.
    pattern = re.sub(r"\{[^}]*\}|<[^>]*>", f"([^/]+){NOT_ANOTHER}", key)
    if pattern == key:
        return [(key, label)]
    matches = map(re.compile(pattern).fullmatch, sorted(curves))
    found = [(match[0], match[1]) for match in matches if match]
    if len(found) > MAX_SERIES:
        found = [found[round(i * (len(found) - 1) / (MAX_SERIES - 1))] for i in range(MAX_SERIES)]
    return [(full, label.format(name.replace("block_", "layer ").replace("_", " "))) for full, name in found]
