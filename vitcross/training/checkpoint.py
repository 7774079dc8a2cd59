"""Reads and writes one checkpoint: arrays in `safetensors`, keyed by variable path, and a versioned JSON header.

    checkpoints/step_00000500/weights.safetensors          the network's weights
    checkpoints/step_00000500/average.safetensors          their average, which predicts, if the run keeps one
    checkpoints/step_00000500/training_state.safetensors   optimizer, random state, running means, state of callbacks
    checkpoints/step_00000500/checkpoint.json              version, step, metrics, class names, progress, size and
                                                           SHA-256 of the other files, SHA-256 of this content

Nothing is unpickled. A checkpoint is written to a temporary folder, flushed to disk and renamed, so that a process that
is killed leaves the previous one intact. The files hold no time, path or id: equal runs write equal bytes.
"""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save

from vitcross import atomic_files
from vitcross.training.guards import inner_optimizer
from vitcross.training.progress import TrainingProgress

VERSION = 2
_KEYS = {"version", "step", "metrics", "class_names", "progress", "files"}  # of the header, besides its seal
WEIGHTS, AVERAGE = "weights.safetensors", "average.safetensors"
STATE, HEADER = "training_state.safetensors", "checkpoint.json"
PREDICTS = (WEIGHTS, AVERAGE)  # the files from which a network is loaded


def variables_by_path(network):
    """The variables of a network or of one of its encoders, keyed by their path without the model's own name."""
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
        instead: pairs of a variable and the value to use in place of its own.
    """
    values = {id(variable): value for variable, value in instead}
    return {key: np.asarray(values.get(id(v), v.value)) for key, v in variables_by_path(network).items()}


def _state_variables(task):
    """The variables of training besides the weights, keyed by group and position.

    The paths of optimizer slots and seed generators contain counters of the process; their order is fixed by the model.
    """
    weights = {id(variable) for variable in task.weights}
    groups = {
        "optimizer": _slots(task.optimizer),
        "random": [v for v in task.non_trainable_variables if id(v) not in weights],
        "metrics": task.metrics_variables,
    }
    return {f"{group}/{i:05d}": v for group, variables in groups.items() for i, v in enumerate(variables)}


def _stored_averages(optimizer):
    return getattr(inner_optimizer(optimizer), "stored_averages", ())


def _slots(optimizer):
    """The optimizer's variables without the averages of the weights, which are saved in their own file."""
    averages = {id(average) for _, average in _stored_averages(optimizer)}
    return [v for v in optimizer.variables if id(v) not in averages]


def training_arrays(task):
    """Optimizer variables, random state and running means of a compiled task as NumPy, keyed by group and position."""
    return {key: np.asarray(variable.value) for key, variable in _state_variables(task).items()}


def load_network(network, folder):
    """Load the weights that predict into a built network: their average, if the run kept one.

    Raises:
        ValueError: names the variables that are missing, left over or of another shape.
    """
    averaged = Path(folder) / AVERAGE
    arrays = load_file(averaged if averaged.exists() else Path(folder) / WEIGHTS)
    _assign(variables_by_path(network), arrays, f"the checkpoint {folder} does not fit this model")


def load_training(task, folder):
    """Load a whole checkpoint folder into a compiled task: weights, their average, optimizer, random state, means.

    Raises:
        ValueError: names the variables that are missing, left over or of another shape.
    """
    paths = variables_by_path(task.network)
    _assign(paths, load_file(Path(folder) / WEIGHTS), f"the checkpoint {folder} does not fit this model")
    arrays = {key: array for key, array in load_file(Path(folder) / STATE).items() if not key.startswith("callbacks/")}
    _assign(
        _state_variables(task), arrays, f"the state of the checkpoint {folder} does not fit this task and optimizer"
    )
    _load_average(task, paths, Path(folder) / AVERAGE)


def _load_average(task, paths, file):
    """Load the average of the weights; start it at the weights if the run kept none before (`allow_changes`)."""
    stored = _stored_averages(task.optimizer)
    if stored and not file.exists():
        inner_optimizer(task.optimizer).start_average()
    elif stored:
        averaged, keys = load_file(file), {id(variable): key for key, variable in paths.items()}
        for variable, average in stored:
            average.assign(averaged[keys[id(variable)]])


