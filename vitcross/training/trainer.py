"""Trains a task with Keras `fit`: compiles it, orders the callbacks, and saves the state when a run ends early."""

import dataclasses
import math
import time

import keras

from vitcross import metric_keys
from vitcross.training.callbacks import EarlyStopping, KeepCheckpoints, MetricRows, StopAfter, Validation
from vitcross.training.checkpoint import load_training, read_progress
from vitcross.training.device import peak_memory_gigabytes
from vitcross.training.guards import Interrupted, NonFiniteError, StopOnNonFinite, optimizer_step
from vitcross.training.progress import BATCH_END, INTERVAL_END, ProgressTracker


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """Settings of the training loop; durations are in steps.

    Args:
        total_steps, evaluate_every, log_every: int.
        batch_size: int, for images/s and for the position in the data.
        jit_compile: bool, whether XLA compiles the step; explicit, since Keras's "auto" depends on the device.
        class_names: tuple of str, saved in the checkpoint.
        started: `time.perf_counter()` at the start of the process, for the time to the first step.
        checkpoint_every, checkpoint_minutes: checkpoints between two validations, in steps and minutes; or None.
        accumulate_steps: int, microbatches per batch (`vitcross.tasks.gradient_accumulation`).
        early_stopping: int, the run ends after so many steps without a better validation; None: never.
    """

    total_steps: int
    evaluate_every: int
    log_every: int
    batch_size: int
    jit_compile: bool
    class_names: tuple[str, ...]
    started: float
    checkpoint_every: int | None = None
    checkpoint_minutes: float | None = None
    accumulate_steps: int = 1
    early_stopping: int | None = None


