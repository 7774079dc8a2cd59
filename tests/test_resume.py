"""Runs in real processes that a signal ends, and that go on: the same bits as a run that nobody disturbed.

`test_resume_kills.py` does it more often, and on disks that fail.
"""

import json
import os
import signal

import pytest

from tests.killing import Runs, differences, tiny_classifier, wait_for_step
from tests.tiny_texts import tiny_scene_texts

RHYTHM = ["trainer.steps=11", "trainer.evaluate_every=4", "trainer.checkpoint_every=3"]


@pytest.fixture(scope="module")
def runs():
    with Runs() as started:
        yield started


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def undisturbed(runs, data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    log = folder.with_suffix(".log")
    assert runs.run(*tiny_classifier(data_dir), *RHYTHM, f"hydra.run.dir={folder}", log=log) == 0, log.read_text()
    return folder


def test_a_classifier_stopped_by_sigterm_and_killed_in_a_checkpoint_is_the_same_run(
    runs, undisturbed, data_dir, tmp_path
):
    folder, log = tmp_path / "run", tmp_path / "run.log"
    command = [*tiny_classifier(data_dir), *RHYTHM, f"hydra.run.dir={folder}"]
    process = runs.start(*command, log=log)
    assert wait_for_step(folder, 4, process)
    os.kill(process, signal.SIGTERM)
    assert runs.finish() == 128 + signal.SIGTERM, log.read_text()
    assert "SIGTERM" in json.loads((folder / "summary.json").read_text())["state"]
    # A folder in the middle of its rename, then the same command again instead of `resume`.
    assert runs.run(f"resume={folder}", log=log, die_in="checkpoints/.step_00000009.writing") == -signal.SIGKILL
    assert not (folder / "summary.json").exists()
    assert runs.run(*command, log=log) == 0, log.read_text()
    assert log.read_text().count("resume      at step") == 2
    assert differences(undisturbed, folder) == []
    assert json.loads((folder / "summary.json").read_text())["state"] == "finished"


def test_a_captioner_killed_in_a_capture_with_trust_is_the_same_run(runs, data_dir, tmp_path):
    whole, folder, log = tmp_path / "whole", tmp_path / "run", tmp_path / "run.log"
    command = [*tiny_scene_texts("captioning", data_dir), "trainer.steps=7", "trainer.evaluate_every=3"]
    command += ["attention_maps.captures=3", "model.text_decoder.dropout_rate=0.1", "data.texts_per_image=2"]
    assert runs.run(*command, f"hydra.run.dir={whole}", log=log) == 0, log.read_text()
    died = runs.run(*command, f"hydra.run.dir={folder}", log=log, die_in="attention/step_00000007/.self_heads")
    assert died == -signal.SIGKILL and (folder / "attention/step_00000007").is_dir()
    assert runs.run(f"resume={folder}", log=log) == 0, log.read_text()
    assert differences(whole, folder) == []
