"""Records the trials of a sweep in `trials.json`, from which a stopped sweep is resumed and its reports are made."""

import dataclasses
import json
from pathlib import Path

from vitcross import atomic_files
from vitcross.experiment import run_folder

FILE, VERSION = run_folder.SWEEP, 1


@dataclasses.dataclass
class Trial:
    """One run of a sweep; its folder is named by its number.

    Args:
        number: int, from 0.
        values: dict of key to text, the swept values.
        state: "running", "finished", "failed" or "stopped". A process that was killed leaves `running`.
        value: float or None, best value of the monitored metric.
        minutes: float, of all attempts.
        note: str, why it failed.
    """

    number: int
    values: dict
    state: str = "running"
    value: float | None = None
    minutes: float = 0.0
    note: str = ""


class Record:
    """A sweep and its trials.

    Args:
        folder: path of the sweep.
        sweep: `vitcross.config.search_space.Sweep`.
        trials: list of Trial, by number.
        metric, mode: str and `max` or `min`, those of the first finished trial; None before.
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
        """The swept values of a trial, in the order of the keys."""
        return [trial.values.get(key, "") for key in self.sweep.space]

    def trial_folder(self, trial):
        return self.folder / str(trial.number)

    def finished(self):
        """The finished trials, best first; ties are in order of their number."""
        sign = -1 if self.mode == "max" else 1
        return sorted((t for t in self.trials if t.state == "finished"), key=lambda t: (sign * t.value, t.number))

    def ranked(self):
        """All trials: the finished ones, best first, then the others."""
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
    """The record of a sweep folder, new or read from the folder.

    Raises:
        ValueError: if the folder holds a run, another sweep, or a record that cannot be read.
    """
    path = Path(folder) / FILE
    if run_folder.holds_run(folder):
        raise ValueError(f"hydra.sweep.dir must be a new folder or that of a sweep. Received: {folder}, a run")
    if not has_record(folder):
        return Record(folder, sweep)
    try:
        kept = json.loads(path.read_text())
        # A trial that was running when its process was killed is resumed like a stopped one.
        trials = [Trial(**{**t, "state": "stopped" if t["state"] == "running" else t["state"]}) for t in kept["trials"]]
        changes = _changes(kept, sweep)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as the record of a sweep: {error}") from error
    if changes:
        raise ValueError(
            f"{folder} holds another sweep; choose another hydra.sweep.dir for this one:\n  " + "\n  ".join(changes)
        )
    return Record(folder, sweep, trials, kept["metric"], kept["mode"])


def _changes(kept, sweep):
    """List of `key: before -> now` of all that makes it another sweep than the recorded one.

    The values of a grid may change, since its trials are found by their values. Optuna learns from all trials of one
    space, which may not change.
    """
    swept_before, swept = _by_key(kept["swept"]), _by_key(sweep.typed)
    before = _identity(kept["sweeper"], kept["fixed"], kept["options"]) | swept_before
    now = _identity(sweep.sweeper, sweep.fixed, sweep.options) | swept
    if sweep.sweeper == kept["sweeper"] == "basic":
        now |= {key: swept_before[key] for key in swept_before.keys() & swept.keys()}
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return [f"{key}: {before.get(key, 'not typed')} -> {now.get(key, 'not typed')}" for key in keys]


def _identity(sweeper, fixed, options):
    """Dict of key to value of all that identifies a sweep, besides what is swept."""
    fixed = {key: text for key, text in _by_key(fixed).items() if not run_folder.may_change_on_resume(key)}
    options = {f"hydra.sweeper.{key}": v for key, v in options.items() if key not in ("n_trials", "params")}
    return {"hydra/sweeper": sweeper, **fixed, **options}


def _by_key(overrides):
    return {key: text for key, _, text in (override.partition("=") for override in overrides)}
