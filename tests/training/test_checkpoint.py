import json

import numpy as np
import pytest

from tests.training.tiny import endless, tiny_batch, tiny_task
from vitcross.training.checkpoint import Checkpoints, load_network
from vitcross.training.optimizer import adamw


@pytest.fixture
def task():
    task = tiny_task()
    task.compile(optimizer=adamw(model=task.network, total_steps=100, learning_rate=0.01, warmup_steps=0))
    task.fit(endless(tiny_batch()), steps_per_epoch=2, verbose=0)
    return task


def test_weights_come_back_bit_by_bit_into_a_network_of_another_name(task, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(task, step=2, metrics={"accuracy": 0.5}, class_names=("a", "b", "c"))
    other = tiny_task(name="another")
    other.network.weights[0].assign(np.zeros((15, 3)))
    load_network(other.network, checkpoints.path("best"))
    for expected, actual in zip(task.network.weights, other.network.weights, strict=True):
        np.testing.assert_array_equal(expected.numpy(), actual.numpy())
    header = json.loads((checkpoints.path("best") / "checkpoint.json").read_text())
    assert header == {"version": 1, "step": 2, "metrics": {"accuracy": 0.5}, "class_names": ["a", "b", "c"]}


def test_keeps_latest_and_best_and_remembers_the_best_in_a_new_process(task, tmp_path):
    for step, accuracy in ((2, 0.5), (4, 0.9), (6, 0.7)):
        Checkpoints(tmp_path).save(task, step=step, metrics={"accuracy": accuracy})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["index.json", "step_00000004", "step_00000006"]
    assert Checkpoints(tmp_path).path("best").name == "step_00000004"
    assert Checkpoints(tmp_path).path("latest").name == "step_00000006"


def test_mode_min(task, tmp_path):
    checkpoints = Checkpoints(tmp_path, monitor="loss", mode="min")
    for step, loss in ((1, 0.5), (2, 0.4), (3, 0.6)):
        checkpoints.save(task, step=step, metrics={"loss": loss})
    assert checkpoints.path("best").name == "step_00000002"


def test_a_write_that_fails_leaves_the_last_checkpoint(task, tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(task, step=2, metrics={"accuracy": 0.5})
    from vitcross import atomic_files

    def fail(path, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(atomic_files, "write_bytes", fail)
        checkpoints.save(task, step=4, metrics={"accuracy": 0.9})
    load_network(tiny_task().network, Checkpoints(tmp_path).path("latest"))
    assert Checkpoints(tmp_path).path("latest").name == "step_00000002"


def test_a_checkpoint_of_another_model_is_refused_with_the_names(task, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(task, step=2)
    with pytest.raises(ValueError, match="other shape: .*head/kernel"):
        load_network(tiny_task(num_classes=5).network, checkpoints.path("latest"))


def test_a_run_without_a_checkpoint_says_so(tmp_path):
    with pytest.raises(ValueError, match="holds no best checkpoint"):
        Checkpoints(tmp_path).path("best")
