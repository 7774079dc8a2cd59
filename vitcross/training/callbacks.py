"""Keras callbacks that log metrics, validate, write checkpoints and end training.

Callbacks whose state a resumed run needs have `state()` and `load_state()` (`vitcross.training.progress`).
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import keras

from vitcross import metric_keys
from vitcross.tasks.evaluation import evaluate
from vitcross.training.averages import averaged_weights_in_use
from vitcross.training.guards import inner_optimizer, optimizer_step
from vitcross.training.progress import INTERVAL_END, NOTHING


def ends_interval(callback, batch):
    """Whether this batch, which a callback was just called for, is the last one before a validation."""
    return batch + 1 == callback.params["steps"] or callback.model.stop_training


class MetricRows(keras.callbacks.Callback):
    """Sends the means of the training metrics since the previous row to the sinks, every `every` steps and at the end
    of each interval. `speed/images_per_second` counts only the time of training steps.
    """

    state_name = "rows"

    def __init__(self, *, sink, every, batch_size):
        super().__init__()
        self.sink, self.every, self.batch_size = sink, every, batch_size
        self.first_step_at = None
        self.seconds, self.images = 0.0, 0
        self._row_seconds, self._row_steps = 0.0, 0
        self._last_row = None

    def state(self):
        return {"last_row": self._last_row}

    def load_state(self, state):
        self._last_row = state["last_row"]

    def on_train_batch_begin(self, batch, logs=None):
        # Keras fetches the batch inside the step, so waiting for data counts.
        self._began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if self.first_step_at is None:
            self.first_step_at = now  # this step also traced and compiled, which says nothing about speed
        else:
            self._row_seconds += now - self._began
            self._row_steps += 1
        step = optimizer_step(self.model.optimizer)
        if step % self.every == 0 or step == 1 or ends_interval(self, batch):
            self._write(step, logs or {})

    def on_epoch_end(self, epoch, logs=None):
        # Keras resets the means at the start of each interval.
        self._write(optimizer_step(self.model.optimizer), logs or {})

    def _write(self, step, logs):
        if step in (0, self._last_row):
            return
        optimizer = self.model.optimizer
        values = {
            **{metric_keys.train(name): float(value) for name, value in logs.items()},
            metric_keys.LEARNING_RATE: float(optimizer.learning_rate),
            metric_keys.GRADIENT_NORM: float(inner_optimizer(optimizer).gradient_norm.value),
        }
        if self._row_seconds:
            values[metric_keys.IMAGES_PER_SECOND] = self._row_steps * self.batch_size / self._row_seconds
        self.seconds += self._row_seconds
        self.images += self._row_steps * self.batch_size
        self._row_seconds, self._row_steps = 0.0, 0
        self.sink.scalars(step, values)
        self._last_row = step
        self.model.reset_metrics()

    @property
    def images_per_second(self):
        """Mean over all steps but the first; None before the second."""
        return self.images / self.seconds if self.seconds else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationSplit:
    """A data split that is evaluated during training.

    Args:
        name: str; the metric names of all splits but `validation` end in `_<name>`.
        batches: callable without arguments, returns the finite iterable of evaluation batches.
        references: ground truth of the split's examples (`vitcross.data`), for tasks whose truth is no array; or None.
    """

    name: str
    batches: Callable[[], Any]
    references: Any = None

    def metrics(self, task, suffix=""):
        """Scalar metrics of the split, dict of float; `suffix` is appended to each name."""
        suffix = suffix if self.name == "validation" else f"_{self.name}{suffix}"
        values = evaluate(task, self.batches(), self.references)
        return {f"{name}{suffix}": value for name, value in values.items()}


class Validation(keras.callbacks.Callback):
    """Evaluates the validation splits at the end of each interval and sends the metrics to the sink.

    An average of the weights, if the optimizer keeps one, is evaluated separately.

    Args:
        splits: sequence of `EvaluationSplit`.
        optimizer: `vitcross.training.optimizer`.

    Attributes:
        latest: dict of float, the metrics of the last evaluation.
    """

    state_name = "validation"

    def __init__(self, *, sink, splits, optimizer):
        super().__init__()
        self.sink, self.splits = sink, splits
        self.metric_suffix = optimizer.metric_suffix
        self.with_average = averaged_weights_in_use(optimizer)
        self.latest = {}
        self.seconds = 0.0

    def state(self):
        return {"latest": self.latest}

    def load_state(self, state):
        self.latest = state["latest"]

    def on_train_begin(self, logs=None):
        self._tell_task()

    def on_epoch_end(self, epoch, logs=None):
        began = time.perf_counter()
        step = optimizer_step(self.model.optimizer)
        latest = {}
        if self.metric_suffix != "":
            latest |= self._evaluate("")
        if self.metric_suffix is not None:
            with self.with_average:
                latest |= self._evaluate(self.metric_suffix)
        self.latest = latest
        self._tell_task()
        self.sink.scalars(step, {metric_keys.val(name): value for name, value in self.latest.items()})
        self.seconds += time.perf_counter() - began

    def _tell_task(self):
        """A task may predict by what its last validation found, e.g. a threshold."""
        if hasattr(self.model, "use_validation"):
            self.model.use_validation(self.latest)

    def _evaluate(self, suffix):
        return {name: value for split in self.splits for name, value in split.metrics(self.model, suffix).items()}


class EarlyStopping(keras.callbacks.Callback):
    """Ends `fit` after a validation if the monitored metric has not improved for `patience` steps.

    It comes after validation and before the checkpoint is written.

    Args:
        checkpoints: `vitcross.training.checkpoints.Checkpoints`.
        validation: `Validation`.
        patience: int, steps.
        report: callable of one str.
    """

    state_name = "early_stopping"

    def __init__(self, *, checkpoints, validation, patience, report=print):
        super().__init__()
        self.checkpoints, self.validation, self.patience = checkpoints, validation, patience
        self._report = report
        self._best, self._best_step, self._stopped = None, 0, False

    def state(self):
        return {"best": self._best, "best_step": self._best_step, "stopped": self._stopped}

    def load_state(self, state):
        self._best, self._best_step, self._stopped = state["best"], state["best_step"], state["stopped"]

    def on_train_begin(self, logs=None):
        # The run may have been killed after it had stopped and written its last checkpoint.
        self.model.stop_training = self.model.stop_training or self._stopped

    def on_epoch_end(self, epoch, logs=None):
        value, step = self.validation.latest[self.checkpoints.monitor], optimizer_step(self.model.optimizer)
        if self.checkpoints.is_better(value, self._best):
            self._best, self._best_step = value, step
        if self._best is None or step - self._best_step < self.patience or self.model.stop_training:
            return
        self._stopped = self.model.stop_training = True
        self._report(
            f"early stopping at step {step}: {metric_keys.val(self.checkpoints.monitor)} has not been better than "
            f"{self._best:.4g} since step {self._best_step}"
        )


class KeepCheckpoints(keras.callbacks.Callback):
    """Writes checkpoints at the end of each interval, and in between every `checkpoint_every` steps and
    `checkpoint_minutes` minutes.

    It comes after all callbacks with a state, so that the step is complete. If the disk is full, training continues
    without the checkpoint; the run fails only if its last checkpoint cannot be written.

    Args:
        settings: `vitcross.training.trainer.TrainerSettings`.
        checkpoints: `vitcross.training.checkpoints.Checkpoints`.
        position: `vitcross.training.progress.ProgressTracker`.
        validation: `Validation`, whose metrics decide which checkpoint is the best.
        sink: has `flush()`; rows must be on disk before a checkpoint counts them.
        report: callable of one str, shows a warning.
        clock: callable without arguments, seconds.
    """

    def __init__(self, settings, *, checkpoints, position, validation, sink, report=print, clock=time.monotonic):
        super().__init__()
        self.settings, self.checkpoints, self.position = settings, checkpoints, position
        self.validation, self.sink = validation, sink
        self.seconds = 0.0
        self._report, self._clock = report, clock
        self._saved_at = None
        self._failed = False

    def on_train_begin(self, logs=None):
        self._saved_at = self._clock()

    def on_train_batch_end(self, batch, logs=None):
        if ends_interval(self, batch):
            self.position.mark(INTERVAL_END)
            return
        self.position.mark(NOTHING)
        if self._is_due(optimizer_step(self.model.optimizer)):
            self._save_if_possible(None, is_last=False)

    def on_epoch_end(self, epoch, logs=None):
        self.position.mark(NOTHING)
        is_last = self.model.stop_training or optimizer_step(self.model.optimizer) >= self.settings.total_steps
        self._save_if_possible(self.validation.latest, is_last=is_last)

    def save(self, metrics=None):
        """Write a checkpoint of the last consistent state.

        Raises:
            OSError: if it cannot be written, e.g. because the disk is full.
        """
        progress = self.position.now()
        if progress.step > 0:
            self.sink.flush()
            self.checkpoints.save(self.model, progress=progress, metrics=metrics, class_names=self.settings.class_names)

    def _is_due(self, step):
        every, minutes = self.settings.checkpoint_every, self.settings.checkpoint_minutes
        minutes_since = (self._clock() - self._saved_at) / 60
        return (every and step % every == 0) or (minutes is not None and minutes_since >= minutes)

    def _save_if_possible(self, metrics, is_last):
        began = time.perf_counter()
        try:
            self.save(metrics)
            self._failed = False
        except OSError as error:
            step = optimizer_step(self.model.optimizer)
            kept = self.checkpoints.index["latest"] or "none so far"
            text = f"the checkpoint of step {step} could not be written ({error}); the last good one is {kept}"
            if is_last:
                raise RuntimeError(f"{text}. Free some disk space, then continue with resume=RUN_FOLDER") from error
            if not self._failed:  # reported once, not at every attempt
                self._report(f"warning: {text}. Training continues, without checkpoints until they can be written")
            self._failed = True
        self._saved_at = self._clock()
        self.seconds += time.perf_counter() - began


class StopAfter(keras.callbacks.Callback):
    """Ends `fit` after `steps` updates, even in the middle of an interval."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_train_batch_end(self, batch, logs=None):
        if optimizer_step(self.model.optimizer) >= self.steps:
            self.model.stop_training = True
