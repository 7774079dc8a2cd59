"""Runs of `train.py` in real processes that die at a chosen moment, and what is left of them compared bit by bit.

A first process has imported everything; each run is a fork of it, which saves the seconds of the imports and nothing
else: it is a process of its own, killed by a signal that it cannot catch.
"""

import contextlib
import errno
import json
import os
import pkgutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What counts as a moment on disk: a process dies at the n-th of them below its run folder.
MOST_FAULTY_CALLS = 150
EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.chmod")


class Runs:
    """Starts runs; use as a context manager.

    Args:
        environment: dict of environment variables, on top of this process's own.
    """

    def __init__(self, **environment):
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from tests.killing import serve; serve()"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._process.stdin.close()
        self._process.wait()

    def start(self, *arguments, log, script="train.py", die_at=None, die_in=None, fault=None):
        """Begin a run; returns its process number. `finish` must follow.

        Args:
            arguments: what is typed after the script.
            log: path of what the run prints.
            die_at: int, kill the process at the n-th event on disk; None: never.
            die_in: str, kill the process when it touches a path of the run folder that has this in it.
            fault: name of a function of this module, or `tests.x:name` of another one, called in the process with the
                run folder before the run begins.
        """
        order = {"arguments": list(map(str, arguments)), "log": str(log), "script": script}
        order |= {"die_at": die_at, "die_in": die_in, "fault": fault}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def finish(self):
        """The exit status of the run that was begun; minus the number of the signal that killed it."""
        return int(self._process.stdout.readline())

    def run(self, *arguments, **query):
        """Begin and wait: the exit status."""
        self.start(*arguments, **query)
        return self.finish()


