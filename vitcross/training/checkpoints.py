"""Manages the `checkpoints/` folder of a run: which checkpoints are kept, the latest, the best, the one to resume from.

`checkpoints/index.json` names the latest and the best; it is replaced after a checkpoint is complete. What a checkpoint
holds is in `checkpoint.py`.
"""

import json
import math
import shutil
from pathlib import Path

from vitcross import atomic_files
from vitcross.training.checkpoint import VERSION, problem_of, read_header, write_checkpoint


class Checkpoints:
    """The `checkpoints/` folder of a run: keeps the last ones and the best.

    Args:
        folder: path, created when needed.
        monitor: name of the validation metric that selects the best, e.g. `accuracy`.
        mode: `max` or `min`.
        keep: int, how many of the last ones are kept besides the best. With two, the one before a damaged one is left.
    """

    def __init__(self, folder, *, monitor="accuracy", mode="max", keep=2):
        if mode not in ("max", "min"):
            raise ValueError(f"mode must be 'max' or 'min'. Received: mode={mode!r}")
        if keep < 1:
            raise ValueError(f"keep_checkpoints must be at least 1. Received: {keep}")
        self.folder, self.monitor, self.mode, self.keep = Path(folder), monitor, mode, keep
        self.index = self._read_index()

    def _read_index(self):
        """The index on disk; an empty one if there is none or it is damaged (`newest` rebuilds it)."""
        try:
            index = json.loads((self.folder / "index.json").read_text())
            if all(index[which] is None or isinstance(index[which], str) for which in ("latest", "best")):
                return index
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return self._empty_index()

    def _empty_index(self):
        return {"version": VERSION, "monitor": self.monitor, "mode": self.mode, "latest": None, "best": None}

    def save(self, task, *, progress, metrics=None, class_names=()):
        """Write the task's state at `progress`; with `metrics` it may become the best. Returns its folder."""
        target = self.folder / f"step_{progress.step:08d}"
        if metrics is None and target.is_dir():
            metrics = read_header(target)["metrics"]  # this state is on disk already, but perhaps not in the index
        else:
            metrics = dict(metrics or {})
            write_checkpoint(target, task, metrics=metrics, class_names=class_names, progress=progress)
        self._count(target.name, metrics)
        self._write_index()
        for folder in sorted(self.folder.glob("step_*"))[: -self.keep]:
            if folder.name != self.index["best"]:
                shutil.rmtree(folder, ignore_errors=True)
        return target

    def path(self, which="best"):
        """Folder of the `best` or `latest` checkpoint.

        Raises:
            ValueError: if the run has none, or it is not known which is the best.
        """
        name, found = self.index.get(which), sorted(folder.name for folder in self.folder.glob("step_*"))
        if found and name not in found and which == "latest":
            return self.folder / found[-1]
        if found and name not in found:
            raise ValueError(
                f"{self.folder / 'index.json'} is missing or damaged: the {which} checkpoint is {name or 'not known'}, "
                f"there are {', '.join(found)}"
            )
        # The name must not lead out of the folder.
        if name is None or Path(name).name != name or not (self.folder / name).is_dir():
            raise ValueError(f"{self.folder} holds no {which} checkpoint; was the run stopped before its first one?")
        return self.folder / name

    def newest(self, num_rows, report=print):
        """The newest checkpoint that a run can be resumed from, or None. Damaged ones are reported and deleted.

        The index is rebuilt from the folder, since a process may have been killed before it wrote it.

        Args:
            num_rows: int, rows of metrics in the run folder; a checkpoint that counts more cannot be used.
            report: callable of one str.
        """
        self._clear_up()
        whole = []
        for folder in sorted(self.folder.glob("step_*")):
            problem = problem_of(folder) or self._missing_rows(folder, num_rows)
            if problem is None:
                whole.append(folder)
                continue
            report(f"the checkpoint {folder.name} cannot be used and is deleted: {problem}")
            shutil.rmtree(folder, ignore_errors=True)
        self.index = self._empty_index()
        for folder in whole:
            self._count(folder.name, read_header(folder)["metrics"])
        if self.folder.is_dir():
            self._write_index()
        return whole[-1] if whole else None

    def _clear_up(self):
        """Remove the partial checkpoint of a killed process; put back the one that it was going to replace."""
        for leftover in self.folder.glob(".step_*"):
            target = leftover.with_name(leftover.name.split(".")[1])
            if leftover.suffix == ".replaced" and not target.exists():
                leftover.rename(target)
            else:
                shutil.rmtree(leftover, ignore_errors=True)
        for leftover in self.folder.glob(".index.json.*"):
            leftover.unlink()

    def _missing_rows(self, folder, num_rows):
        counted = read_header(folder)["progress"]["rows"]
        return None if counted <= num_rows else f"metrics.jsonl has {num_rows} of the {counted} rows before it"

    def _count(self, name, metrics):
        """Note a checkpoint in the index as the latest, and as the best if it is better than all before it."""
        value = metrics.get(self.monitor)
        if self.is_better(value, self.index.get("best_value")) or self.index["best"] is None:
            self.index |= {"best": name, "best_value": value}
        self.index |= {"latest": name}

    def is_better(self, value, than):
        """Whether a value of the monitored metric is better than another; None and NaN are worse than any."""
        if value is None or math.isnan(value):
            return False
        if than is None or math.isnan(than):
            return True
        return value > than if self.mode == "max" else value < than

    def _write_index(self):
        atomic_files.write_text(self.folder / "index.json", json.dumps(self.index, indent=1))
