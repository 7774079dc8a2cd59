"""Weights & Biases on a bad day, as a user meets it: real `python train.py` processes and a real client against a
server that refuses, hangs, answers nonsense, or dies: at the start, in the middle, at the end.

In every case the run ends with status 0, its metrics are those of a run without W&B bit by bit, one line says what
happened and how to upload later, and that command uploads the run to a server that works.
"""

import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.sinks.loopback_server import LoopbackServer
from tests.sinks.wandb_client import API_KEY, clean_environment

ROOT = Path(__file__).resolve().parent.parent
LENGTH = ["trainer.steps=11", "trainer.evaluate_every=4", "attention_maps.captures=2", "model.depth=1"]
PATIENCE = ["sinks.wandb.mode=online", "sinks.wandb.init_timeout=3", "sinks.wandb.finish_timeout=4"]


class Run:
    """A run against a server; the server's fault begins where a phase of the run begins.

    Attributes: `folder`, `status`, `output` (both streams), `told` (lines about W&B).
    """

    def __init__(self, overrides, home, server, fault=None, begins=None):
        self.folder = home / "run"
        address = f"sinks.wandb.base_url={server.url}"
        arguments = [*overrides, *LENGTH, *PATIENCE, address, f"hydra.run.dir={self.folder}"]
        environment = clean_environment(home, WANDB_API_KEY=API_KEY)
        command = [sys.executable, str(ROOT / "train.py"), *map(str, arguments)]
        with (home / "output.txt").open("w") as output:
            process = subprocess.Popen(command, cwd=home, env=environment, stdout=output, stderr=subprocess.STDOUT)
            if begins is not None:
                while process.poll() is None and not begins(self.folder):
                    time.sleep(0.01)
                server.stop() if fault == "stop" else setattr(server, "fault", fault)
            self.status = process.wait(timeout=240)
        self.output = (home / "output.txt").read_text()
        self.told = [line for line in self.output.splitlines() if line.startswith("Weights & Biases")]

    def rows(self):
        return comparable(self.folder)

    def sync(self, home, url):
        """Type what the last line about W&B says, with another server's address."""
        command = re.search(r"(WANDB_BASE_URL=\S+ )?(wandb sync .*?)\)?$", self.told[-1])[2]
        environment = clean_environment(home, WANDB_BASE_URL=url, WANDB_API_KEY=API_KEY)
        arguments = [sys.executable, "-m", "wandb", *shlex.split(command)[1:]]
        done = subprocess.run(arguments, cwd=home, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr


def comparable(folder):
    """Lines of metrics.jsonl without what depends on the clock."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [json.dumps({k: v for k, v in row.items() if not k.startswith(("speed/", "time/"))}) for row in rows]


@pytest.fixture(scope="module")
def overrides(tiny_scenes):
    return [override for override in tiny_scenes if not override.startswith(("sinks.", "model.depth"))]


@pytest.fixture(scope="module")
def expected(overrides, tmp_path_factory):
    """What a run without W&B keeps."""
    folder = tmp_path_factory.mktemp("without") / "run"
    arguments = [*overrides, *LENGTH, "sinks.wandb.mode=disabled", f"hydra.run.dir={folder}"]
    command = [sys.executable, str(ROOT / "train.py"), *map(str, arguments)]
    subprocess.run(command, cwd=folder.parent, check=True, capture_output=True, timeout=240)
    return comparable(folder)


def check(run, expected):
    """The run is well, and nothing but our own lines tells of W&B."""
    assert run.status == 0, run.output
    assert run.rows() == expected
    assert json.loads((run.folder / "summary.json").read_text())["state"] == "finished"
    others = [line for line in run.output.splitlines() if line not in run.told]
    assert not [line for line in others if re.search("wandb|traceback|error", line, re.IGNORECASE)], run.output


def check_upload(run, home, expected):
    """What the last line says to type brings every row to a server that works."""
    with LoopbackServer() as later:
        run.sync(home, later.url)
    (received,) = later.runs.values()
    for key in ("train/loss", "val/loss", "attention_stats/entropy/mean"):
        kept = [(row["step"], row[key]) for row in map(json.loads, expected) if key in row]
        assert [(row["trainer/step"], row[key]) for row in received.rows if key in row] == kept and kept
    assert received.exit_code == 0 and any(name.endswith(".png") for name in received.files)


slow = pytest.mark.slow
AT_START = {
    "refuses": ("stop", "connection refused"),
    "hangs": ("hang", "Timed out"),
    "is broken": (500, "HTTP 500"),
    "refuses the key": (401, "does the API key belong to this server"),
    "is a login page": ("garbage", "its answers are not those of W&B"),
}


@pytest.mark.parametrize("how", [pytest.param(how, marks=() if how == "hangs" else slow) for how in AT_START])
def test_at_the_start(how, overrides, expected, tmp_path):
    fault, reason = AT_START[how]
    with LoopbackServer(fault=None if fault == "stop" else fault) as server:
        if fault == "stop":
            server.stop()
        run = Run(overrides, tmp_path, server)
    check(run, expected)
    first, last = run.told
    assert "offline, the server cannot be used" in first and reason in first and "Upload later with: WANDB" in first
    assert "the run is complete offline. Upload it with: WANDB_BASE_URL=" in last
    assert not list((run.folder / "wandb").glob("run-*"))  # nothing is left of the attempt to go online
    if how == "hangs":
        check_upload(run, tmp_path, expected)


def has_begun(folder):
    return (folder / "metrics.jsonl").exists() and (folder / "metrics.jsonl").stat().st_size > 0


def closes(folder):
    """The local files are closed before W&B, which is still to upload the rest."""
    return (folder / "summary.json").exists()


LATER = {
    "dies in the middle": ("stop", has_begun, "not within 4 s"),
    "hangs in the middle": ("hang", has_begun, "not within 4 s"),
    "breaks in the middle": (500, has_begun, "not within 4 s"),
    "closes the account in the middle": (403, has_begun, "403"),
    "is a login page from the middle on": ("garbage", has_begun, "its answers are not those of W&B"),
    "dies at the end": ("stop", closes, "not within 4 s"),
    "hangs at the end": ("hang", closes, "not within 4 s"),
    "closes the account at the end": (401, closes, "401"),
}
OFTEN = ("hangs in the middle", "dies at the end")


@pytest.mark.parametrize("how", [pytest.param(how, marks=() if how in OFTEN else slow) for how in LATER])
def test_later(how, overrides, expected, tmp_path):
    fault, begins, reason = LATER[how]
    with LoopbackServer() as server:
        run = Run(overrides, tmp_path, server, fault=fault, begins=begins)
    check(run, expected)
    assert run.told[0].startswith("Weights & Biases: online, http")
    last = run.told[-1]
    assert f"did not take everything ({reason}" in last or (reason in last and "did not take everything" in last)
    assert "Nothing is lost, it is in the run folder. Upload it with: WANDB_BASE_URL=" in last
    assert len(run.told) == 2 or "the server refuses the run (" in run.told[1]
    check_upload(run, tmp_path, expected)
