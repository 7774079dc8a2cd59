"""Checkpoints: arrays in `safetensors` keyed by variable path, and a versioned JSON. Nothing is unpickled.

    checkpoints/step_00000500/weights.safetensors          the network's weights
    checkpoints/step_00000500/average.safetensors          their average, which predicts, in a run that keeps one
    checkpoints/step_00000500/training_state.safetensors   optimizer, random state, running means, state of callbacks
    checkpoints/step_00000500/checkpoint.json              version, step, metrics, class names, progress; written last,
                                                           with size and SHA-256 of the others and a seal of its
                                                           own content
    checkpoints/index.json                                 which step is the latest, which the best

A checkpoint is written into a temporary folder, flushed to disk and renamed; the index is replaced after that. A
process killed at any moment leaves the previous checkpoint intact. The files hold no time, path or id: equal runs make
equal bytes.
"""

import hashlib
import json
import math
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from vitcross import atomic_files
from vitcross.training.guards import guard_of
from vitcross.training.progress import Progress

VERSION = 2
_PREDICTS = {"version", "step", "metrics", "class_names"}
# Version -> keys of its header; version 1 holds what predicts, and nothing to go on from.
READABLE = {1: _PREDICTS, VERSION: _PREDICTS | {"progress", "files"}}
WEIGHTS, AVERAGE = "weights.safetensors", "average.safetensors"
STATE, HEADER = "training_state.safetensors", "checkpoint.json"
PREDICTS = (WEIGHTS, AVERAGE)  # the files from which a network is loaded


def _by_path(network):
    """The network's variables, keyed by their path without the network's own name."""
    variables = {}
    for variable in network.weights:
        key = variable.path.removeprefix(f"{network.name}/")
        if key in variables:
            raise ValueError(f"two variables share the path {key!r}; give the layers distinct names")
        variables[key] = variable
    return variables


def network_arrays(network, instead=()):
    """The network's weights as NumPy, keyed by variable path without the network's own name.

    Args:
        instead: pairs of a variable and the value that stands in for its own.
    """
    values = {id(variable): value for variable, value in instead}
    return {key: np.asarray(values.get(id(v), v.value)) for key, v in _by_path(network).items()}


def _rooms(task):
    """What training has besides the weights: room -> variables.

    Paths of optimizer slots and seed generators hold counters of the process; their order is fixed by the model.
    """
    weights = {id(variable) for variable in task.weights}
    averages = {id(average) for _, average in _stored_averages(task)}  # in a file of their own
    return {
        "optimizer": [v for v in task.optimizer.variables if id(v) not in averages],
        "random": [v for v in task.non_trainable_variables if id(v) not in weights],
        "metrics": task.metrics_variables,
    }


def _stored_averages(task):
    return getattr(guard_of(task.optimizer), "stored_averages", ())


def training_arrays(task):
    """Optimizer variables, random state and running means of a compiled task, keyed by room and position."""
    return {
        f"{room}/{number:05d}": np.asarray(variable.value)
        for room, variables in _rooms(task).items()
        for number, variable in enumerate(variables)
    }


def load_network(network, folder):
    """Put the weights of a checkpoint folder that predict into a built network: their average where the run kept one.

    Raises:
        ValueError: names the variables that are missing, left over or of another shape.
    """
    averaged = Path(folder) / AVERAGE
    arrays = load_file(averaged if averaged.exists() else Path(folder) / WEIGHTS)
    _assign(_by_path(network), arrays, f"the checkpoint {folder} does not fit this model")


def load_training(task, folder):
    """Put all of a checkpoint folder into a compiled task: weights, their average, optimizer, random state, means.

    Raises:
        ValueError: names the variables that are missing, left over or of another shape.
    """
    paths = _by_path(task.network)
    _assign(paths, load_file(Path(folder) / WEIGHTS), f"the checkpoint {folder} does not fit this model")
    arrays = {key: array for key, array in load_file(Path(folder) / STATE).items() if not key.startswith("callbacks/")}
    variables = {
        f"{room}/{number:05d}": variable
        for room, variables in _rooms(task).items()
        for number, variable in enumerate(variables)
    }
    _assign(variables, arrays, f"the state of the checkpoint {folder} does not fit this task and optimizer")
    _load_average(task, paths, Path(folder) / AVERAGE)


def _load_average(task, paths, file):
    """The average of a checkpoint; it begins at the weights where the run kept none before (`allow_changes`)."""
    stored = _stored_averages(task)
    if stored and not file.exists():
        guard_of(task.optimizer).start_average()
    elif stored:
        averaged, keys = load_file(file), {id(variable): key for key, variable in paths.items()}
        for variable, average in stored:
            average.assign(averaged[keys[id(variable)]])