class Trainer:
    """Trains a task and reports to the sinks.

    `fit` reads one endless iterator; what Keras calls an epoch is the interval between two validations. `fit` gets no
    validation data: `vitcross.tasks.evaluation` counts each example exactly once.

    Args:
        settings: `TrainerSettings`.
        task: `keras.Model` with loss and metrics (`vitcross.tasks`), built.
        optimizer: built optimizer with `vitcross.training.guards.FiniteUpdates`.
        batches: callable of `start_position`, the number of examples to skip; returns an endless iterable of training
            batches.
        validation_splits: sequence of `vitcross.training.callbacks.EvaluationSplit`, `validation` first.
        checkpoints: `vitcross.training.checkpoints.Checkpoints`.
        sink: receives scalars and media (`vitcross.sinks.sink.FanOut`).
        callbacks: further `keras.callbacks.Callback`s, e.g. the attention maps; called after validation.
        stop_on_signal: `vitcross.training.guards.StopOnSignal`, entered.
    """

    def __init__(
        self, settings, *, task, optimizer, batches, validation_splits, checkpoints, sink, callbacks, stop_on_signal
    ):
        self.settings, self.task, self.batches, self.checkpoints = settings, task, batches, checkpoints
        self.stop_on_signal = stop_on_signal
        self.timed_callbacks = [callback for callback in callbacks if hasattr(callback, "seconds")]
        self.rows = MetricRows(sink=sink, every=settings.log_every, batch_size=settings.batch_size)
        self.validation = Validation(sink=sink, splits=validation_splits, optimizer=optimizer)
        early = []
        if (patience := settings.early_stopping) is not None:
            early = [EarlyStopping(checkpoints=checkpoints, validation=self.validation, patience=patience)]
        self.position = ProgressTracker(sink=sink, callbacks=[self.rows, self.validation, *early, *callbacks])
        self.keep = KeepCheckpoints(
            settings, checkpoints=checkpoints, position=self.position, validation=self.validation, sink=sink
        )
        # Order: first the callbacks that may end training, then the row of the step, then those that only read the
        # weights, then checkpoints, last the one that may raise out of `fit`.
        self.callbacks = [
            StopOnNonFinite(),
            StopAfter(settings.total_steps),
            self.rows,
            self.position,
            self.validation,
            *early,
            *callbacks,
            self.keep,
            stop_on_signal,
        ]
        if (parts := settings.accumulate_steps) > 1 and not hasattr(task, "loss_weight"):
            raise ValueError(f"accumulate_steps must be 1 for {type(task).__name__}. Received: {parts}")
        task.accumulate_steps = parts
        task.compile(optimizer=optimizer, jit_compile=settings.jit_compile)

    @property
    def step(self):
        """Number of updates so far."""
        return optimizer_step(self.task.optimizer)

    def load(self, checkpoint):
        """Continue from a checkpoint folder as if the run had never stopped. Returns the step.

        Raises:
            ValueError: if it does not fit this model, task or optimizer.
        """
        load_training(self.task, checkpoint)
        self.position.load(read_progress(checkpoint))
        return self.step

    def fit(self):
        """Train to the end. If training fails or is interrupted, the current state is saved if possible.

        Raises:
            NonFiniteError: the current state is not saved, since moving statistics may contain values that are not
                finite; the last good checkpoint is kept.
            Interrupted: after the current state was saved.
        """
        callbacks = _OneTraining(self.callbacks, add_history=True, model=self.task)
        try:
            self.task.stop_training = False
            callbacks.set_params({"steps": self.settings.evaluate_every})
            callbacks.begin()
            self._replay_pending(callbacks)
            while self.step < self.settings.total_steps and not self.task.stop_training:
                self._fit_intervals(callbacks)
            callbacks.end()
        except NonFiniteError:
            raise
        except (Interrupted, Exception) as reason:
            self._save_after_failure(reason)
            raise

    def _replay_pending(self, callbacks):
        """Call the callbacks that were pending when the run was stopped."""
        pending, batches = self.position.last.pending, self.position.batches
        if pending == BATCH_END:
            logs = self.task.get_metrics_result()
            for callback in callbacks.callbacks:
                if callback not in (self.position, self.stop_on_signal):
                    callback.on_train_batch_end((batches - 1) % self.settings.evaluate_every, logs)
        if self.position.last.pending == INTERVAL_END:
            callbacks.on_epoch_end(batches // self.settings.evaluate_every, self.task.get_metrics_result())

    def _fit_intervals(self, callbacks):
        """Train to the end of an interval that has begun, else to the end of the run."""
        begun = self.position.batches % self.settings.evaluate_every
        steps = self.settings.evaluate_every - begun
        callbacks.set_params({"steps": steps})
        callbacks.keep_metrics(self.task)
        self.task.fit(
            self.batches(start_position=self.position.batches * self.settings.batch_size),
            epochs=1 if begun else math.ceil((self.settings.total_steps - self.step) / self.settings.evaluate_every),
            steps_per_epoch=steps,
            callbacks=callbacks,
            verbose=0,
            shuffle=False,
        )

    def _save_after_failure(self, reason):
        self.validation.with_average.restore()  # the exchange of weights may have been interrupted
        if self.position.in_step and not isinstance(reason, Interrupted):
            # TensorFlow may have updated what does not depend on the failed batch: counts, random states.
            reason.add_note(f"a step failed halfway: {self.checkpoints.index['latest'] or 'no checkpoint'} is kept")
            return
        try:
            self.keep.save()
        except OSError as error:  # e.g. a full disk, which must not hide why the run ended
            reason.add_note(f"the state of step {self.step} could not be saved: {error}")

    def figures(self):
        """The training's part of `summary.json`; available after an interruption too."""
        first = self.rows.first_step_at
        seconds = {
            "to_first_step": None if first is None else first - self.settings.started,
            "training_steps": self.rows.seconds,
            "validation": self.validation.seconds,
            "checkpoints": self.keep.seconds,
            "attention_maps": sum(callback.seconds for callback in self.timed_callbacks),
            "trust": sum(getattr(callback, "trust_seconds", 0.0) for callback in self.timed_callbacks),
            "total": time.perf_counter() - self.settings.started,
        }
        return {
            "steps": self.step,
            "parameters": int(self.task.network.count_params()),
            **{metric_keys.val(name): value for name, value in self.validation.latest.items()},
            "best/metric": metric_keys.val(self.checkpoints.monitor),
            "best/value": self.checkpoints.index.get("best_value"),
            "best/checkpoint": self.checkpoints.index["best"],
            metric_keys.IMAGES_PER_SECOND: self.rows.images_per_second,
            **{metric_keys.time(part): value for part, value in seconds.items()},
            metric_keys.PEAK_MEMORY: peak_memory_gigabytes(),
        }


class _OneTraining(keras.callbacks.CallbackList):
    """Callbacks of a run that calls Keras `fit` several times: training begins and ends only once for them, and metric
    means continue from one `fit` to the next."""

    begin = keras.callbacks.CallbackList.on_train_begin
    end = keras.callbacks.CallbackList.on_train_end
    _means = None

    def on_train_begin(self, logs=None):
        pass

    def on_train_end(self, logs=None):
        pass

    def keep_metrics(self, task):
        """Start the next interval with the current means."""
        self._means = [(v, v.numpy()) for v in task.metrics_variables]

    def on_epoch_begin(self, epoch, logs=None):
        for variable, value in self._means or ():  # Keras has just set them to zero
            variable.assign(value)
        self._means = None
        super().on_epoch_begin(epoch, logs)
