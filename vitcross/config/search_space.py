"""Defines the search space of a sweep: for each key a list of values or an interval, as texts that can be typed."""

import dataclasses
import itertools
import math
import shlex
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Values:
    """A list to choose from, e.g. `2,4,6`, `choice(a,b)`, `range(1,9)`.

    Args:
        texts: tuple of str, each as it is typed behind `key=`.
        ordered: bool, whether neighbors are alike (a range).
    """

    texts: tuple[str, ...]
    ordered: bool = False

    def corners(self):
        return self.texts


@dataclasses.dataclass(frozen=True)
class Interval:
    """All numbers from `low` to `high`, both included; with `log` each decade counts alike."""

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def __post_init__(self):
        if not self.low < self.high or (self.log and self.low <= 0):
            rule = "0 < low < high" if self.log else "low < high"
            raise ValueError(f"an interval must have {rule}. Received: interval({self.low},{self.high})")

    def corners(self):
        return (self.text(self.low), self.text(self.high))

    def text(self, number):
        """A number in it as it is typed: of a fraction four digits are enough to find it and to type it again."""
        if self.integer:
            return str(round(number))
        rounded = min(max(float(f"{number:.4g}"), self.low), self.high)
        return repr(rounded)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
    """One command with `-m`.

    Args:
        sweeper: `basic`, every combination; or `optuna`.
        options: dict, of the sweeper.
        fixed: tuple of str, what every trial is started with.
        space: dict of key to Values or Interval.
        typed: tuple of str, the overrides that `space` comes from.
        effective: callable that leaves out of the overrides of a trial what has no effect in it.
    """

    sweeper: str
    options: dict
    fixed: tuple[str, ...]
    space: dict
    typed: tuple[str, ...]
    effective: Callable = list

    def overrides(self, values):
        """What a trial is started with, of its dict of key to text."""
        return self.effective(self.typed_for(values))

    def typed_for(self, values):
        """What was typed for a trial, of its dict of key to text."""
        return [*self.fixed, *(f"{key}={text}" for key, text in values.items())]

    def command(self, values):
        """What is typed to run a trial again by itself."""
        return f"python train.py {shlex.join(self.overrides(values))}"

    def grid(self):
        """Every combination of the listed values, one dict of key to text each, the last key first to change."""
        for texts in itertools.product(*(part.texts for part in self.space.values())):
            yield dict(zip(self.space, texts, strict=True))

    def size(self):
        """How many combinations there are: int, or infinity with an interval of fractions."""
        return math.prod(_count(part) for part in self.space.values())

    def corners(self):
        """Combinations in which every listed value and every end of an interval occurs: one key moves, the others
        stay at their first."""
        first = {key: part.corners()[0] for key, part in self.space.items()}
        yield first
        for key, part in self.space.items():
            yield from (first | {key: text} for text in part.corners()[1:])


def _count(part):
    if isinstance(part, Values):
        return len(set(part.texts))
    return part.high - part.low + 1 if part.integer else math.inf
