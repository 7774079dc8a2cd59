"""Places values on linear or logarithmic axes of charts and chooses their ticks."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high`, logarithmic with `log`, with numbers at `ticks`."""

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def at(self, value) -> float:
        """Where a value lies: 0 at the lower end, 1 at the upper."""
        low, high, value = map(math.log, (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        return 0.5 if high == low else (value - low) / (high - low)


def axis_around(values) -> Axis:
    """The linear axis whose ends are round numbers around some values."""
    ticks = nice_ticks(min(values), max(values)) if values else [0.0, 1.0]
    return Axis(ticks[0], ticks[-1], tuple(ticks) if values else ())


def axis_between(low, high, log=False) -> Axis:
    """The axis that ends exactly at `low` and `high`."""
    ticks = log_ticks(low, high) if log else tuple(tick for tick in nice_ticks(low, high) if low <= tick <= high)
    return Axis(low, high, ticks, log)


def nice_ticks(low, high) -> list[float]:
    """3 to 6 round numbers, evenly spaced, that enclose [low, high]; down to 0 where that is near."""
    if low > 0 and low < 0.6 * high:
        low = 0.0
    span = high - low or abs(high) or 1.0
    unit = 10 ** math.floor(math.log10(span / 3))
    step = next(unit * factor for factor in (1, 2, 5, 10) if span / (unit * factor) <= 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, max(last, first + 1) + 1)]


def log_ticks(low, high) -> tuple[float, ...]:
    """At most 7 round numbers in [low, high]: 1, 2 and 5 of each decade, or the decades alone."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        every = [float(f"{factor}e{decade}") for decade in decades for factor in factors]
        ticks = [tick for tick in every if low <= tick <= high]
        if len(ticks) <= 7:
            break
    ticks = ticks[:: math.ceil(len(ticks) / 7)] if ticks else ticks
    return tuple(ticks) if len(ticks) >= 2 else (low, high)
