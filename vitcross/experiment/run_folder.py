"""Begins a run in a folder, and tells whether the run of a folder is in use, has finished, or is another experiment.

Imports nothing heavy.
"""

import dataclasses
import json
import os
import shlex
from datetime import datetime
from pathlib import Path

from vitcross import atomic_files
from vitcross.config.compose import as_yaml
from vitcross.config.durations import AUTO
from vitcross.cores import num_cores
from vitcross.terminal import printable

LOCK, ORIGIN, SWEEP = ".lock", "run.json", "trials.json"
# What may change on resume: where results go and how often the run is saved.
RESUMABLE_KEYS = (
    "resume",
    "allow_changes",
    "sinks",
    "data.data_dir",  # with the two below: the place of the data, whose contents are compared (`data_contents.py`)
    "data.root",
    "data.file",
    "data.cache_gigabytes",
    "data.num_workers",
    "trainer.checkpoint_every",
    "trainer.checkpoint_minutes",
    "trainer.keep_checkpoints",
    *(f"attention_maps.{key}" for key in ("opacity", "color_map", "resampling", "panel_size", "record_megabytes")),
)
# What the data decides where the configuration leaves it open; `config.yaml` has it filled in.
FROM_DATA = (
    "num_classes",
    "image_size",
    "channels",
    "in_channels",
    "num_answers",
    "multilabel",
    "value_range",
    "vocabulary_size",
    "max_length",
    "epochs",
)
_LOCKS = []  # open for as long as the process lives


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """A run that was typed, checked, and whose folder this process holds.

    Args:
        settings: dict, the validated configuration.
        choices: dict of group to option name.
        folder: path of the run.
        resume: bool, whether the run resumes from its newest checkpoint.
    """

    settings: dict
    choices: dict
    folder: Path
    resume: bool = False

    @property
    def name(self):
        return run_name(self.choices)


def run_name(choices):
    """What a run is called: its experiment, or its data where no experiment was chosen."""
    return choices.get("experiment") or choices["data"]


def holds_run(folder):
    """Whether a folder holds a run."""
    return any((Path(folder) / name).exists() for name in ("config.yaml", "metrics.jsonl", "checkpoints"))


def find_latest(parent="outputs"):
    """The folder, absolute, of the run below `parent` that was begun last.

    Raises:
        ValueError: where there is none.
    """
    begun = {}
    for folder, inner, files in os.walk(parent):
        if ORIGIN in files:
            inner.clear()
            begun[folder] = (os.stat(Path(folder) / ORIGIN).st_mtime_ns, folder)
    if not begun:
        raise ValueError(f"latest is the newest run of a folder, and there is none in {os.path.abspath(parent)}")
    return os.path.abspath(max(begun, key=begun.get))


def is_trial(folder):
    """Whether a run is one of a sweep, whose record lies beside its folder."""
    return (Path(folder).parent / SWEEP).is_file()


def has_checkpoint(folder):
    """Whether a run has a checkpoint to resume from, or to start another run from."""
    try:
        return json.loads((Path(folder) / "checkpoints" / "index.json").read_text())["best"] is not None
    except (OSError, ValueError, KeyError, TypeError):
        return False