def check_fits(network, optimizer, folder):
    """Whether a run can go on from a checkpoint folder with this network and this built optimizer.

    Raises:
        ValueError: names what differs.
    """
    _compare(_by_path(network), load_file(Path(folder) / WEIGHTS), f"the checkpoint {folder} does not fit this model")
    averages = {id(average) for _, average in getattr(optimizer, "stored_averages", ())}
    slots = [v for v in optimizer.variables if id(v) not in averages]
    state = load_file(Path(folder) / STATE)
    known = [state[key].shape for key in sorted(state) if key.startswith("optimizer/")]
    # In mixed_float16 the loss scale and its counts come before the rest.
    if [tuple(v.shape) for v in slots] != known[-len(slots) :]:
        raise ValueError(
            f"the state of the checkpoint {folder} does not fit this optimizer and what it trains: optimizer and "
            "optimizer.frozen cannot change on the way"
        )


def _assign(variables, arrays, problem):
    _compare(variables, arrays, problem)
    for key, variable in variables.items():
        variable.assign(arrays[key])


def _compare(variables, arrays, problem):
    missing, extra = sorted(variables.keys() - arrays.keys()), sorted(arrays.keys() - variables.keys())
    shapes = [k for k in variables.keys() & arrays.keys() if tuple(variables[k].shape) != arrays[k].shape]
    if missing or extra or shapes:
        raise ValueError(
            f"{problem}. Missing: {missing[:5] or 'none'}; left over: {extra[:5] or 'none'}; "
            f"other shape: {sorted(shapes)[:5] or 'none'}"
        )


def read_header(folder):
    """Step, metrics, class names and progress of a checkpoint folder: the dict in its `checkpoint.json`.

    Raises:
        ValueError: where it is damaged, or was written by a version of vitcross that this one does not know.
    """
    try:
        header = json.loads((Path(folder) / HEADER).read_text())
        version, seal = header["version"], header.pop("seal", None)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{HEADER} is damaged ({error})") from None
    if version not in READABLE:
        raise ValueError(f"{folder} has checkpoint version {version}; this vitcross reads {tuple(READABLE)}")
    # One that was written before there were seals has none; a key more is a seal that lost its name.
    if header.keys() != READABLE[version] or seal not in (None, _seal(header)):
        raise ValueError(f"{HEADER} is damaged")
    return header


def read_progress(folder):
    """`Progress` of a checkpoint folder."""
    header = read_header(folder)
    arrays = {key: a for key, a in load_file(Path(folder) / STATE).items() if key.startswith("callbacks/")}
    return Progress.from_parts(header["step"], header["progress"], arrays)


def problem_of(folder, files=None):
    """Why these files of a checkpoint folder (None: all) cannot be used, str: it is torn; None where they are whole."""
    try:
        header = read_header(folder)
        for name, expected in header["files"].items() if header["version"] == VERSION else ():
            if files is not None and name not in files:
                continue
            found = _fingerprint((Path(folder) / name).read_bytes())
            if found != expected:
                return f"{name} is damaged: {found['bytes']} bytes, {expected['bytes']} were written"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"it is not complete: {error}"
    return None