def check_fits(network, optimizer, folder):
    """Check that a run can be resumed from a checkpoint folder with this network and this built optimizer.

    Raises:
        ValueError: names what differs.
    """
    weights, state = (_shapes(Path(folder) / name) for name in (WEIGHTS, STATE))
    _compare(variables_by_path(network), weights, f"the checkpoint {folder} does not fit this model")
    slots = [tuple(v.shape) for v in _slots(optimizer)]
    known = [state[key] for key in sorted(state) if key.startswith("optimizer/")]
    # In mixed_float16 the variables of loss scaling come first.
    if slots != known[-len(slots) :]:
        raise ValueError(
            f"the state of the checkpoint {folder} does not fit this optimizer and what it trains: optimizer and "
            "optimizer.frozen cannot change when a run is resumed"
        )


def _shapes(file):
    """Shape of every array of a file, without reading the arrays."""
    with safe_open(file, framework="numpy") as arrays:
        return {key: tuple(arrays.get_slice(key).get_shape()) for key in arrays.keys()}  # noqa: SIM118 (no dict)


def _assign(variables, arrays, problem):
    _compare(variables, {key: array.shape for key, array in arrays.items()}, problem)
    for key, variable in variables.items():
        variable.assign(arrays[key])


def _compare(variables, shapes, problem):
    missing, extra = sorted(variables.keys() - shapes.keys()), sorted(shapes.keys() - variables.keys())
    other = [k for k in variables.keys() & shapes.keys() if tuple(variables[k].shape) != shapes[k]]
    if missing or extra or other:
        raise ValueError(
            f"{problem}. Missing: {missing[:5] or 'none'}; left over: {extra[:5] or 'none'}; "
            f"other shape: {sorted(other)[:5] or 'none'}"
        )


def read_header(folder):
    """The dict in the `checkpoint.json` of a checkpoint folder: step, metrics, class names and progress.

    Raises:
        ValueError: if it is damaged, or its version is not the one that this vitcross reads.
    """
    try:
        header = json.loads((Path(folder) / HEADER).read_text())
        version, seal = header["version"], header.pop("seal", None)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{HEADER} is damaged ({error})") from None
    if version != VERSION:
        raise ValueError(f"{folder} has checkpoint version {version}; this vitcross reads {VERSION}")
    if header.keys() != _KEYS or seal != seal_of(header):
        raise ValueError(f"{HEADER} is damaged")
    return header


def read_progress(folder):
    """`TrainingProgress` of a checkpoint folder."""
    header = read_header(folder)
    arrays = {key: a for key, a in load_file(Path(folder) / STATE).items() if key.startswith("callbacks/")}
    return TrainingProgress.from_parts(header["step"], header["progress"], arrays)


def problem_of(folder, files=None):
    """Why these files of a checkpoint folder (None: all) cannot be used, str; None if they are intact."""
    try:
        header = read_header(folder)
        for name, expected in header["files"].items():
            if files is not None and name not in files:
                continue
            found = fingerprint((Path(folder) / name).read_bytes())
            if found != expected:
                return f"{name} is damaged: {found['bytes']} bytes, {expected['bytes']} were written"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"it is not complete: {error}"
    return None


def write_checkpoint(folder, task, *, metrics, class_names, progress):
    """Write the state of a task as a checkpoint folder, completely or not at all.

    Raises:
        OSError: if it cannot be written, e.g. because the disk is full; what was in `folder` before is kept.
    """
    facts, callback_arrays = progress.to_parts()
    files = {
        WEIGHTS: save(network_arrays(task.network)),
        STATE: save({**training_arrays(task), **callback_arrays}),
    }
    optimizer = inner_optimizer(task.optimizer)
    if getattr(optimizer, "metric_suffix", None) is not None:
        files[AVERAGE] = save(network_arrays(task.network, instead=optimizer.averaged_weights()))
    header = {
        "version": VERSION,
        "step": progress.step,
        "metrics": metrics,
        "class_names": class_names,
        "progress": facts,
        "files": {name: fingerprint(content) for name, content in files.items()},
    }
    header = json.loads(json.dumps(header))  # the seal is that of what will be read
    files[HEADER] = json.dumps({**header, "seal": seal_of(header)}, indent=1).encode()
    temporary, replaced = (folder.with_name(f".{folder.name}.{what}") for what in ("writing", "replaced"))
    for leftover in (temporary, replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        for name, content in files.items():
            atomic_files.write_bytes(temporary / name, content)
        if folder.exists():
            folder.rename(replaced)  # a folder cannot replace one that is not empty
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)  # leave no partial files on a full disk
        if replaced.exists() and not folder.exists():
            replaced.rename(folder)
        raise
    atomic_files.sync_folder(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def fingerprint(content):
    """Size and SHA-256 of the bytes of a file, as the header keeps them."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def seal_of(header):
    """SHA-256 of a header without its seal, to detect a damaged one."""
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()
