"""A home folder that is not there or cannot be written: what needs it says so, what does not need it just works.

Processes of their own, for TensorFlow Datasets and Keras look for the home folder when they are imported.
"""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.killing import ROOT, tiny_classifier
from tests.tiny_texts import tiny_scene_texts

# Permissions do not bind root. Without these two rights they do.
BOUND = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
SOMEBODY_ELSE = 65534


class Stranger:
    """Somebody whose home folder is not theirs to write, in a folder that is."""

    def __init__(self, folder):
        self.home, self.own = folder / "home", folder / "own"
        self.home.mkdir()
        self.own.mkdir()
        self.home.chmod(0o555)
        self._prefix = []
        if os.geteuid() == 0:
            os.chown(self.home, SOMEBODY_ELSE, SOMEBODY_ELSE)
            self._prefix = BOUND if shutil.which(BOUND[0]) else []

    def run(self, *command, home=None):
        kept = ("PATH", "LANG", "LD_LIBRARY_PATH")
        environment = {key: os.environ[key] for key in kept if key in os.environ}
        environment |= {"HOME": str(home or self.home), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        arguments = {"capture_output": True, "text": True, "timeout": 300, "check": False}
        return subprocess.run([*self._prefix, *command], cwd=self.own, env=environment, **arguments)

    def train(self, *arguments, home=None):
        return self.run(sys.executable, ROOT / "train.py", *map(str, arguments), home=home)


@pytest.fixture
def stranger(tmp_path):
    stranger = Stranger(tmp_path)
    tried = stranger.run("mkdir", stranger.home / "tried")
    if "denied" not in tried.stderr:
        pytest.skip(f"permissions do not bind this user, and setpriv does not change that: {tried.stderr.strip()}")
    return stranger


@pytest.mark.parametrize("home", ["read-only", "missing"])
def test_the_default_data_says_which_folder_it_needs(home, stranger):
    home = stranger.home if home == "read-only" else stranger.home / "nobody"
    overrides = [o for o in tiny_classifier("unused") if "data_dir" not in o]
    done = stranger.train(*overrides, "trainer.steps=1", home=home)
    assert done.returncode == 1, done.stdout + done.stderr
    message, where = done.stderr.strip().splitlines()
    assert message.startswith(f"vitcross: the data set cannot be written below {home}/tensorflow_datasets")
    assert "Name a folder that can be written: data.data_dir=DIR (or TFDS_DATA_DIR in the environment)" in message
    assert where.strip().startswith(f"The traceback is in {stranger.own}/outputs/scenes/")
    assert not list(stranger.home.iterdir())


def test_a_run_with_a_data_folder_needs_no_home(stranger):
    command = [o for o in tiny_scene_texts("captioning", stranger.own / "data") if "wandb" not in o]
    done = stranger.train(*command, "trainer.steps=1", "sinks.wandb.mode=offline")
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = (stranger.own / "outputs/scenes_captioning").iterdir()
    assert json.loads((folder / "summary.json").read_text())["state"] == "finished"
    assert list((folder / "wandb").glob("offline-run-*/*.wandb")) and "wandb sync" in done.stdout
    assert not list(stranger.home.iterdir()) and {p.name for p in stranger.own.iterdir()} == {"data", "outputs"}
