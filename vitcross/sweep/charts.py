"""What each key does to the metric, as inline SVG: one panel per key, and the metric from trial to trial. No script, no
library, one text that opens from disk.
"""

import dataclasses
import html
import textwrap

from vitcross.config.search_space import Values
from vitcross.sweep.scales import key_scale, metric_scale, trial_scale

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 18, 12, 42
STRIP = 28  # where there are trials without a value: room for them outside the axes
INSET = 8  # between the ends of an axis and its values
LETTER, LETTER_OF_NAME = 6.4, 7.4  # pixels, about, of a letter of the numbers and of the names
MIDDLE_OF_CROSS = 4


@dataclasses.dataclass(frozen=True)
class Dot:
    """A trial as panels draw it: `value` None without one; `href`, where its maps are; `tip`, what is said of it."""

    number: int
    values: dict
    value: float | None
    best: bool
    href: str
    tip: str


def charts(space, dots, metric):
    """HTML figures: the metric over the trials, then over each key of the space.

    Args:
        space: dict of key to Values or Interval.
        dots: list of Dot, by number.
        metric: str, its name.
    """
    figures = [_figure("From trial to trial", "line: the best so far", metric, _over_trials(dots, metric))]
    for key, part in space.items():
        if isinstance(part, Values):  # a list that has changed since keeps the trials of before
            part = dataclasses.replace(part, texts=tuple(dict.fromkeys([*part.texts, *(d.values[key] for d in dots)])))
        scale = key_scale(part)
        svg = _over_names(key, part, dots, metric) if scale is None else _over_numbers(key, scale, dots, metric)
        figures.append(_figure(key, "logarithmic axis" if scale is not None and scale.log else "", metric, svg))
    return figures


def _figure(title, meaning, metric, svg):
    note = f"<p>{html.escape(f'{metric}; {meaning}' if meaning else metric)}</p>"
    return f'<figure class="chart"><figcaption><h3>{html.escape(title)}</h3>{note}</figcaption>{svg}</figure>'


def _over_trials(dots, metric):
    across = trial_scale(len(dots))
    panel = Panel(across, dots, "trial")
    steps = panel.running_best(dots)
    line = f'<polyline class="series" points="{steps}"/>' if steps else ""
    marks = "".join(panel.mark(dot, dot.number) for dot in _best_last(dots))
    return panel.svg(f"{metric} of {len(dots)} trials", line + marks)


def _over_numbers(key, scale, dots, metric):
    panel = Panel(scale, dots, key)
    marks = "".join(panel.mark(dot, float(dot.values[key])) for dot in _best_last(dots))
    return panel.svg(f"{metric} over {key}", marks)


class Panel:
    """Axes of a metric, upwards, over numbers."""

    def __init__(self, across, dots, name):
        self.across, self.name = across, name
        self.up = metric_scale([dot.value for dot in dots if dot.value is not None])
        self.strip = STRIP if any(dot.value is None for dot in dots) else 0
        self.base = HEIGHT - BOTTOM - self.strip

    def x(self, value):
        return LEFT + INSET + (WIDTH - LEFT - RIGHT - 2 * INSET) * self.across.at(value)

    def y(self, value):
        return self.base - (self.base - TOP) * self.up.at(value)

    def mark(self, dot, value):
        failed = dot.value is None
        return _mark(dot, self.x(value), self.base + STRIP / 2 + 3 if failed else self.y(dot.value))

    def running_best(self, dots):
        """Points of a staircase through the best value so far, to the last trial."""
        corners, best = [], None
        sign = _sign(dots)
        for dot in dots:
            if dot.value is not None and (best is None or sign * dot.value > sign * best):
                corners += [] if best is None else [(dot.number, best)]
                best = dot.value
                corners.append((dot.number, best))
        if best is not None:
            corners.append((dots[-1].number, best))
        return " ".join(f"{self.x(number):.1f},{self.y(value):.1f}" for number, value in corners)

    def svg(self, spoken, inner):
        parts = []
        for tick in self.up.ticks:
            parts.append(_line(LEFT, self.y(tick), WIDTH - RIGHT, self.y(tick)))
            parts.append(_text(LEFT - 6, self.y(tick) + 4, f"{tick:.4g}", "end"))
        if self.strip:
            parts.append(_text(LEFT - 6, self.base + STRIP / 2 + 7, "failed", "end"))
        parts += _numbers(self.across.ticks, self.x, HEIGHT - BOTTOM + 16)
        parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 7, _cut(self.name), "middle"))
        return _svg(HEIGHT, spoken, "".join(parts) + inner)


def _over_names(key, part, dots, metric):
    """One row for each listed value, its whole name above its trials; the metric to the right."""
    up = metric_scale([dot.value for dot in dots if dot.value is not None])
    left = INSET + (60 if any(dot.value is None for dot in dots) else 8)
    parts, top = [], TOP

    def x(value):
        return left + (WIDTH - left - RIGHT) * up.at(value)

    for text in dict.fromkeys(part.texts):
        for line in textwrap.wrap(text or "(empty)", int((WIDTH - 2 * INSET) / LETTER_OF_NAME)):
            parts.append(_text(INSET, top + 10, line, "start", "name"))
            top += 14
        middle = top + 11
        parts.append(_line(INSET, middle, WIDTH - RIGHT, middle))
        for dot in _best_last(dots):
            if dot.values[key] == text:
                parts.append(_mark(dot, left - 36 if dot.value is None else x(dot.value), middle))
        top += 26
    parts += _numbers(up.ticks, x, top + 14)
    if left > 60:
        parts.append(_text(INSET, top + 14, "failed", "start"))
    parts.append(_text((left + WIDTH - RIGHT) / 2, top + 32, _cut(metric), "middle"))
    return _svg(top + 40, f"{metric} over {key}", "".join(parts))


def _mark(dot, x, y):
    kind = "failed" if dot.value is None else "dot best" if dot.best else "dot"
    if dot.value is None:
        m = MIDDLE_OF_CROSS
        shape = f'<path class="{kind}" d="M{x - m:.1f} {y - m:.1f}l{2 * m} {2 * m}m0-{2 * m}l-{2 * m} {2 * m}"/>'
    else:
        shape = f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{6 if dot.best else 4}"/>'
    return f'<a href="{html.escape(dot.href)}"><title>{html.escape(dot.tip)}</title>{shape}</a>'


def _best_last(dots):
    """The best one is drawn over the others."""
    return sorted(dots, key=lambda dot: dot.best)


def _sign(dots):
    """1 where more is better, -1 where less is, told by the best one."""
    values = [dot.value for dot in dots if dot.value is not None]
    best = next((dot.value for dot in dots if dot.best), None)
    return -1 if values and best == min(values) != max(values) else 1


def _numbers(ticks, place, y):
    """Numbers along an axis; one that would touch the one before it is left out."""
    parts, end = [], -1.0
    for tick in ticks:
        label = f"{tick:.4g}"
        x, half = place(tick), len(label) * LETTER / 2
        if x - half > end + 4:
            parts.append(_text(x, y, label, "middle"))
            end = x + half
    return parts


def _cut(name):
    room = int((WIDTH - LEFT - RIGHT) / LETTER)
    return name if len(name) <= room else f"...{name[3 - room :]}"  # the last parts say more


def _line(x1, y1, x2, y2):
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x, y, text, anchor, kind=""):
    name = f' class="{kind}"' if kind else ""
    return f'<text{name} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _svg(height, spoken, inner):
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{html.escape(spoken)}">{inner}</svg>'
