"""Runs one trial in its own process and reads how it ended."""

import dataclasses
import json
import math
import signal
import subprocess
from pathlib import Path

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """Context manager that passes SIGINT and SIGTERM on to the running trial, which saves and closes.

    `received` is the number of the last signal, or None: the sweep ends after the trial.
    """

    def __init__(self):
        self.received = self._process = None

    def __enter__(self):
        self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(self, command):
        """Run a command, a list of str, to its end; returns its exit status as `subprocess` does."""
        # In the same session Ctrl-C would reach the trial twice, and a second signal stops it at once.
        self._process = subprocess.Popen(command, start_new_session=True)
        try:
            if self.received is not None:  # while the process was starting
                self._process.send_signal(self.received)
            return self._process.wait()
        finally:
            self._process = None

    def _receive(self, number, _):
        self.received = number
        if self._process is not None:
            self._process.send_signal(number)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a trial ended: its state, the monitored metric with its best value and mode, why it failed."""

    state: str
    value: float | None = None
    metric: str | None = None
    mode: str | None = None
    note: str = ""


def outcome(folder, status):
    """The Outcome of a trial, from its folder and its exit status (as `subprocess` returns it)."""
    if stopped_by(status) is not None:
        return Outcome("stopped", note=f"stopped by {stopped_by(status).name}")
    if status < 0:
        return Outcome("failed", note=f"killed by {signal.Signals(-status).name}")
    summary = _read(Path(folder) / "summary.json")
    if status != 0:
        failed = str(summary.get("state", "")).startswith("failed")
        return Outcome("failed", note=summary["state"] if failed else f"exit status {status}")
    metric, value = summary.get("best/metric"), summary.get("best/value")
    if not isinstance(value, int | float) or not math.isfinite(value):
        return Outcome("failed", note=f"{metric} is {value}")
    mode = _read(Path(folder) / "checkpoints" / "index.json").get("mode", "max")
    return Outcome("finished", value=float(value), metric=metric, mode=mode)


def stopped_by(status):
    """The signal that ended a trial and also ends the sweep, or None."""
    return next((number for number in SIGNALS if status in (-number, 128 + number)), None)


def _read(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
