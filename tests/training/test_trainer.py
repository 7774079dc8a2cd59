"""A run that is stopped at any of its moments and gone on with, against one that nobody stopped: the same bits. In one
process, on a task that trains in a blink; `tests/test_resume.py` has the real thing.
"""

import functools
import json
import signal

import keras
import numpy as np
import pytest

from tests.training.tiny import tiny_batch, tiny_task
from vitcross.sinks.local_files import LocalFiles, count_rows
from vitcross.sinks.sink import FanOut
from vitcross.tasks.evaluation import evaluate
from vitcross.training.callbacks import EvaluationSplit
from vitcross.training.checkpoint import check_fits, load_network, read_progress
from vitcross.training.checkpoints import Checkpoints
from vitcross.training.guards import Interrupted, StopOnSignal
from vitcross.training.optimizer import adamw, lion, schedule_free_adamw
from vitcross.training.trainer import Trainer, TrainerSettings

STEPS, INTERVAL, LOG, BATCH = 23, 5, 3, 11
MOMENTS = ("batch", "row", "validation", "validated", "capture", "epoch end", "train end")


class Stop(Exception):
    """What nobody expects."""


class Bomb:
    """Raises at the n-th time that a moment is reached."""

    def __init__(self, moment=None, number=0, reason=Stop):
        self.moment, self.left, self.reason = moment, number, reason

    def __call__(self, moment):
        if moment == self.moment:
            self.left -= 1
            if self.left == 0:
                raise self.reason


class Watcher(keras.callbacks.Callback):
    """As the attention maps: rows at some steps and at the end, a state that grows, and what may fail anywhere."""

    state_name = "watcher"

    def __init__(self, sink, bomb):
        super().__init__()
        self.sink, self.bomb, self.seen, self.kept = sink, bomb, [], {}

    def state(self):
        return self.kept

    def load_state(self, state):
        self.kept, self.seen = state, state["seen"].tolist() if state else []

    def _look(self):
        step = int(self.model.optimizer.iterations.value)
        self.seen.append(step)
        self.bomb("capture")
        self.sink.scalars(step, {"watched": float(np.sum(self.seen))})
        self.bomb("capture")
        self.kept = {"seen": np.array(self.seen), "count": len(self.seen)}

    def on_train_batch_end(self, batch, logs=None):
        step = int(self.model.optimizer.iterations.value)
        if step in (2, 5, 9, 15) and step not in self.seen:
            self._look()

    def on_epoch_end(self, epoch, logs=None):
        self.bomb("epoch end")

    def on_train_end(self, logs=None):
        self.bomb("train end")
        self._look()


class Sink(FanOut):
    def __init__(self, files, bomb, rows):
        super().__init__([files], rows=rows)
        self.bomb = bomb

    def scalars(self, step, values):
        self.bomb("row")
        super().scalars(step, values)


def batches(start_position, bomb):
    import tensorflow as tf

    def draw():
        number = start_position // BATCH
        while True:
            bomb("batch")
            yield tiny_batch(BATCH, seed=number)
            number += 1

    first = tiny_batch(BATCH)
    spec = {key: tf.TensorSpec(value.shape, value.dtype) for key, value in first.items()}
    return tf.data.Dataset.from_generator(draw, output_signature=spec)


class Splits:
    def __init__(self, bomb):
        self.bomb = bomb

    def __call__(self):
        self.bomb("validation")
        yield tiny_batch(BATCH, seed=1000)
        self.bomb("validated")