def write_checkpoint(folder, task, *, metrics, class_names, progress):
    """Write the state of a task as a checkpoint folder: whole, or not there at all.

    Raises:
        OSError: disk full, for one; what was in `folder` before is still there.
    """
    facts, callback_arrays = progress.to_parts()
    files = {
        WEIGHTS: save(network_arrays(task.network)),
        STATE: save({**training_arrays(task), **callback_arrays}),
    }
    optimizer = guard_of(task.optimizer)
    if getattr(optimizer, "average_suffix", None) is not None:
        files[AVERAGE] = save(network_arrays(task.network, instead=optimizer.averaged_weights()))
    header = {
        "version": VERSION,
        "step": progress.step,
        "metrics": metrics,
        "class_names": class_names,
        "progress": facts,
        "files": {name: _fingerprint(content) for name, content in files.items()},
    }
    header = json.loads(json.dumps(header))  # as it will be read
    files[HEADER] = json.dumps({**header, "seal": _seal(header)}, indent=1).encode()
    temporary, replaced = (folder.with_name(f".{folder.name}.{what}") for what in ("writing", "replaced"))
    for leftover in (temporary, replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        for name, content in files.items():
            atomic_files.write_bytes(temporary / name, content)
        if folder.exists():
            folder.rename(replaced)  # a folder cannot take the place of one that is not empty
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)  # half of it would fill a disk that is full
        if replaced.exists() and not folder.exists():
            replaced.rename(folder)
        raise
    atomic_files.sync_folder(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _fingerprint(content):
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _seal(header):
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()


class Checkpoints:
    """The `checkpoints/` folder of a run: keeps the last ones and the best.

    Args:
        folder: path, made when needed.
        monitor: name of the validation metric that decides, e.g. `accuracy`.
        mode: `max` or `min`.
        keep: int, how many of the last ones stay, the best besides. Two, so that a damaged one has one before it.
    """

    def __init__(self, folder, *, monitor="accuracy", mode="max", keep=2):
        if mode not in ("max", "min"):
            raise ValueError(f"mode must be 'max' or 'min'. Received: mode={mode!r}")
        if keep < 1:
            raise ValueError(f"keep_checkpoints must be at least 1. Received: {keep}")
        self.folder, self.monitor, self.mode, self.keep = Path(folder), monitor, mode, keep
        self.index = self._read_index()

    def _read_index(self):
        """What is on disk; an empty one for none or a damaged one, which `newest` makes anew."""
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
        target = self.folder / _name(progress.step)
        if metrics is None and target.is_dir():
            metrics = read_header(target)["metrics"]  # this very state is on disk; the index may not know it yet
        else:
            metrics = dict(metrics or {})
            write_checkpoint(target, task, metrics=metrics, class_names=class_names, progress=progress)
        self._count(target.name, metrics)
        self._write_index()
        self._delete_others()
        return target

    def path(self, which="best"):
        """Folder of the `best` or `latest` checkpoint.

        Raises:
            ValueError: where the run has none, or none is known as the best.
        """
        name, found = self.index.get(which), sorted(folder.name for folder in self.folder.glob("step_*"))
        if found and name not in found and which == "latest":
            return self.folder / found[-1]
        if found and name not in found:
            raise ValueError(
                f"{self.folder / 'index.json'} is missing or damaged: the {which} checkpoint is {name or 'not known'}, "
                f"there are {', '.join(found)}"
            )
        # A name, and no way to another folder.
        if name is None or Path(name).name != name or not (self.folder / name).is_dir():
            raise ValueError(f"{self.folder} holds no {which} checkpoint; was the run stopped before its first one?")
        return self.folder / name

    def newest(self, num_rows, report=print):
        """The newest checkpoint that a run can go on from, or None; what is newer and damaged is told and deleted.

        The index is made anew from what is there: a process may have been killed before it wrote it.

        Args:
            num_rows: int, rows of metrics that the run folder holds: a checkpoint that counts more is of no use.
            report: callable of one str.

        Raises:
            ValueError: where the run is of a version of vitcross that kept nothing to go on from.
        """
        self._clear_up()
        whole = []
        for folder in sorted(self.folder.glob("step_*")):
            problem = problem_of(folder) or self._missing_rows(folder, num_rows)
            if problem is None:
                whole.append(folder)
                continue
            report(f"the checkpoint {folder.name} is left out: {problem}")
            shutil.rmtree(folder, ignore_errors=True)
        self.index = self._empty_index()
        for folder in whole:
            self._count(folder.name, read_header(folder)["metrics"])
        if self.folder.is_dir():
            self._write_index()
        return whole[-1] if whole else None

    def _clear_up(self):
        """What a process that was killed left behind: half of a new checkpoint, the old one it was to replace."""
        for leftover in self.folder.glob(".step_*"):
            target = leftover.with_name(leftover.name.split(".")[1])
            if leftover.suffix == ".replaced" and not target.exists():
                leftover.rename(target)
            else:
                shutil.rmtree(leftover, ignore_errors=True)
        for leftover in self.folder.glob(".index.json.*"):
            leftover.unlink()

    def _missing_rows(self, folder, num_rows):
        header = read_header(folder)
        if header["version"] != VERSION:
            raise ValueError(f"{folder} is of an earlier version of vitcross, which kept nothing to go on from")
        counted = header["progress"]["rows"]
        return None if counted <= num_rows else f"metrics.jsonl has {num_rows} of the {counted} rows before it"

    def _count(self, name, metrics):
        """Note a checkpoint in the index: the latest, and where it is better than all before it, the best."""
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

    def _delete_others(self):
        folders = sorted(self.folder.glob("step_*"))
        for folder in folders[: -self.keep]:
            if folder.name != self.index["best"]:
                shutil.rmtree(folder, ignore_errors=True)


def _name(step):
    return f"step_{step:08d}"
