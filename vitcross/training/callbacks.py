"""What happens beside the training steps: rows of metrics, validation, checkpoints. Each callback does one thing."""

import time

import keras

from vitcross.evaluation import evaluate


class MetricRows(keras.callbacks.Callback):
    """Hands a row of training metrics to the sinks every `every` steps: means since the previous row.

    `speed/images_per_second` counts the time of the training steps alone; validation, captures and checkpoints have
    their own (`time/...` in the summary).
    """

    def __init__(self, *, sink, every, batch_size):
        super().__init__()
        self.sink, self.every, self.batch_size = sink, every, batch_size
        self.step = 0
        self.first_step_at = None
        self.seconds, self.images = 0.0, 0
        self._row_seconds, self._row_steps = 0.0, 0
        self._end_of_last = None

    def on_train_begin(self, logs=None):
        self.step = int(self.model.optimizer.iterations.value)

    def on_train_batch_begin(self, batch, logs=None):
        # Between the end of a step and the begin of the next one Keras fetches nothing: the batch is read inside.
        self._began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        self.step += 1
        if self.first_step_at is None:
            self.first_step_at = now  # it traced and compiled: not a speed
        else:
            self._row_seconds += now - self._began
            self._row_steps += 1
        if self.step % self.every == 0 or self.step == 1:
            self._write(logs or {})

    def _write(self, logs):
        optimizer = self.model.optimizer
        guard = getattr(optimizer, "inner_optimizer", optimizer)
        values = {
            **{f"train/{name}": float(value) for name, value in logs.items()},
            "optimizer/learning_rate": float(optimizer.learning_rate),
            "optimizer/gradient_norm": float(guard.gradient_norm.value),
        }
        if self._row_steps:
            values["speed/images_per_second"] = self._row_steps * self.batch_size / self._row_seconds
        self.seconds += self._row_seconds
        self.images += self._row_steps * self.batch_size
        self._row_seconds, self._row_steps = 0.0, 0
        self.model.reset_metrics()
        self.sink.scalars(self.step, values)

    @property
    def images_per_second(self):
        """Mean over the run without its first step; None before there is one."""
        return self.images / self.seconds if self.seconds else None


class Validation(keras.callbacks.Callback):
    """Evaluates the validation split at the end of each interval, hands the metrics on and keeps a checkpoint.

    Args:
        batches: callable without arguments, returns the finite iterable of evaluation batches.
        checkpoints: `vitcross.training.checkpoint.Checkpoints`.
    """

    def __init__(self, *, sink, batches, checkpoints, class_names):
        super().__init__()
        self.sink, self.batches, self.checkpoints, self.class_names = sink, batches, checkpoints, class_names
        self.latest = {}
        self.seconds = 0.0

    def on_epoch_end(self, epoch, logs=None):
        began = time.perf_counter()
        step = int(self.model.optimizer.iterations.value)
        self.latest = evaluate(self.model, self.batches())
        self.sink.scalars(step, {f"val/{name}": value for name, value in self.latest.items()})
        self.checkpoints.save(self.model, step=step, metrics=self.latest, class_names=self.class_names)
        self.seconds += time.perf_counter() - began


class StopAfter(keras.callbacks.Callback):
    """Ends `fit` after a number of updates, also in the middle of an interval."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations.value) >= self.steps:
            self.model.stop_training = True