def serve():
    """The first process: reads orders, forks, answers with the process number, then with the exit status."""
    import hydra  # noqa: F401
    import keras  # noqa: F401
    import tensorflow  # noqa: F401

    import vitcross.attention_maps.callback
    import vitcross.config.compose
    import vitcross.experiment.build
    import vitcross.experiment.finished_run
    import vitcross.training.trainer  # noqa: F401

    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(order)
        print(child, flush=True)
        status = os.waitpid(child, 0)[1]
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(order):
    import runpy

    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    folder = next(
        a.partition("=")[2] for a in order["arguments"] if a.startswith(("hydra.run.dir=", "resume=", "run="))
    )
    if order["fault"]:
        module, _, name = order["fault"].rpartition(":")
        pkgutil.resolve_name(f"{module or 'tests.killing'}:{name}")(folder)
    if order["die_at"] is not None or order["die_in"] is not None:
        _die(folder, at=order["die_at"], inside=order["die_in"])
    sys.argv = [order["script"], *order["arguments"]]
    status = 1
    try:
        runpy.run_path(str(ROOT / order["script"]), run_name="__main__")
        status = 0
    except SystemExit as stop:
        status = stop.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _die(folder, at, inside):
    """Kill this process at its `at`-th event on disk below the run folder, or at one whose path has `inside` in it."""
    seen = [0]

    def listen(event, arguments):
        if event not in EVENTS or not arguments or not str(arguments[0]).startswith(folder):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        seen[0] += 1
        if seen[0] == at or (inside is not None and inside in str(arguments[0])):
            print(f"killed at {event} {str(arguments[0]).removeprefix(folder)}", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(listen)


def fail_now_and_then(folder):
    """A fault: of the first writes, fsyncs and renames below `checkpoints/` every 23rd fails."""
    calls = [0]
    checkpoints = os.path.join(folder, "checkpoints")

    def fails(path):
        if not str(path).startswith(checkpoints):
            return
        calls[0] += 1
        if calls[0] % 23 == 0 and calls[0] < MOST_FAULTY_CALLS:
            print("fault at", Path(path).name, flush=True)
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    def failing(original):
        def call(target, *arguments, **options):
            fails(os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else target)
            return original(target, *arguments, **options)

        return call

    for name in ("fsync", "replace", "rename", "mkdir"):
        setattr(os, name, failing(getattr(os, name)))
    os.fdopen = _fdopen(os.fdopen, fails)


def _fdopen(original, fails):
    def call(descriptor, *arguments, **options):
        file = original(descriptor, *arguments, **options)
        path, write = os.readlink(f"/proc/self/fd/{descriptor}"), file.write

        class Failing:
            def __getattr__(self, name):
                return getattr(file, name)

            def __enter__(self):
                return self

            def __exit__(self, *exception):
                file.close()

            def write(self, content):
                fails(path)
                return write(content)

        return Failing()

    return call


def tiny_classifier(data_dir):
    """Overrides of a run with all that is drawn: dropout, drop path, augmentation; a few seconds of training."""
    return [
        f"data.data_dir={data_dir}",
        "data.image_size=[32,40]",
        "data.train_examples=48",
        "data.validation_examples=19",
        "data.test_examples=13",
        "data.batch_size=8",
        "data.augmentation.flip=true",
        "data.augmentation.random_resized_crop=0.5",
        "model.embed_dim=16",
        "model.num_heads=2",
        "model.depth=2",
        "model.dropout_rate=0.1",
        "model.drop_path_rate=0.2",
        "sinks.wandb.mode=disabled",
        "attention_maps.num_probes=3",
        "attention_maps.num_measured=5",
        "attention_maps.captures=3",
        "attention_maps.trust_captures=0",
        "trainer.log_every=2",
    ]


def kill_at(runs, moment, *command, folder, log):
    """One run that dies at a moment: an int is an event on disk, a float seconds after its first new row.

    Returns:
        `(exit status, where it was)`: status 0 where the run came to its end before.
    """
    if not isinstance(moment, float):
        status = runs.run(*command, log=log, die_at=moment)
        return status, log.read_text().rstrip().splitlines()[-1]
    compiled = _compilations(log)
    process = runs.start(*command, log=log)
    _wait(process, lambda: _compilations(log) > compiled)
    known = _num_rows(folder)
    _wait(process, lambda: _num_rows(folder) > known)
    time.sleep(moment)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    return runs.finish(), f"killed {moment:.1f} s after its first row, with {_num_rows(folder)} rows"


def _wait(process, condition):
    """Wait for a condition, or for the end of the process (Linux)."""
    while Path(f"/proc/{process}").exists() and not condition():
        time.sleep(0.01)


def _compilations(log):
    return log.read_text().count("compiling the training step") if log.exists() else 0


def _num_rows(folder):
    path = Path(folder) / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for_step(folder, step, process, seconds=600):
    """Wait until the rows of a run have reached a step; False where its process has ended before (Linux)."""
    path, deadline = Path(folder) / "metrics.jsonl", time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError, IndexError):
            if json.loads(path.read_text().splitlines()[-1])["step"] >= step:
                return True
        if not Path(f"/proc/{process}").exists():
            return False
        time.sleep(0.02)
    raise TimeoutError(f"{folder} did not reach step {step}")


def rows(folder):
    """The rows of a run without what may differ: speed and time."""
    table = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.startswith(("speed/", "time/"))} for row in table]


def differences(first, second):
    """What differs between two finished runs, list of str; that of which the contract promises equal bytes."""
    first, second = Path(first), Path(second)
    found = [] if rows(first) == rows(second) else ["metrics.jsonl"]
    kept = {*_named(first), *_named(second)}
    files = [f"checkpoints/{path.parent.name}/{path.name}" for path in first.glob("checkpoints/step_*/*")]
    files = [name for name in files if Path(name).parent.name in kept] + ["checkpoints/index.json"]
    for run in (first, second):
        files += [str(path.relative_to(run)) for path in run.glob("attention/step_*/*")]
    files += ["attention/evolution.gif", "attention/viewer.html"]
    for name in dict.fromkeys(files):
        pair = [(run / name).read_bytes() if (run / name).is_file() else None for run in (first, second)]
        if pair[0] != pair[1]:
            found.append(name)
    return found


def _named(folder):
    index = json.loads((folder / "checkpoints/index.json").read_text())
    return {index["latest"], index["best"]}
