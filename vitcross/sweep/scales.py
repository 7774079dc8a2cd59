"""From values to places on an axis: linear, logarithmic; and which of them get a number."""

import dataclasses
import math

from vitcross.config.search_space import Interval
from vitcross.pages.svg_charts import nice_ticks

LOG_RATIO = 20  # listed numbers that span more than this stand on a logarithmic axis


MAX_LISTED = 8  # so many listed numbers are the numbers of their axis


@dataclasses.dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`, logarithmic with `log`, with numbers at `ticks`."""

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def at(self, value):
        """Where a value lies: 0 at the lower end, 1 at the upper."""
        low, high, value = map(math.log, (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        return 0.5 if high == low else (value - low) / (high - low)


def metric_scale(values):
    """The axis of a metric, whose ends are round numbers around its values."""
    if not values:
        return Scale(0.0, 1.0, ())
    ticks = nice_ticks(min(values), max(values))
    return Scale(ticks[0], ticks[-1], tuple(ticks))


def key_scale(part):
    """The axis of what is swept, as wide as what may be chosen; None where it is no numbers."""
    if isinstance(part, Interval):
        return _scale(part.low, part.high, part.log)
    try:
        numbers = sorted({float(text) for text in part.texts})
    except ValueError:
        return None
    if not all(map(math.isfinite, numbers)):
        return None
    low, high = numbers[0], numbers[-1]
    log = low > 0 and high / low >= LOG_RATIO
    return Scale(low, high, tuple(numbers), log) if len(numbers) <= MAX_LISTED else _scale(low, high, log)


def trial_scale(count):
    """The axis of the numbers of `count` trials."""
    last = max(count - 1, 1)
    return Scale(0, last, tuple(t for t in nice_ticks(0, last) if t == int(t) and t <= last))


def _scale(low, high, log):
    if log:
        return Scale(low, high, log_ticks(low, high), log=True)
    return Scale(low, high, tuple(tick for tick in nice_ticks(low, high) if low <= tick <= high))


def log_ticks(low, high):
    """At most 7 round numbers in [low, high]: 1, 2 and 5 of each decade, or the decades alone."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        every = [float(f"{factor}e{decade}") for decade in decades for factor in factors]
        ticks = [tick for tick in every if low <= tick <= high]
        if len(ticks) <= 7:
            break
    ticks = ticks[:: math.ceil(len(ticks) / 7)] if ticks else ticks
    return tuple(ticks) if len(ticks) >= 2 else (low, high)
