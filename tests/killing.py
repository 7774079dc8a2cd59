"""Runs of `train.py` in real processes that die at a chosen moment, and what is left of them compared bit by bit.

A first process has imported everything; each run is a fork of it, which saves the seconds of the imports and nothing
else: it is a process of its own, killed by a signal that it cannot catch.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What counts as a moment on disk: a process dies at the n-th of them below its run folder.
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

    def start(self, *arguments, log, die_at=None, fault=None):
        """Begin a run; returns its process number. `finish` must follow.

        Args:
            arguments: what is typed after `train.py`.
            log: path of what the run prints.
            die_at: int, kill the process at the n-th event on disk; None: never.
            fault: name of a function of this module, called in the process before the run begins.
        """
        order = {"arguments": list(map(str, arguments)), "log": str(log), "die_at": die_at, "fault": fault}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def finish(self):
        """The exit status of the run that was begun; minus the number of the signal that killed it."""
        return int(self._process.stdout.readline())

    def run(self, *arguments, **wish):
        """Begin and wait: the exit status."""
        self.start(*arguments, **wish)
        return self.finish()


def serve():
    """The first process: reads orders, forks, answers with the process number, then with the exit status."""
    import hydra  # noqa: F401
    import keras  # noqa: F401
    import tensorflow  # noqa: F401

    import vitcross.attention_maps.callback
    import vitcross.config
    import vitcross.experiment
    import vitcross.finished_run
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
    folder = next(a.partition("=")[2] for a in order["arguments"] if a.startswith(("hydra.run.dir=", "resume=")))
    if order["fault"]:
        globals()[order["fault"]](folder)
    if order["die_at"] is not None:
        _die_at(order["die_at"], folder)
    sys.argv = ["train.py", *order["arguments"]]
    status = 1
    try:
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
        status = 0
    except SystemExit as stop:
        status = stop.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _die_at(number, folder):
    """Kill this process at its `number`-th event on disk below the run folder."""
    left = [number]

    def listen(event, arguments):
        if event not in EVENTS or not arguments or not str(arguments[0]).startswith(folder):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        left[0] -= 1
        if left[0] == 0:
            print(f"killed at {event} {str(arguments[0]).removeprefix(folder)}", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(listen)


def wait_for_step(folder, step, process, seconds=600):
    """Wait until the rows of a run have reached a step; False where its process has ended before (Linux)."""
    path, deadline = Path(folder) / "metrics.jsonl", time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError, IndexError):
            if json.loads(path.read_text().splitlines()[-1])["step"] >= step:
                return True
        if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
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