def train(folder, bomb, make=adamw, **settings):
    """Begin a run in `folder`, or go on with it."""
    task = tiny_task()
    optimizer = make(model=task.network, total_steps=STEPS, learning_rate=0.01, warmup_steps=2)
    checkpoints = Checkpoints(folder / "checkpoints", monitor=f"accuracy{optimizer.metric_suffix or ''}")
    found = checkpoints.newest(count_rows(folder))
    progress = read_progress(found) if found else None
    step, rows = (progress.step, progress.rows) if progress else (0, 0)
    sink = Sink(LocalFiles(run_folder=folder, resume_from=(step, rows)), bomb, rows)
    with StopOnSignal() as stop_on_signal:
        rhythm = {"evaluate_every": INTERVAL, "log_every": LOG, "checkpoint_every": 4, "class_names": ("a", "b", "c")}
        trainer = Trainer(
            TrainerSettings(
                total_steps=STEPS, batch_size=BATCH, jit_compile=False, started=0.0, **{**rhythm, **settings}
            ),
            task=task,
            optimizer=optimizer,
            batches=lambda start_position: batches(start_position, bomb),
            validation_splits=[EvaluationSplit(name="validation", batches=Splits(bomb))],
            checkpoints=checkpoints,
            sink=sink,
            callbacks=[Watcher(sink, bomb)],
            stop_on_signal=stop_on_signal,
        )
        if found:
            trainer.load(found)
        try:
            trainer.fit()
        finally:
            sink.close({}, 0)
    return trainer


def rows(folder):
    table = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.startswith("speed/")} for row in table]


def contents(folder):
    """The bytes of the last and the best checkpoint."""
    index = json.loads((folder / "checkpoints/index.json").read_text())
    files = [path for name in ("latest", "best") for path in (folder / "checkpoints" / index[name]).iterdir()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files} | {"index": index}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    train(folder, Bomb())
    return folder


def test_rows_are_means_since_the_last_row_and_end_with_each_interval(undisturbed):
    table = rows(undisturbed)
    assert [row["step"] for row in table if "train/loss" in row] == [1, 3, 5, 6, 9, 10, 12, 15, 18, 20, 21, 23]
    assert [row["step"] for row in table if "val/loss" in row] == [5, 10, 15, 20, 23]
    assert [row["step"] for row in table if "watched" in row] == [2, 5, 9, 15, 23]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_stopped_anywhere_and_resumed_is_the_same_run(undisturbed, tmp_path, moment):
    # Stopped three times, each time for another reason and later; then left alone.
    reasons = [Stop(), OSError(5, "gone"), Interrupted(signal.SIGTERM)]
    stops = 0
    for number, reason in enumerate(reasons, start=1):
        if moment == "batch":  # another thread reads the data; a signal reaches the main one only
            reason = Stop()
        try:
            train(tmp_path, Bomb(moment, number, reason))
        except (Interrupted, Exception):  # TensorFlow makes an error of its own of one in the data
            stops += 1
    train(tmp_path, Bomb())
    assert stops >= (1 if moment == "train end" else 2)
    assert rows(tmp_path) == rows(undisturbed)
    assert contents(tmp_path) == contents(undisturbed)


WITH_AVERAGE = {"ema": functools.partial(adamw, ema_steps=5), "schedule_free": schedule_free_adamw}


@pytest.mark.parametrize("kind", WITH_AVERAGE)
def test_runs_with_an_average_that_stop_early_are_resumed_too(tmp_path, kind):
    options = {"make": WITH_AVERAGE[kind], "early_stopping": 10}
    train(tmp_path / "whole", Bomb(), **options)
    assert rows(tmp_path / "whole")[-1]["step"] == 15  # the first value stays the best: all are right from step 5 on
    validated = [row for row in rows(tmp_path / "whole") if "val/loss" in row]
    assert all(
        ("val/loss_ema" in row and row["val/loss_ema"] != row["val/loss"]) == (kind == "ema") for row in validated
    )
    # In an evaluation of the trained weights and of their average, after the last of them, and at the very end.
    stops = 0
    moments = [("validation", 2, Stop()), ("validated", 2, Interrupted(signal.SIGTERM)), ("epoch end", 1, Stop())]
    for moment, count, reason in [*moments, ("train end", 1, Stop())]:
        try:
            train(tmp_path / "cut", Bomb(moment, count, reason), **options)
        except (Stop, Interrupted):
            stops += 1
    assert stops >= 3
    train(tmp_path / "cut", Bomb(), **options)
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_patience_is_checked_only_at_validations(tmp_path):
    """Steps 5, 10, 15, ... are validated: patience of 7 is over at 12, and is told at 15, also after a stop at 13."""
    train(tmp_path / "whole", Bomb(), early_stopping=7)
    with pytest.raises(Exception, match="stop"):  # a checkpoint of step 12 is there
        train(tmp_path / "cut", Bomb("batch", 14, RuntimeError("stop")), early_stopping=7)
    train(tmp_path / "cut", Bomb(), early_stopping=7)
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole") and contents(tmp_path / "cut") == contents(
        tmp_path / "whole"
    )
    assert rows(tmp_path / "whole")[-1]["step"] == 15