def lock(folder):
    """Keep a run folder for this process, as long as it lives; a process that was killed holds nothing.

    Raises:
        ValueError: where a live process has it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    file = open(Path(folder) / LOCK, "a")  # noqa: SIM115 (open for as long as the process lives)
    try:
        # A lock of POSIX: unlike that of `flock`, a child that outlives its parent does not keep it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ValueError(f"{folder} is in use by a live run; one folder takes one run at a time") from error
    _LOCKS.append(file)


def finished(folder):
    """The `summary.json` of a run that has finished; None for any other."""
    try:
        summary = json.loads((Path(folder) / "summary.json").read_text())
    except (OSError, ValueError):
        return None
    return summary if isinstance(summary, dict) and summary.get("state") == "finished" else None


def begin(settings, choices, folder=None, typed=()):
    """Begin a run in a folder, which is made where it is not there.

    The folder keeps what a resume needs from the first second: the configuration before the data has filled it in; the
    chosen option of each group, which names the run and is not in the configuration; the number of threads that share
    one operation, on which the last bits depend; and what was typed, as it was typed.

    Args:
        settings: dict, the validated configuration.
        choices: dict of group to option name.
        folder: path; None: a new one in `outputs/<name of the run>`.
        typed: sequence of str, the arguments of `train.py`.

    Returns:
        `Command`

    Raises:
        ValueError, OSError: a folder that is in use, or cannot be made.
    """
    folder = Path(os.path.abspath(folder or claim_folder(Path("outputs") / run_name(choices))))
    lock(folder)
    kept = {group: option for group, option in choices.items() if not group.startswith("hydra")}
    origin = {"choices": kept, "threads": _threads_of_this_machine(), "typed": list(typed), "typed_in": os.getcwd()}
    atomic_files.write_text(folder / ORIGIN, json.dumps(origin, indent=1) + "\n")
    atomic_files.write_text(folder / "config.yaml", config_text(folder, settings))  # last: now the folder holds a run
    return Command(settings=settings, choices=choices, folder=folder)


def config_text(folder, settings):
    """The text of a run's `config.yaml`: the configuration, whose paths are absolute, below what was typed."""
    origin = _origin(folder)
    command = shlex.join(["python", "train.py", *map(str, origin.get("typed", ()))])
    place = origin.get("typed_in", "")
    return f"# {printable(command)}\n# typed in {printable(place)}\n{as_yaml(settings)}"


def read_choices(folder, config):
    """The chosen options of a run; of a folder without them what its configuration says."""
    targets = {group: config[group]["_target_"].rpartition(".")[2] for group in ("data", "model")}
    kept = _origin(folder).get("choices")
    known = isinstance(kept, dict) and all(isinstance(option, str | None) for option in kept.values())
    return targets | kept if known else targets


def num_threads(folder):
    """Threads that shared one operation when the run began; of a folder without them those of this machine."""
    threads = _origin(folder).get("threads")
    return threads if isinstance(threads, int) and 0 < threads <= 4096 else _threads_of_this_machine()


def _origin(folder):
    try:
        origin = json.loads((Path(folder) / ORIGIN).read_text())
    except (OSError, ValueError):
        return {}
    return origin if isinstance(origin, dict) else {}


def _threads_of_this_machine():
    chosen = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return int(chosen) if chosen.isdecimal() and int(chosen) else num_cores()


def differences(old, new):
    """`key: old -> new` of every key of two configurations that makes another experiment, sorted by key."""
    old, new = _leaves(old), _leaves(new)
    found = []
    for key in sorted(old.keys() | new.keys()):
        if may_change_on_resume(key):
            continue
        before, after = old.get(key), new.get(key)
        left_open = after in (None, AUTO) and key.rpartition(".")[2] in FROM_DATA
        if not left_open and not _same(before, after):
            found.append(f"{key}: {_text(before)} -> {_text(after)}")
    return found


def may_change_on_resume(key):
    """Whether a key may change on resume without making another experiment."""
    return any(key == harmless or key.startswith(f"{harmless}.") for harmless in RESUMABLE_KEYS)


def _leaves(node, prefix=""):
    if not isinstance(node, dict):
        return {prefix: node}
    return {k: v for name, child in node.items() for k, v in _leaves(child, f"{prefix}.{name}".lstrip(".")).items()}


def _same(before, after):
    pairs = [tuple(v) if isinstance(v, list | tuple) else v for v in (before, after)]
    if any(isinstance(v, tuple) for v in pairs) and all(v is not None and not isinstance(v, str) for v in pairs):
        pairs = [v if isinstance(v, tuple) else (v, v) for v in pairs]  # 32 is [32, 32]
    return pairs[0] == pairs[1]


def _text(value):
    return "null" if value is None else json.dumps(value) if isinstance(value, bool | list) else str(value)


def claim_folder(parent, now=None):
    """Make a new folder `parent/<date>_<time>` and return it; two runs of one second get two folders.

    Raises:
        OSError: where it cannot be made.
    """
    parent = Path(parent)
    parent.mkdir(parents=True, exist_ok=True)
    stamp = (now or datetime.now()).strftime("%Y-%m-%d_%H-%M-%S")
    for attempt in range(1000):
        folder = parent / (stamp if attempt == 0 else f"{stamp}_{attempt + 1}")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            continue
    raise OSError(f"{parent} holds 1000 runs of this second")
