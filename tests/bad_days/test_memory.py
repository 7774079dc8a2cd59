"""Memory that runs out: one message with what needs less. The limit is the system's own."""

import json
import os

import pytest

from tests.killing import tiny_classifier
from vitcross.training import out_of_memory

# The attention weights of one layer: 512 x 8 x 1025 x 1025 x 4 bytes = 16 GiB.
LARGE = ["data.batch_size=512", "data.image_size=32", "model=vision_transformer", "model.patch_size=1"]


def test_a_batch_that_does_not_fit_ends_with_one_message(runs, tmp_path):
    folder, log = tmp_path / "run", tmp_path / "log"
    changed = ("data.batch_size", "data.image_size", "model.num_heads", "model.depth", "data.augmentation")
    command = [o for o in tiny_classifier(tmp_path / "data") if not o.startswith(changed)]
    command += [
        *LARGE,
        "model.num_heads=8",
        "model.depth=1",
        "model.drop_path_rate=0",
        "trainer.steps=2",
        "attention_maps=off",
    ]
    fault = "tests.bad_days.faults:little_memory"
    assert runs.run(*command, f"hydra.run.dir={folder}", log=log, fault=fault) == 1, log.read_text()
    printed = log.read_text()
    message = printed[printed.rindex("vitcross: ") :]
    assert message.startswith("vitcross: memory ran out at a tensor of shape (512, 8, 1025, 1025). These need less: ")
    for key in ("data.batch_size", "trainer.accumulate_steps", "data.image_size", "trainer.dtype_policy"):
        assert key in message
    assert len(message.splitlines()) <= 3 and "Traceback" not in printed
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["exit_code"] == 1 and summary["state"].startswith("failed at step 0: OutOfMemory: memory ran out")
    assert "ResourceExhaustedError" in (folder / "traceback.txt").read_text()  # with the operation, for who asks


def test_numpy_is_understood_too_and_other_errors_stay_as_they_are():
    import numpy as np

    with pytest.raises(MemoryError) as caught:
        np.empty((2**31, 2**27))
    assert "memory ran out at a tensor of shape (2147483648, 134217728)" in str(
        out_of_memory.as_out_of_memory(caught.value)
    )
    for error in (ValueError("a full stop"), OSError(28, os.strerror(28))):
        assert out_of_memory.as_out_of_memory(error) is error


def test_a_full_disk_is_not_taken_for_full_memory():
    import tensorflow as tf

    with tf.io.TFRecordWriter("/dev/full") as file, pytest.raises(tf.errors.ResourceExhaustedError) as caught:
        file.write(b"x" * 2**20)
        file.flush()
    assert "No space left" in str(caught.value) and out_of_memory.as_out_of_memory(caught.value) is caught.value