def test_an_average_added_on_resume_starts_at_the_weights(tmp_path):
    with pytest.raises(Exception, match="stop"):
        train(tmp_path, Bomb("batch", 9, RuntimeError("stop")))
    trainer = train(tmp_path, Bomb(), make=WITH_AVERAGE["ema"])
    assert "val/loss_ema" in rows(tmp_path)[-2] or "val/loss_ema" in rows(tmp_path)[-1]
    assert trainer.step == STEPS


def test_a_checkpoint_of_another_optimizer_is_refused_before_any_change(tmp_path):
    with pytest.raises(Exception, match="stop"):
        train(tmp_path, Bomb("batch", 9, RuntimeError("stop")))
    folder = Checkpoints(tmp_path / "checkpoints").path("latest")
    network = tiny_task().network
    check_fits(network, adamw(model=network, total_steps=9, learning_rate=0.1, warmup_steps=0, ema_steps=3), folder)
    with pytest.raises(ValueError, match="optimizer and optimizer.frozen cannot change"):
        check_fits(network, lion(model=network, total_steps=9, learning_rate=0.1, warmup_steps=0), folder)
    other = tiny_task(num_classes=5).network
    with pytest.raises(ValueError, match="does not fit this model.*head/kernel"):
        check_fits(other, adamw(model=other, total_steps=9, learning_rate=0.1, warmup_steps=0), folder)


@pytest.mark.parametrize("kind", WITH_AVERAGE)
def test_the_average_is_saved_for_prediction(tmp_path, kind):
    trainer = train(tmp_path, Bomb(), make=WITH_AVERAGE[kind])
    suffix = {"ema": "_ema", "schedule_free": ""}[kind]
    last = [row for row in rows(tmp_path) if "val/loss" in row][-1]
    other = tiny_task()
    load_network(other.network, trainer.checkpoints.path("latest"))
    batch = tiny_batch(BATCH, seed=1000)
    assert float(evaluate(other, [batch])["loss"]) == last[f"val/loss{suffix}"]
    assert float(evaluate(trainer.task, [batch])["loss"]) != last[f"val/loss{suffix}"]


def test_stopped_once_in_the_middle_of_an_interval_between_two_rows(undisturbed, tmp_path):
    with pytest.raises(Exception, match="stop"):
        train(tmp_path, Bomb("batch", 8, RuntimeError("stop")))
    train(tmp_path, Bomb())
    assert rows(tmp_path) == rows(undisturbed) and contents(tmp_path) == contents(undisturbed)


def test_a_full_disk_costs_checkpoints_but_the_last_one_must_be_written(undisturbed, tmp_path, monkeypatch, capsys):
    from vitcross.training import checkpoints

    def full(folder, *arguments, **options):
        raise OSError(28, "No space left on device", str(folder))

    with monkeypatch.context() as patch:
        train_until = checkpoints.write_checkpoint

        def full_after_the_first(folder, *arguments, **options):
            (full if list(folder.parent.glob("step_*")) else train_until)(folder, *arguments, **options)

        patch.setattr(checkpoints, "write_checkpoint", full_after_the_first)
        with pytest.raises(RuntimeError, match="step 23 could not be written.*last good one is step_00000004.*resume="):
            train(tmp_path, Bomb())
    assert capsys.readouterr().out.count("Training continues") == 1
    train(tmp_path, Bomb())
    assert rows(tmp_path) == rows(undisturbed) and contents(tmp_path) == contents(undisturbed)


def test_checkpoints_by_minutes(tmp_path):
    trainer = train(tmp_path, Bomb(), checkpoint_every=None, checkpoint_minutes=1e-9)
    assert trainer.checkpoints.keep == 2
    names = sorted(path.name for path in (tmp_path / "checkpoints").glob("step_*"))
    assert {"step_00000022", "step_00000023"} <= set(names)
