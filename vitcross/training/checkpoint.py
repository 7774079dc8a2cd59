"""Checkpoints: arrays in `safetensors` keyed by variable path, and a versioned JSON. Nothing is unpickled.

    checkpoints/step_00000500/weights.safetensors          what the network needs to predict
    checkpoints/step_00000500/training_state.safetensors   optimizer and random state, what going on needs besides
    checkpoints/step_00000500/checkpoint.json              version, step, metrics, class names
    checkpoints/index.json                                 which step is the latest, which the best

A checkpoint is written into a temporary folder, flushed to disk and renamed; the index is replaced after that. A
process killed at any moment leaves the previous checkpoint intact.
"""

import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from vitcross import atomic_files

VERSION = 1


def network_arrays(network):
    """The network's weights as NumPy, keyed by variable path without the network's own name."""
    arrays = {}
    for variable in network.weights:
        key = variable.path.removeprefix(f"{network.name}/")
        if key in arrays:
            raise ValueError(f"two variables share the path {key!r}; give the layers distinct names")
        arrays[key] = np.asarray(variable.value)
    return arrays


def _numbered(variables):
    # Paths of optimizer slots and seed generators hold counters of the process; their order is fixed by the model.
    return {f"{n:05d}": np.asarray(variable.value) for n, variable in enumerate(variables)}


def training_arrays(task):
    """Optimizer variables and random state of a compiled task, keyed by room and position."""
    weights = {id(variable) for variable in task.weights}
    random_state = [v for v in task.non_trainable_variables if id(v) not in weights]
    rooms = {"optimizer": task.optimizer.variables, "random": random_state}
    return {f"{room}/{key}": array for room, vs in rooms.items() for key, array in _numbered(vs).items()}


def load_network(network, folder):
    """Put the weights of a checkpoint folder into a built network.

    Raises:
        ValueError: names the variables that are missing, left over or of another shape.
    """
    arrays = load_file(Path(folder) / "weights.safetensors")
    expected = network_arrays(network)
    missing, extra = sorted(expected.keys() - arrays.keys()), sorted(arrays.keys() - expected.keys())
    shapes = [k for k in expected.keys() & arrays.keys() if expected[k].shape != arrays[k].shape]
    if missing or extra or shapes:
        raise ValueError(
            f"the checkpoint {folder} does not fit this model. Missing: {missing[:5] or 'none'}; left over: "
            f"{extra[:5] or 'none'}; other shape: {sorted(shapes)[:5] or 'none'}"
        )
    for variable in network.weights:
        variable.assign(arrays[variable.path.removeprefix(f"{network.name}/")])


def read_header(folder):
    """Step, metrics and class names of a checkpoint folder: the dict in its `checkpoint.json`.

    Raises:
        ValueError: where it was written by a version of vitcross that this one does not know.
    """
    header = json.loads((Path(folder) / "checkpoint.json").read_text())
    if header["version"] != VERSION:
        raise ValueError(f"{folder} has checkpoint version {header['version']}; this vitcross reads version {VERSION}")
    return header


class Checkpoints:
    """The `checkpoints/` folder of a run: keeps the latest and the best.

    Args:
        folder: path, made when needed.
        monitor: name of the validation metric that decides, e.g. `accuracy`.
        mode: `max` or `min`.
    """

    def __init__(self, folder, *, monitor="accuracy", mode="max"):
        if mode not in ("max", "min"):
            raise ValueError(f"mode must be 'max' or 'min'. Received: mode={mode!r}")
        self.folder, self.monitor, self.mode = Path(folder), monitor, mode
        self.index = {"version": VERSION, "monitor": monitor, "mode": mode, "latest": None, "best": None}
        if (self.folder / "index.json").exists():
            self.index = json.loads((self.folder / "index.json").read_text())

    def save(self, task, *, step, metrics=None, class_names=()):
        """Write the task's state after `step` updates; with `metrics` it may become the best. Returns its folder."""
        target = self.folder / f"step_{step:08d}"
        if metrics is None and target.is_dir():
            metrics = read_header(target)["metrics"]  # this very state is on disk; the index may not know it yet
        else:
            metrics = dict(metrics or {})
            header = {"version": VERSION, "step": step, "metrics": metrics, "class_names": class_names}
            self._write(target, task, header)
        value = metrics.get(self.monitor)
        best = self.index.get("best_value")
        better = value is not None and (best is None or (value > best if self.mode == "max" else value < best))
        if better or self.index["best"] is None:
            self.index |= {"best": target.name, "best_value": value}
        self.index |= {"latest": target.name}
        atomic_files.write_text(self.folder / "index.json", json.dumps(self.index, indent=1))
        self._delete_others()
        return target

    def path(self, which="best"):
        """Folder of the `best` or `latest` checkpoint.

        Raises:
            ValueError: where the run has none.
        """
        name = self.index.get(which)
        if name is None or not (self.folder / name).is_dir():
            raise ValueError(f"{self.folder} holds no {which} checkpoint; was the run stopped before its first one?")
        return self.folder / name

    def _write(self, target, task, header):
        files = {
            "weights.safetensors": save(network_arrays(task.network)),
            "training_state.safetensors": save(training_arrays(task)),
            "checkpoint.json": json.dumps(header, indent=1).encode(),
        }
        temporary = target.with_name(f".{target.name}.writing")
        for leftover in (temporary, target):
            shutil.rmtree(leftover, ignore_errors=True)
        temporary.mkdir(parents=True)
        for name, content in files.items():
            atomic_files.write_bytes(temporary / name, content)
        temporary.rename(target)

    def _delete_others(self):
        keep = {self.index["latest"], self.index["best"]}
        for folder in self.folder.glob("step_*"):
            if folder.name not in keep:
                shutil.rmtree(folder, ignore_errors=True)
