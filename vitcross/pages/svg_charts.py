"""Curves of a run as inline SVG, drawn from `metrics.jsonl`: no script, no library, one text that opens from disk."""

import dataclasses
import html
import json
import math
import re

WIDTH, HEIGHT = 360, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 24
MAX_POINTS = 300  # about one for every pixel

# Of more keys that a `*` stands for, the first, the last and some between them.
MAX_SERIES = 6


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
                if isinstance(row, dict) and _is_number(row.get("step")):
                    rows.append(row)
    except FileNotFoundError:
        pass
    return rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """One series that has values: its place among the colors, its name, its points, and what bounds it."""

    place: int
    label: str
    points: list[tuple[float, float]]
    band: tuple[list, list] | None = None  # lower and upper points


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
            figures.append(figure(chart.title, chart.meaning, lines, reference))
    return figures


def _line(rows, place, label, key, band) -> Line:
    sides = [points(rows, f"{key.rsplit('/', 1)[0]}/{side}") for side in band or ()]
    return Line(place=place, label=label, points=points(rows, key), band=tuple(sides) if sides and all(sides) else None)


# Endings of keys of another split, and of the average of the weights.
NOT_ANOTHER = "".join(f"(?<!_{ending})" for ending in ("unseen", "unmarked", "misleading", "ema"))


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
    found = {row["step"]: row[key] for row in rows if _is_number(row.get(key))}
    ordered = sorted(found.items())
    if len(ordered) <= MAX_POINTS:
        return ordered
    stride = (len(ordered) - 1) / (MAX_POINTS - 1)
    return [ordered[round(i * stride)] for i in range(MAX_POINTS)]


def figure(title, meaning, lines, reference) -> str:
    """One figure.

    Args:
        title, meaning: str.
        lines: list of Line, at least one, with at least one point each.
        reference: float or None, a dashed level.
    """
    everything = [point for line in lines for side in (line.points, *(line.band or ())) for point in side]
    values = [value for _, value in everything] + ([] if reference is None else [reference])
    ticks = nice_ticks(min(values), max(values))
    last_step = max(max(step for step, _ in everything), 1)

    def at(step, value):
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / last_step
        y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - ticks[0]) / (ticks[-1] - ticks[0]))
        return f"{x:.1f},{y:.1f}"

    parts = [_axes(ticks, last_step, at)]
    for line in lines:
        if line.band:
            corners = [at(*point) for point in line.band[0]] + [at(*point) for point in reversed(line.band[1])]
            parts.append(f'<polygon class="band s{line.place}" points="{" ".join(corners)}"/>')
    if reference is not None:
        level = [at(step, reference).split(",") for step in (0, last_step)]
        parts.append('<line class="reference" x1="{}" y1="{}" x2="{}" y2="{}"/>'.format(*level[0], *level[1]))
    for line in lines:
        if len(line.points) > 1:
            path = " ".join(at(*point) for point in line.points)
            parts.append(f'<polyline class="series s{line.place}" points="{path}"/>')
        x, y = at(*line.points[-1]).split(",")
        parts.append(f'<circle class="end s{line.place}" cx="{x}" cy="{y}" r="3"/>')
    last = [(line, f"{line.points[-1][1]:.4g}") for line in lines]
    spoken = f"{title}: " + ", ".join(f"{line.label} {value}" for line, value in last) + f" at step {last_step:g}"
    legend = "".join(
        f'<span class="key s{line.place}">{html.escape(line.label)} <b>{value}</b></span>' for line, value in last
    )
    about = f"<p>{html.escape(meaning)}</p>" if meaning else ""
    return (
        f'<figure class="chart"><figcaption><h3>{html.escape(title)}</h3>{about}'
        f'<p class="legend">{legend}</p></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(spoken)}">'
        f"{''.join(parts)}</svg></figure>"
    )


def _axes(ticks, last_step, at) -> str:
    parts = []
    for tick in ticks:
        y = float(at(0, tick).split(",")[1])
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
    for share, anchor in ((0, "start"), (0.5, "middle"), (1, "end")):
        x = at(last_step * share, ticks[0]).split(",")[0]
        label = f"{round(last_step * share):,}".replace(",", " ")
        parts.append(f'<text x="{x}" y="{HEIGHT - 6}" text-anchor="{anchor}">{label}</text>')
    return "".join(parts)


def nice_ticks(low, high) -> list[float]:
    """3 to 6 round numbers, evenly spaced, that enclose [low, high]; down to 0 where that is near."""
    if low > 0 and low < 0.6 * high:
        low = 0.0
    span = high - low or abs(high) or 1.0
    unit = 10 ** math.floor(math.log10(span / 3))
    step = next(unit * factor for factor in (1, 2, 5, 10) if span / (unit * factor) <= 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, max(last, first + 1) + 1)]


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
