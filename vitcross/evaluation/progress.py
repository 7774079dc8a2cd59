"""Shows how far a long part of an evaluation is, and the time left: a bar on a terminal, lines in a log file."""

import contextlib
import time

from rich.console import Console as RichConsole

from vitcross.sinks.console import duration, is_live, live_bar
from vitcross.terminal import say

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """A context in which it is called with the share that is done, in [0, 1]; the bar is gone behind it.

    Args:
        what: str, what is being done, e.g. `checking the maps`.
        console: `rich.console.Console` or None for standard output.
        clock: callable without arguments, seconds; for tests.
    """

    def __init__(self, what, *, console=None, clock=time.monotonic):
        self._what, self._clock = what, clock
        self._console = console or RichConsole()
        self._bar = self._task = None

    def __enter__(self):
        self._began = self._last_line = self._clock()
        if is_live(self._console):
            self._bar = live_bar(self._console, transient=True)
            self._task = self._bar.add_task("", total=1.0, status=self._what)
            self._bar.start()
        return self

    def __exit__(self, *error):
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, share):
        share, now = min(float(share), 1.0), self._clock()
        elapsed = now - self._began
        left = f", {duration(elapsed / share * (1 - share))} left" if 0 < share < 1 else ""
        status = f"{self._what}: {int(100 * share)} %{left}"
        if self._bar is not None:
            self._bar.update(self._task, completed=share, status=status)
        elif now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            say(status, file=self._console.file)

    def over(self, items, count):
        """Yields the items, of which there are `count`."""
        for number, item in enumerate(items, start=1):
            yield item
            self(number / count)

    def part(self, start, end):
        """A function of the share of a part, which is `start` to `end` of the whole."""
        return lambda share: self(start + (end - start) * min(share, 1.0))


@contextlib.contextmanager
def keeping(note):
    """Adds to Ctrl-C a sentence that says what it does not cost."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        interruption.add_note(note)
        raise
