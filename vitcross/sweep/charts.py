"""Draws what each swept key does to the metric: one chart per key, and the metric from trial to trial."""

import dataclasses
import math
import textwrap

from vitcross.config.search_space import Interval, Values
from vitcross.pages.axes import Axis, axis_around, axis_between, nice_ticks
from vitcross.pages.svg_charts import LETTER, TOP, WIDTH, Drawing, Plot, figure

LOG_RATIO = 20  # listed numbers whose largest ratio is at least this get a logarithmic axis
MAX_LISTED = 8  # up to so many listed numbers are themselves the ticks of their axis
HEIGHT = 220
LEFT, RIGHT, BOTTOM = 52, 18, 42
STRIP = 28  # height of the strip below the axes for trials without a value
INSET = 8  # between the ends of an axis and its values
LETTER_OF_NAME = 7.4  # approximate width in pixels


@dataclasses.dataclass(frozen=True)
class Dot:
    """A trial in a chart: `value` or None, `href` leads to its maps, `tip` is its tooltip."""

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
    last = max(len(dots) - 1, 1)
    trials = Axis(0, last, tuple(tick for tick in nice_ticks(0, last) if tick == int(tick) and tick <= last))
    plot = _over_numbers("trial", trials, dots, lambda dot: dot.number, staircase=True)
    figures = [_figure("From trial to trial", "line: the best so far", metric, plot, f"{metric} of {len(dots)} trials")]
    for key, part in space.items():
        if isinstance(part, Values):  # earlier trials may have values that are no longer listed
            part = dataclasses.replace(part, texts=tuple(dict.fromkeys([*part.texts, *(d.values[key] for d in dots)])))
        axis = key_axis(part)
        if axis is None:
            drawing = _over_names(key, part, dots, metric)
        else:
            drawing = _over_numbers(key, axis, dots, lambda dot, key=key: float(dot.values[key]))
        meaning = "logarithmic axis" if axis is not None and axis.log else ""
        figures.append(_figure(key, meaning, metric, drawing, f"{metric} over {key}"))
    return figures


def key_axis(part):
    """The axis of a swept key, as wide as its space; None if the values are not numbers."""
    if isinstance(part, Interval):
        return axis_between(part.low, part.high, part.log)
    try:
        numbers = sorted({float(text) for text in part.texts})
    except ValueError:
        return None
    if not all(map(math.isfinite, numbers)):
        return None
    low, high = numbers[0], numbers[-1]
    log = low > 0 and high / low >= LOG_RATIO
    return Axis(low, high, tuple(numbers), log) if len(numbers) <= MAX_LISTED else axis_between(low, high, log)


def _figure(title, meaning, metric, drawing, spoken):
    return figure(title, f"{metric}; {meaning}" if meaning else metric, drawing, spoken)


def _metric_axis(dots):
    return axis_around([dot.value for dot in dots if dot.value is not None])


def _over_numbers(name, axis, dots, value_of, staircase=False):
    """The metric (vertical) over numbers; trials without a value are in a strip below."""
    strip = STRIP if any(dot.value is None for dot in dots) else 0
    size = {"height": HEIGHT, "left": LEFT, "right": RIGHT, "bottom": BOTTOM + strip, "inset": INSET}
    plot = Plot(axis, _metric_axis(dots), **size)
    if strip:
        plot.text(LEFT - 6, plot.base + STRIP / 2 + 7, "failed", "end")
    plot.numbers(axis.ticks, plot.x, HEIGHT - BOTTOM + 16)
    plot.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 7, _cut(name))
    steps = _running_best(dots) if staircase else []
    if steps:
        plot.add("polyline", kind="series", points=plot.points(steps))
    for dot in _best_last(dots):
        y = plot.base + STRIP / 2 + 3 if dot.value is None else plot.y(dot.value)
        _mark(plot, dot, plot.x(value_of(dot)), y)
    return plot


def _over_names(key, part, dots, metric):
    """One row for each listed value, with its full name above its trials; the metric is horizontal."""
    failed = any(dot.value is None for dot in dots)
    left = INSET + (60 if failed else 8)
    axis, drawing, top = _metric_axis(dots), Drawing(0), TOP + 2

    def x(value):
        return left + (WIDTH - left - RIGHT) * axis.at(value)

    for text in dict.fromkeys(part.texts):
        for line in textwrap.wrap(text or "(empty)", int((WIDTH - 2 * INSET) / LETTER_OF_NAME)):
            drawing.text(INSET, top + 10, line, "start", "name")
            top += 14
        middle = top + 11
        drawing.level(middle, INSET, WIDTH - RIGHT)
        for dot in _best_last(dots):
            if dot.values[key] == text:
                _mark(drawing, dot, left - 36 if dot.value is None else x(dot.value), middle)
        top += 26
    drawing.numbers(axis.ticks, x, top + 14)
    if failed:
        drawing.text(INSET, top + 14, "failed", "start")
    drawing.text((left + WIDTH - RIGHT) / 2, top + 32, _cut(metric))
    drawing.height = top + 40
    return drawing


def _mark(drawing, dot, x, y):
    drawing.mark(x, y, href=dot.href, tip=dot.tip, failed=dot.value is None, best=dot.best)


def _running_best(dots):
    """Corners (trial, value) of the staircase of the best value so far, up to the last trial."""
    corners, best, sign = [], None, _sign(dots)
    for dot in dots:
        if dot.value is not None and (best is None or sign * dot.value > sign * best):
            corners += [(dot.number, value) for value in (best, dot.value) if value is not None]
            best = dot.value
    return corners if best is None else [*corners, (dots[-1].number, best)]


def _sign(dots):
    """1 if a higher value is better, else -1, judging by the best trial."""
    values = [dot.value for dot in dots if dot.value is not None]
    best = next((dot.value for dot in dots if dot.best), None)
    return -1 if values and best == min(values) != max(values) else 1


def _best_last(dots):
    """In drawing order: the best one over the others."""
    return sorted(dots, key=lambda dot: dot.best)


def _cut(name):
    room = int((WIDTH - LEFT - RIGHT) / LETTER)
    return name if len(name) <= room else f"...{name[3 - room :]}"  # the end of a name is the most specific
