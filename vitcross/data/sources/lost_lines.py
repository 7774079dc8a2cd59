"""Counts the lines of a table that give no example, says where they are and why, and refuses a file that loses many."""

import logging

from vitcross.data.problems import TooManyUnreadable

logger = logging.getLogger(__name__)
MISSING_IMAGE = "missing image"  # counted by images, each among those that cannot be read
_SHOWN = 3  # lines that a message describes
_LISTED = 5  # numbers that it lists one by one


class LostLines:
    """Lines of a file that give no example.

    Args:
        file: pathlib.Path.
        unit: str, what is numbered: `line`, or `item` of a JSON array.
    """

    def __init__(self, file, *, unit="line"):
        self.file, self.unit = file, unit
        self._ranges = {}
        self._described = []

    def add(self, reason, first, last=None, *, detail, key=None):
        """Records the lines `first` to `last` (default: one line).

        Args:
            reason: str, a kind that is counted, e.g. `empty text`.
            first, last: int, numbers from 1.
            detail: str, what is wrong with this line.
            key: str or None, the column.
        """
        self._ranges.setdefault(reason, []).append((first, max(first, last or first)))
        self._described.append((first, key, detail))
        if len(self._described) > 1000:  # what is shown are the first lines in the file, not the first found
            self._described = self._first()

    @property
    def names(self):
        """dict of reason to `<file>:<line>` of every lost line, in order."""
        return {
            reason: [
                f"{self.file.name}:{number}" for first, last in sorted(ranges) for number in range(first, last + 1)
            ]
            for reason, ranges in self._ranges.items()
        }

    def __len__(self):
        return sum(last - first + 1 for ranges in self._ranges.values() for first, last in ranges)

    def summary(self):
        """How many lines are lost for which reason, and where: `empty text: 3 (lines 4, 7 and 9)`."""
        return "; ".join(f"{reason}: {self._located(ranges)}" for reason, ranges in self._ranges.items())

    def first_lines(self):
        """The first lost lines: a list of `line 4, text: ...`."""
        return [
            f"{self.unit} {number}{f', {key}' if key else ''}: {_cut(detail)}" for number, key, detail in self._first()
        ]

    def log(self):
        """Warns of what was lost, one message for each line of text."""
        if self._ranges:
            logger.warning("%s: something cannot be used in %s", self.file.name, self._count(len(self)))
            for line in (self.summary(), *self.first_lines()):
                logger.warning("  %s", line)

    def check(self, max_unreadable, *, missing=()):
        """Raises TooManyUnreadable if more than `max_unreadable` images are `missing` (their paths), or as many lines
        are lost for another reason; None: no limit."""
        if max_unreadable is None:
            return
        lost = len(self) - sum(last - first + 1 for first, last in self._ranges.get(MISSING_IMAGE, ()))
        where = "\n".join([self.summary(), *self.first_lines()])
        if lost > max_unreadable:
            raise TooManyUnreadable(
                f"{self._count(lost)} of {self.file} cannot be used, data.max_unreadable allows {max_unreadable}: "
                f"{where}"
            )
        if len(missing) > max_unreadable:
            raise TooManyUnreadable(
                f"{len(missing)} {'image' if len(missing) == 1 else 'images'} cannot be read, "
                f"data.max_unreadable allows {max_unreadable}: {self.file} names files that are not there, "
                f"{missing[0]} is the first. {where}"
            )

    def _first(self):
        return sorted(self._described, key=lambda line: line[0])[:_SHOWN]

    def _count(self, number):
        return f"{number} {self.unit}{'' if number == 1 else 's'}"

    def _located(self, ranges):
        numbers = _numbers(ranges)
        first, last, count = numbers[0], numbers[-1], len(numbers)
        if count == 1:
            return f"1 ({self.unit} {first})"
        if last - first == count - 1:
            return f"{count} ({self.unit}s {first} to {last})"
        if count <= _LISTED:
            return f"{count} ({self.unit}s {', '.join(map(str, numbers[:-1]))} and {last})"
        return f"{count} (first {self.unit} {first}, last {self.unit} {last})"


def _cut(text, most=500):
    return text if len(text) <= most else f"{text[:most]}..."


def _numbers(ranges):
    return [number for first, last in sorted(ranges) for number in range(first, last + 1)]
