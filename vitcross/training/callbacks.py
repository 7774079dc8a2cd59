"""What happens beside the training steps: rows of metrics, validation, checkpoints. Each callback does one thing."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import keras

from vitcross.evaluation import evaluate
from vitcross.training.guards import guard_of, updates


class MetricRows(keras.callbacks.Callback):
    """Hands a row of training metrics to the sinks every `every` steps, and at the end of each interval: means since
    the previous row.

    `speed/images_per_second` counts the time of the training steps alone; validation and captures have their own
    (`time/...` in the summary).
    """

    def __init__(self, *, sink, every, batch_size):
        super().__init__()
        self.sink, self.every, self.batch_size = sink, every, batch_size
        self.first_step_at = None
        self.seconds, self.images = 0.0, 0
        self._row_seconds, self._row_steps = 0.0, 0
        self._last_row = None

    def on_train_batch_begin(self, batch, logs=None):
        # Keras fetches the batch inside the step: waiting for data counts.
        self._began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if self.first_step_at is None:
            self.first_step_at = now  # it traced and compiled: not a speed
        else:
            self._row_seconds += now - self._began
            self._row_steps += 1
        step = updates(self.model.optimizer)
        if step % self.every == 0 or step == 1:
            self._write(step, logs or {})

    def on_epoch_end(self, epoch, logs=None):
        # Keras starts the means anew with each interval.
        self._write(updates(self.model.optimizer), logs or {})

    def _write(self, step, logs):
        if step in (0, self._last_row):
            return
        self._last_row = step
        optimizer = self.model.optimizer
        values = {
            **{f"train/{name}": float(value) for name, value in logs.items()},
            "optimizer/learning_rate": float(optimizer.learning_rate),
            "optimizer/gradient_norm": float(guard_of(optimizer).gradient_norm.value),
        }
        if self._row_seconds:
            values["speed/images_per_second"] = self._row_steps * self.batch_size / self._row_seconds
        self.seconds += self._row_seconds
        self.images += self._row_steps * self.batch_size
        self._row_seconds, self._row_steps = 0.0, 0
        self.model.reset_metrics()
        self.sink.scalars(step, values)

    @property
    def images_per_second(self):
        """Mean over the run without its first step; None before there is one."""
        return self.images / self.seconds if self.seconds else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationSplit:
    """A split that is evaluated while a model trains.

    Args:
        name: str; metrics of the split `validation` are logged as they are, those of another with `_<name>` behind.
        batches: callable without arguments, returns the finite iterable of evaluation batches.
        references: what is true of the split's examples (`vitcross.data`), for tasks whose truth is no array; or None.
    """

    name: str
    batches: Callable[[], Any]
    references: Any = None

    def metrics(self, task):
        """Scalar metrics of the split: dict of float."""
        suffix = "" if self.name == "validation" else f"_{self.name}"
        values = evaluate(task, self.batches(), self.references)
        return {f"{name}{suffix}": value for name, value in values.items()}


class Validation(keras.callbacks.Callback):
    """Evaluates the validation splits at the end of each interval, hands the metrics on and keeps a checkpoint.

    Args:
        splits: sequence of `EvaluationSplit`.
        checkpoints: `vitcross.training.checkpoint.Checkpoints`.
    """

    def __init__(self, *, sink, splits, checkpoints, class_names):
        super().__init__()
        self.sink, self.splits, self.checkpoints, self.class_names = sink, splits, checkpoints, class_names
        self.latest = {}
        self.seconds = 0.0

    def on_epoch_end(self, epoch, logs=None):
        began = time.perf_counter()
        step = updates(self.model.optimizer)
        self.latest = {name: value for split in self.splits for name, value in split.metrics(self.model).items()}
        self.sink.scalars(step, {f"val/{name}": value for name, value in self.latest.items()})
        self.checkpoints.save(self.model, step=step, metrics=self.latest, class_names=self.class_names)
        self.seconds += time.perf_counter() - began


class StopAfter(keras.callbacks.Callback):
    """Ends `fit` after a number of updates, also in the middle of an interval."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_train_batch_end(self, batch, logs=None):
        if updates(self.model.optimizer) >= self.steps:
            self.model.stop_training = True
