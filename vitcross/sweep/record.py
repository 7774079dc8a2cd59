"""The trials of a sweep and its `trials.json`, written before and after every trial: from it a sweep that was stopped
goes on, and table and page are made.
"""

import dataclasses
import json
from pathlib import Path

from vitcross import atomic_files
from vitcross.experiment import run_folder

FILE, VERSION = "trials.json", 1


@dataclasses.dataclass
class Trial:
    """One run of a sweep; its folder is its number.

    Args:
        number: int, from 0.
        values: dict of key to text, what is swept.
        state: "running", "finished", "failed" or "stopped". A process that was killed leaves `running` behind.
        value: float or None, of the metric that decides, at its best.
        minutes: float, of all its attempts.
        note: str, why it failed.
    """

    number: int
    values: dict
    state: str = "running"
    value: float | None = None
    minutes: float = 0.0
    note: str = ""


class Record:
    """What is known of a sweep.

    Args:
        folder: path of the sweep.
        sweep: `vitcross.config.search_space.Sweep`.
        trials: list of Trial, by number.
        metric, mode: str and `max` or `min`, as the first finished trial says; None before.
    """

    def __init__(self, folder, sweep, trials=(), metric=None, mode=None):
        self.folder, self.sweep, self.trials = Path(folder), sweep, list(trials)
        self.metric, self.mode = metric, mode

    def find(self, values):
        """The trial with these values, or None."""
        return next((trial for trial in self.trials if trial.values == values), None)

    def add(self, values):
        """A new trial with these values."""
        self.trials.append(Trial(number=len(self.trials), values=dict(values)))
        return self.trials[-1]

    def texts(self, trial):
        """What is swept of a trial, in the order of the keys."""
        return [trial.values.get(key, "") for key in self.sweep.space]

    def trial_folder(self, trial):
        return self.folder / str(trial.number)

    def finished(self):
        """The trials that have a value, best first; of equals the earlier one."""
        sign = -1 if self.mode == "max" else 1
        return sorted((t for t in self.trials if t.state == "finished"), key=lambda t: (sign * t.value, t.number))

    def ranked(self):
        """All trials, best first, those without a value behind them."""
        return [*self.finished(), *(trial for trial in self.trials if trial.state != "finished")]

    def save(self):
        content = {
            "version": VERSION,
            "sweeper": self.sweep.sweeper,
            "fixed": list(self.sweep.fixed),
            "swept": list(self.sweep.typed),
            "options": self.sweep.options,
            "metric": self.metric,
            "mode": self.mode,
            "trials": [dataclasses.asdict(trial) for trial in self.trials],
        }
        atomic_files.write_text(self.folder / FILE, json.dumps(content, indent=1, allow_nan=False) + "\n")


def has_record(folder):
    """Whether a folder holds a sweep that has begun."""
    return (Path(folder) / FILE).exists()


def open_record(folder, sweep):
    """The record of a sweep folder, new or to go on with.

    Raises:
        ValueError: where the folder holds a run, another sweep, or a record that cannot be read.
    """
    path = Path(folder) / FILE
    if run_folder.holds_run(folder):
        raise ValueError(f"hydra.sweep.dir must be the folder of a sweep, new or begun. Received: {folder}, a run")
    if not has_record(folder):
        return Record(folder, sweep)
    try:
        kept = json.loads(path.read_text())
        # What was running when its process was killed goes on as what was stopped.
        trials = [Trial(**{**t, "state": "stopped" if t["state"] == "running" else t["state"]}) for t in kept["trials"]]
        before = Typed(kept["sweeper"], kept["fixed"], kept["swept"], kept["options"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as the record of a sweep: {error}") from error
    if changes := before.changes(sweep):
        raise ValueError(
            f"{folder} holds another sweep; another hydra.sweep.dir takes this one:\n  " + "\n  ".join(changes)
        )
    return Record(folder, sweep, trials, kept["metric"], kept["mode"])


@dataclasses.dataclass(frozen=True)
class Typed:
    """What a begun sweep was typed with, as its record keeps it."""

    sweeper: str
    fixed: list
    swept: list
    options: dict

    def changes(self, sweep):
        """`key: before -> now` of all that makes another sweep of it. A grid may grow: its trials are found by their
        values; Optuna learns from all trials of one space."""
        before = {"hydra/sweeper": self.sweeper, **_that_counts(self.fixed), **_by_key(self.swept)}
        now = {"hydra/sweeper": sweep.sweeper, **_that_counts(sweep.fixed), **_by_key(sweep.typed)}
        before, now = before | _of_sweeper(self.options), now | _of_sweeper(sweep.options)
        if sweep.sweeper == self.sweeper == "basic":
            for key in _by_key(self.swept).keys() & _by_key(sweep.typed).keys():
                now[key] = before[key]
        keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        return [f"{key}: {before.get(key, 'not typed')} -> {now.get(key, 'not typed')}" for key in keys]


def _of_sweeper(options):
    """All but how many trials there are, and what is swept, which is compared by key."""
    return {f"hydra.sweeper.{key}": value for key, value in options.items() if key not in ("n_trials", "params")}


def _that_counts(overrides):
    return {key: text for key, text in _by_key(overrides).items() if not run_folder.may_change_on_resume(key)}


def _by_key(overrides):
    return {key: text for key, _, text in (override.partition("=") for override in overrides)}
