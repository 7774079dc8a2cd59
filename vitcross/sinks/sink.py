"""Where a run reports to: a base class of methods that do nothing, and a fan-out that no broken sink can stop.

The design is torchtitan's `metrics.py`: who trains knows one sink; who adds a sink overrides what it wants to show.
"""

import contextlib
import sys

from vitcross.metric_keys import EPOCH
from vitcross.terminal import say


class Sink:
    """A place that a run reports to. Every method does nothing until a subclass says otherwise.

    `essential`: bool. An error of an essential sink ends the run (the disk is full: nothing of the run would remain);
    an error of any other leaves that sink out and the run goes on.
    """

    essential = False

    def scalars(self, step, values):
        """Take one row of numbers.

        Args:
            step: int, optimizer step of the row.
            values: dict key -> float, keys as in the dashboard (`train/loss`); `epoch` may be among them.
        """

    def media(self, step, media):
        """Take what one capture produced.

        Args:
            step: int, optimizer step of the capture.
            media: `vitcross.attention_maps.sheets.media.AttentionMedia`.
        """

    def animation(self, step, gif):
        """Take the animation of all captures, once, at the end of training.

        Args:
            step: int, optimizer step of the last capture.
            gif: bytes of an animated GIF (`attention_maps.evolution.animation_gif`).
        """

    def flush(self):
        """Make all rows so far survive a power cut; called before a checkpoint that counts them."""

    def close(self, summary, exit_code):
        """Take the last word of a run and let go of files and connections.

        Args:
            summary: dict key -> number, str or None: what `summary.json` holds.
            exit_code: int, 0 for a run that ended well.
        """


class FanOut(Sink):
    """Hands everything on to several sinks, in their order.

    An exception of one of them is told once, by name and with its message, and that sink gets no more rows and media;
    `close` still reaches it, so that it lets go of what it holds. An exception of an essential sink is raised, after
    the others had the same call.

    Args:
        sinks: sequence of `Sink`.
        report: callable of one str, shows a warning; default: a line on stderr.
        steps_per_epoch: float, with which every row gets its `epoch`; None: rows stay as they are.
        rows: int, rows that the run has already, where one goes on.

    Attributes:
        rows: int, rows of the run so far.

    Raises:
        RuntimeError: from any method, when an essential sink failed; the message names the sink and what it said.
    """

    def __init__(self, sinks, *, report=None, steps_per_epoch=None, rows=0):
        self.sinks, self.rows = list(sinks), rows
        self._failed = []
        self.steps_per_epoch = steps_per_epoch
        self._report = report or _warn

    def scalars(self, step, values):
        epoch = {} if self.steps_per_epoch is None else {EPOCH: step / self.steps_per_epoch}
        self._each("scalars", step, epoch | values)
        self.rows += 1

    def media(self, step, media):
        self._each("media", step, media)

    def animation(self, step, gif):
        self._each("animation", step, gif)

    def flush(self):
        self._each("flush")

    def close(self, summary, exit_code):
        for sink in self._failed:
            with contextlib.suppress(Exception):  # it was reported when it failed
                sink.close(summary, exit_code)
        self._failed = []
        self._each("close", summary, exit_code)

    def _each(self, method, *arguments):
        fatal = None
        for sink in list(self.sinks):
            try:
                getattr(sink, method)(*arguments)
            except Exception as error:
                self.sinks.remove(sink)
                self._failed.append(sink)
                text = f"{type(sink).__name__} failed"
                if sink.essential:
                    fatal = fatal or (f"{text}, and without it nothing of the run is kept: {_described(error)}", error)
                else:
                    self._report(f"{text} and is left out, the run goes on: {_described(error)}")
        if fatal:
            message, error = fatal
            raise RuntimeError(message) from error


def _described(error):
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _warn(text):
    say(f"warning: {text}", file=sys.stderr)
