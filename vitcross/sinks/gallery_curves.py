"""Curves of a run as inline SVG, drawn from `metrics.jsonl`: no script, no library, one text that opens from disk."""

import html
import json
import math
import re

WIDTH, HEIGHT = 360, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 24
MAX_POINTS = 300  # about one for every pixel

# A key with `*` stands for all keys that fit, each a series named by what the star stands for; of more than MAX_SERIES
# the first, the last and some between them.
MAX_SERIES = 6
# title, what it says, series (label, key), band of keys or None, reference: a number or a key whose last value it is
TRAINING = (
    ("Loss", "", (("train", "train/loss"), ("validation", "val/loss")), None, None),
    ("Accuracy", "", (("train", "train/accuracy"), ("validation", "val/accuracy")), None, None),
    (
        "Accuracy by kind",
        "validation, e.g. by the type of the question",
        (("{}", "val/accuracy/*"),),
        None,
        None,
    ),
    (
        "Retrieval",
        "validation, R@1: how often the right one is found first",
        (("image to text", "val/image_to_text_r1"), ("text to image", "val/text_to_image_r1")),
        None,
        None,
    ),
    (
        "Right attributes of captions",
        "shape, colour, size and relation; unseen: combinations that training never showed",
        (("validation", "val/attribute_accuracy"), ("unseen", "val/attribute_accuracy_unseen")),
        None,
        None,
    ),
    ("CIDEr of captions", "validation", (("CIDEr", "val/cider"),), None, None),
    (
        "Lift on the object's box",
        "energy in the box / its share of the picture; 1: no better than chance",
        (("last layer", "grounding/raw/lift"), ("rollout", "grounding/rollout/lift")),
        None,
        1.0,
    ),
    (
        "Pointing game",
        "how often the brightest patch is on the object; dashed: chance",
        (("last layer", "grounding/raw/pointing"), ("rollout", "grounding/rollout/pointing")),
        None,
        "grounding/raw/chance",
    ),
    (
        "Words: lift on the boxes of what they name",
        "energy in the box / its share of the picture; 1: no better than chance",
        (("{}", "grounding/words/*/lift"),),
        None,
        1.0,
    ),
    (
        "Words: pointing game",
        "how often a word's brightest patch is on what it names; dashed: chance",
        (("{}", "grounding/words/*/pointing"),),
        None,
        "grounding/words/*/chance",
    ),
)
STATISTICS = (
    *(
        (title, meaning, (("mean over layers", f"attention_stats/{name}/mean"),), f"attention_stats/{name}", None)
        for name, title, meaning in (
            ("entropy", "Entropy", "1: attends to all tokens alike; band: layers"),
            ("distance", "Attention distance", "pixels, mean; band: layers"),
            ("prefix_mass", "Prefix mass", "share that goes to class token and registers; band: layers"),
            ("sink_share", "Sink share", "share of the most attended token; band: layers"),
            ("cross_entropy", "Entropy of cross-attention", "1: words attend to all patches alike; band: layers"),
        )
    ),
    ("Change", "of the maps since the previous capture, bits", (("change", "attention_stats/change"),), None, None),
    ("Head similarity", "mean cosine between heads", (("heads", "attention_stats/head_similarity"),), None, None),
    ("Artifact patches", "per picture", (("patches", "attention_stats/artifact_patches"),), None, None),
)


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


def charts(rows, wanted) -> list[str]:
    """One HTML figure for every chart of `TRAINING` or `STATISTICS` that has at least one value."""
    figures = []
    for title, meaning, series, band, reference in wanted:
        lines = [(name, points(rows, key)) for label, known in series for name, key in _matching(rows, label, known)]
        lines = [(label, line) for label, line in lines if line]
        if lines:
            sides = [points(rows, f"{band}/{side}") for side in ("min", "max")] if band else []
            if isinstance(reference, str):
                found = [points(rows, key) for _, key in _matching(rows, "", reference)]
                reference = found[0][-1][1] if found and found[0] else None
            figures.append(chart(title, meaning, lines, sides if all(sides) else [], reference))
    return figures


def _matching(rows, label, key) -> list[tuple[str, str]]:
    """(label, key) of the keys that a key with a star stands for, sorted; of a key without one itself."""
    if "*" not in key:
        return [(label, key)]
    start, end = key.split("*")
    # No slash in what the star stands for: `val/accuracy/*` is not `val/accuracy/x/y`; nor another split.
    fits = re.compile(re.escape(start) + r"([^/]+)(?<!_unseen)" + re.escape(end))
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


def chart(title, meaning, lines, band, reference) -> str:
    """One figure.

    Args:
        title, meaning: str.
        lines: list of (label, points).
        band: `[lower points, upper points]` or [].
        reference: float or None, a dashed level.
    """
    everything = [point for _, line in lines for point in line] + [point for side in band for point in side]
    values = [value for _, value in everything] + ([] if reference is None else [reference])
    ticks = nice_ticks(min(values), max(values))
    last_step = max(max(step for step, _ in everything), 1)

    def at(step, value):
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / last_step
        y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - ticks[0]) / (ticks[-1] - ticks[0]))
        return f"{x:.1f},{y:.1f}"

    parts = [_axes(ticks, last_step, at)]
    if band:
        corners = [at(*point) for point in band[0]] + [at(*point) for point in reversed(band[1])]
        parts.append(f'<polygon class="band" points="{" ".join(corners)}"/>')
    if reference is not None:
        level = [at(step, reference).split(",") for step in (0, last_step)]
        parts.append('<line class="reference" x1="{}" y1="{}" x2="{}" y2="{}"/>'.format(*level[0], *level[1]))
    for i, (_, line) in enumerate(lines):
        if len(line) > 1:
            parts.append(f'<polyline class="series s{i}" points="{" ".join(at(*point) for point in line)}"/>')
        x, y = at(*line[-1]).split(",")
        parts.append(f'<circle class="end s{i}" cx="{x}" cy="{y}" r="3"/>')
    last = [(label, f"{line[-1][1]:.4g}") for label, line in lines]
    spoken = f"{title}: " + ", ".join(f"{label} {value}" for label, value in last) + f" at step {last_step:g}"
    legend = "".join(
        f'<span class="key s{i}">{html.escape(label)} <b>{value}</b></span>' for i, (label, value) in enumerate(last)
    )
    return (
        f'<figure class="chart"><figcaption><h3>{html.escape(title)}</h3><p>{html.escape(meaning)}</p>'
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
