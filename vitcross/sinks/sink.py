"""Defines the interface of sinks, to which a run reports, and a fan-out that a broken sink cannot stop.

The design is that of torchtitan's `metrics.py`: training knows one sink; a new sink overrides the methods it needs.
"""

import contextlib
import sys

from vitcross.metric_keys import EPOCH
from vitcross.terminal import say


class Sink:
    """Base class of sinks; its methods do nothing.

    `essential`: bool. An error in an essential sink ends the run; after an error in another sink the run continues
    without that sink.
    """

    essential = False

    def scalars(self, step, values):
        """Receive one row of metrics.

        Args:
            step: int, optimizer step of the row.
            values: dict of key to float, keys as in the dashboard (`train/loss`); `epoch` may be among them.
        """

    def media(self, step, media):
        """Receive the sheets, masks and records of one capture.

        Args:
            step: int, optimizer step of the capture.
            media: `vitcross.attention_maps.sheets.media.AttentionMedia`.
        """

    def animation(self, step, gif):
        """Receive the animation of all captures, once, at the end of training.

        Args:
            step: int, optimizer step of the last capture.
            gif: bytes of an animated GIF.
        """

    def flush(self):
        """Write all rows so far to disk; called before a checkpoint that counts them."""

    def close(self, summary, exit_code):
        """Receive the summary of a run and close files and connections.

        Args:
            summary: dict of key to number, str or None, the content of `summary.json`.
            exit_code: int, 0 for a run that finished.
        """


class FanOut(Sink):
    """Passes everything on to several sinks, in their order.

    If one raises, that is reported once with its name and message, and afterwards the sink gets only `close`. The
    exception of an essential sink is raised after the others were called.

    Args:
        sinks: sequence of `Sink`.
        report: callable of one str, shows a warning; default: a line on stderr.
        steps_per_epoch: float, to add the `epoch` to every row; None: rows are passed on as they are.
        rows: int, rows that a resumed run has already.

    Attributes:
        rows: int, rows of the run so far.

    Raises:
        RuntimeError: from any method, if an essential sink failed; names the sink and its error.
    """

    def __init__(self, sinks, *, report=None, steps_per_epoch=None, rows=0):
        self.sinks, self.rows = list(sinks), rows
        self._failed = []
        self.steps_per_epoch = steps_per_epoch
        self._report = report or (lambda text: say(f"warning: {text}", file=sys.stderr))

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
                    fatal = fatal or (f"{text}, and the run cannot be recorded without it: {_described(error)}", error)
                else:
                    self._report(f"{text}, the run continues without it: {_described(error)}")
        if fatal:
            message, error = fatal
            raise RuntimeError(message) from error


def _described(error):
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
