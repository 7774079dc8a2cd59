import json

import numpy as np
import pytest

from tests.training.tiny import endless, tiny_batch, tiny_task
from vitcross.training.checkpoint import load_network, load_training, problem_of, read_header, read_progress
from vitcross.training.checkpoints import Checkpoints
from vitcross.training.optimizer import adamw
from vitcross.training.progress import TrainingProgress


def at(step, rows=0, **callbacks):
    return TrainingProgress(step=step, batches=step, rows=rows, callbacks=callbacks)


@pytest.fixture
def task():
    task = tiny_task()
    task.compile(optimizer=adamw(model=task.network, total_steps=100, learning_rate=0.01, warmup_steps=0))
    task.fit(endless(tiny_batch()), steps_per_epoch=2, verbose=0)
    return task


def test_weights_come_back_bit_by_bit_into_a_network_of_another_name(task, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(task, progress=at(2), metrics={"accuracy": 0.5}, class_names=("a", "b", "c"))
    other = tiny_task(name="another")
    other.network.weights[0].assign(np.zeros((15, 3)))
    load_network(other.network, checkpoints.path("best"))
    for expected, actual in zip(task.network.weights, other.network.weights, strict=True):
        np.testing.assert_array_equal(expected.numpy(), actual.numpy())
    header = json.loads((checkpoints.path("best") / "checkpoint.json").read_text())
    assert {key: header[key] for key in ("version", "step", "metrics", "class_names")} == {
        "version": 2,
        "step": 2,
        "metrics": {"accuracy": 0.5},
        "class_names": ["a", "b", "c"],
    }


def test_latest_and_best_are_kept_and_a_new_process_knows_the_best(task, tmp_path):
    for step, accuracy in ((2, 0.5), (4, 0.9), (6, 0.7)):
        Checkpoints(tmp_path, keep=1).save(task, progress=at(step), metrics={"accuracy": accuracy})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["index.json", "step_00000004", "step_00000006"]
    assert Checkpoints(tmp_path).path("best").name == "step_00000004"
    assert Checkpoints(tmp_path).path("latest").name == "step_00000006"


def test_mode_min(task, tmp_path):
    checkpoints = Checkpoints(tmp_path, monitor="loss", mode="min")
    for step, loss in ((1, 0.5), (2, 0.4), (3, 0.6)):
        checkpoints.save(task, progress=at(step), metrics={"loss": loss})
    assert checkpoints.path("best").name == "step_00000002"


def test_a_failed_write_leaves_the_previous_checkpoint(task, tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(task, progress=at(2), metrics={"accuracy": 0.5})
    from vitcross import atomic_files

    def fail(path, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(atomic_files, "write_bytes", fail)
        checkpoints.save(task, progress=at(4), metrics={"accuracy": 0.9})
    load_network(tiny_task().network, Checkpoints(tmp_path).path("latest"))
    assert Checkpoints(tmp_path).path("latest").name == "step_00000002"


def test_a_checkpoint_of_another_model_is_refused_with_the_names(task, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(task, progress=at(2))
    with pytest.raises(ValueError, match="other shape: .*head/kernel"):
        load_network(tiny_task(num_classes=5).network, checkpoints.path("latest"))


def test_a_run_without_a_checkpoint_says_so(tmp_path):
    with pytest.raises(ValueError, match="holds no best checkpoint"):
        Checkpoints(tmp_path).path("best")


def test_the_last_ones_and_the_best_are_kept(task, tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=3)
    for step, accuracy in enumerate((0.1, 0.9, 0.2, 0.3, 0.4, 0.5), start=1):
        checkpoints.save(task, progress=at(step), metrics={"accuracy": accuracy})
    checkpoints.save(task, progress=at(7))  # between two validations: it is never the best
    assert sorted(int(p.name.removeprefix("step_")) for p in tmp_path.glob("step_*")) == [2, 5, 6, 7]
    assert checkpoints.path("latest").name == "step_00000007"


def test_optimizer_random_state_means_and_callbacks_are_restored(task, tmp_path):
    state = {"steps": np.array([0, 3]), "table_a/b": np.arange(6.0).reshape(2, 3), "last_row": 2, "best": None}
    path = Checkpoints(tmp_path).save(task, progress=at(2, rows=5, maps=state, rows_of={"last_row": 2}))
    task.reset_metrics()
    other = tiny_task()
    other.compile(optimizer=adamw(model=other.network, total_steps=100, learning_rate=0.01, warmup_steps=0))
    other.fit(endless(tiny_batch(seed=3)), steps_per_epoch=5, verbose=0)
    load_network(other.network, path)
    load_training(other, path)
    variables = [*task.network.weights, *task.optimizer.variables]
    for expected, actual in zip(variables, [*other.network.weights, *other.optimizer.variables], strict=True):
        np.testing.assert_array_equal(expected.numpy(), actual.numpy())
    assert float(other.metrics[0].count) == 2 * 11  # examples in the mean of the loss; the other run had more
    progress = read_progress(path)
    assert (progress.step, progress.batches, progress.rows, progress.pending) == (2, 2, 5, "nothing")
    assert progress.callbacks["rows_of"] == {"last_row": 2}
    found = progress.callbacks["maps"]
    assert found["last_row"] == 2 and found["best"] is None
    for key in ("steps", "table_a/b"):
        np.testing.assert_array_equal(found[key], state[key])


def test_equal_states_are_equal_bytes(task, tmp_path):
    paths = [Checkpoints(tmp_path / name).save(task, progress=at(2), metrics={"accuracy": 0.5}) for name in "ab"]
    for file in paths[0].iterdir():
        assert file.read_bytes() == (paths[1] / file.name).read_bytes()


def test_another_optimizer_is_refused(task, tmp_path):
    import keras

    path = Checkpoints(tmp_path).save(task, progress=at(2))
    other = tiny_task()
    other.compile(optimizer=keras.optimizers.SGD(0.1))
    with pytest.raises(ValueError, match="does not fit this task and optimizer.*left over: .*optimizer/"):
        load_training(other, path)


def tear(path, how):
    if how == "cut short":
        path.write_bytes(path.read_bytes()[:-7])
    elif how == "one bit":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.unlink()


@pytest.mark.parametrize("file", ["weights.safetensors", "training_state.safetensors", "checkpoint.json"])
@pytest.mark.parametrize("how", ["cut short", "one bit", "missing"])
def test_a_damaged_checkpoint_is_reported_and_the_previous_one_is_used(task, tmp_path, file, how):
    checkpoints = Checkpoints(tmp_path)
    for step, accuracy in ((2, 0.5), (4, 0.9)):
        checkpoints.save(task, progress=at(step), metrics={"accuracy": accuracy})
    tear(tmp_path / "step_00000004" / file, how)
    assert problem_of(tmp_path / "step_00000004") and problem_of(tmp_path / "step_00000002") is None
    told = []
    again = Checkpoints(tmp_path)
    assert again.newest(0, told.append).name == "step_00000002"
    assert len(told) == 1 and "step_00000004 cannot be used and is deleted" in told[0]
    assert again.path("best").name == again.path("latest").name == "step_00000002"
    assert again.index["best_value"] == 0.5


def test_a_checkpoint_that_counts_missing_rows_is_not_used(task, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step, rows in ((2, 3), (4, 6)):
        checkpoints.save(task, progress=at(step, rows=rows))
    told = []
    assert Checkpoints(tmp_path).newest(5, told.append).name == "step_00000002"
    assert "metrics.jsonl has 5 of the 6 rows" in told[0]


def test_the_index_is_rebuilt_from_the_folder(task, tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=3)
    for step, accuracy in ((2, 0.9), (4, 0.9), (6, 0.7)):
        checkpoints.save(task, progress=at(step), metrics={"accuracy": accuracy})
    index = (tmp_path / "index.json").read_bytes()
    (tmp_path / "index.json").write_text('{"latest": null, "best": null}')  # killed between rename and index
    again = Checkpoints(tmp_path, keep=3)
    assert again.newest(0).name == "step_00000006"
    assert (tmp_path / "index.json").read_bytes() == index and again.path("best").name == "step_00000002"


def test_leftovers_of_a_killed_process_are_removed(task, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(task, progress=at(2))
    (tmp_path / ".step_00000004.writing").mkdir()
    (tmp_path / "step_00000002").rename(tmp_path / ".step_00000002.replaced")  # between the two renames
    (tmp_path / ".index.json.abc.writing").write_text("{")
    assert Checkpoints(tmp_path).newest(0).name == "step_00000002"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["index.json", "step_00000002"]


@pytest.mark.parametrize("change", [{"version": 1}, {"seal": None}, {"more": 1}])
def test_a_header_of_another_version_or_without_its_seal_is_not_read(change, task, tmp_path):
    path = Checkpoints(tmp_path).save(task, progress=at(2))
    header = json.loads((path / "checkpoint.json").read_text())
    (path / "checkpoint.json").write_text(json.dumps(header | change))
    with pytest.raises(ValueError, match="this vitcross reads 2" if "version" in change else "is damaged"):
        read_header(path)
    assert problem_of(path)


def test_newest_is_none_without_a_usable_checkpoint(tmp_path):
    assert Checkpoints(tmp_path / "none").newest(0) is None and not (tmp_path / "none").exists()
