"""Data that is prepared: by two runs at once, and by one that is interrupted."""

import json
import os
import signal
import subprocess
import sys
import time

from tests.killing import ROOT, rows, tiny_classifier
from vitcross.data import load


def start(*arguments, cwd):
    """A process in a session of its own, as in a terminal of its own: Ctrl-C reaches its children too."""
    command = [sys.executable, ROOT / "train.py", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=cwd, env=environment, start_new_session=True, **pipes)


def test_two_runs_of_one_second_prepare_one_data_set_and_keep_two_folders(tmp_path):
    command = [*tiny_classifier(tmp_path / "data"), "trainer.steps=2", "attention_maps=off"]
    both = [start(*command, cwd=tmp_path) for _ in range(2)]
    printed = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    assert sum("Rendering 80 scenes" in text for text in printed) >= 1
    first, second = (tmp_path / "outputs/scenes").iterdir()
    assert rows(first) == rows(second) and rows(first)[-1]["step"] == 2
    (version,) = (tmp_path / "data").glob("vitcross_scenes/*/*")  # nothing half made is left beside it
    assert version.name == "1.0.0"


def test_an_interrupted_preparation_leaves_nothing_half_made_and_resume_begins_anew(runs, tmp_path):
    folder, data = tmp_path / "run", tmp_path / "data"
    command = [o for o in tiny_classifier(data) if "train_examples" not in o]
    command += ["data.train_examples=1500", "trainer.steps=2", "attention_maps=off"]
    process = start(*command, f"hydra.run.dir={folder}", cwd=tmp_path)
    while not list(data.glob("vitcross_scenes/*/incomplete*/*")) and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    text = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + signal.SIGINT, text
    assert "vitcross: stopped by SIGINT\n" in text and "Traceback" not in text
    assert text.rstrip().endswith("train.py resume=run")
    assert not list(data.glob("vitcross_scenes/*/*"))

    log = tmp_path / "log"
    assert runs.run(f"resume={folder}", log=log) == 0, log.read_text()
    assert "no checkpoint: the run starts at step 0" in log.read_text()
    assert json.loads((folder / "summary.json").read_text())["steps"] == 2
    sizes = {"image_size": (32, 40), "train_examples": 1500, "validation_examples": 19, "test_examples": 13}
    assert len(load.scenes(data_dir=str(data), **sizes).train) == 1500
