"""A run that meets a SIGTERM in its validation, a NaN and a damaged checkpoint ends as if nothing had happened."""

import json
import os
import signal

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.bad_days.faults import NAN_AT
from tests.killing import differences, tiny_classifier, wait_for_step

RHYTHM = ["trainer.steps=13", "trainer.evaluate_every=6", "trainer.checkpoint_every=3", "data.validation_examples=1499"]


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    overrides = [o for o in tiny_classifier(tmp_path_factory.mktemp("data")) if "validation_examples" not in o]
    return [*overrides, *RHYTHM]


@pytest.fixture(scope="module")
def undisturbed(runs, command, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    log = folder.with_suffix(".log")
    assert runs.run(*command, f"hydra.run.dir={folder}", log=log) == 0, log.read_text()
    return folder


def checkpoints(folder):
    return sorted(path.name for path in (folder / "checkpoints").glob("step_*"))


def steps_of(folder, key):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [row["step"] for row in map(json.loads, lines) if key in row]


def test_it_ends_as_if_nothing_had_happened(runs, command, undisturbed, tmp_path):
    folder, log = tmp_path / "run", tmp_path / "run.log"

    # SIGTERM in a validation: the row of the interval's last training step is there, that of the validation is not.
    process = runs.start(*command, f"hydra.run.dir={folder}", log=log)
    assert wait_for_step(folder, 6, process)
    os.kill(process, signal.SIGTERM)
    assert runs.finish() == 128 + signal.SIGTERM, log.read_text()
    assert steps_of(folder, "train/loss")[-1] == 6 and steps_of(folder, "val/loss") == []
    assert json.loads((folder / "summary.json").read_text())["state"] == "interrupted by SIGTERM at step 6"
    assert checkpoints(folder)[-1] == "step_00000006"

    # A pixel that is not a number: no update is made of it, and what is on disk is what was there before.
    fault = "tests.bad_days.faults:nan_in_the_images"
    assert runs.run(f"resume={folder}", log=log, fault=fault) == 1
    message = log.read_text()[log.read_text().rindex("vitcross: ") :]
    assert f"the loss is not finite at step {NAN_AT}" in message and "optimizer.learning_rate" in message
    assert "Traceback" not in message
    assert steps_of(folder, "val/loss") == [6]  # the validation that was interrupted was made up for
    assert checkpoints(folder) == ["step_00000006", "step_00000009"]
    for name in checkpoints(folder):
        arrays = load_file(folder / "checkpoints" / name / "weights.safetensors")
        assert all(np.isfinite(array).all() for array in arrays.values())

    # The newest checkpoint is damaged: the one before it serves.
    weights = folder / "checkpoints/step_00000009/weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 4
    weights.write_bytes(content)
    assert runs.run(f"resume={folder}", log=log) == 0, log.read_text()
    assert "step_00000009 cannot be used and is deleted: weights.safetensors is damaged" in log.read_text()
    assert f"resume      at step 6, from {folder / 'checkpoints/step_00000006'}" in log.read_text()
    assert differences(undisturbed, folder) == []
