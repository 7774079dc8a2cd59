"""Keras `fit` under a thin trainer: compile, the order of the callbacks, and how a run ends."""

import math
import time

from vitcross.training.callbacks import MetricRows, StopAfter, Validation
from vitcross.training.device import peak_memory_gigabytes
from vitcross.training.guards import Interrupted, NonFiniteError, StopOnNonFinite, updates


class Trainer:
    """Trains a task and reports to the sinks.

    One endless iterator runs through the whole of `fit`; what Keras calls an epoch is the interval between two
    validations. `fit` gets no validation data: `vitcross.evaluation` counts each example exactly once.

    Args:
        task: `keras.Model` with loss and metrics (`vitcross.tasks`), built.
        optimizer: built optimizer with `vitcross.training.guards.FiniteUpdates`.
        batches: endless iterable of training batches.
        validation_splits: sequence of `vitcross.training.callbacks.EvaluationSplit`, `validation` first.
        total_steps, evaluate_every, log_every: in steps.
        batch_size: for images/s.
        checkpoints: `vitcross.training.checkpoint.Checkpoints`.
        sink: receives scalars and media (`vitcross.sinks.sink.Sink`).
        callbacks: further `keras.callbacks.Callback`s, e.g. the attention maps; called after validation.
        stop_on_signal: `vitcross.training.guards.StopOnSignal`, entered.
        jit_compile: whether XLA compiles the step; explicit, since Keras's "auto" depends on the device.
        class_names: tuple of str, kept in the checkpoint.
        started: `time.perf_counter()` at the start of the process, for the time to the first step.
    """

    def __init__(
        self,
        *,
        task,
        optimizer,
        batches,
        validation_splits,
        total_steps,
        evaluate_every,
        log_every,
        batch_size,
        checkpoints,
        sink,
        callbacks,
        stop_on_signal,
        jit_compile,
        class_names,
        started,
    ):
        self.task, self.batches, self.checkpoints, self.class_names = task, batches, checkpoints, class_names
        self.total_steps, self.evaluate_every, self.started = total_steps, evaluate_every, started
        self.stop_on_signal = stop_on_signal
        self.timed_callbacks = [callback for callback in callbacks if hasattr(callback, "seconds")]
        self.rows = MetricRows(sink=sink, every=log_every, batch_size=batch_size)
        self.validation = Validation(
            sink=sink, splits=validation_splits, checkpoints=checkpoints, class_names=class_names
        )
        # Order: first what may refuse the step, then its row, then what only reads the weights, last what may leave
        # `fit`.
        self.callbacks = [
            StopOnNonFinite(),
            self.rows,
            self.validation,
            *callbacks,
            StopAfter(total_steps),
            stop_on_signal,
        ]
        task.compile(optimizer=optimizer, jit_compile=jit_compile)

    @property
    def step(self):
        """Updates made so far."""
        return updates(self.task.optimizer)

    def fit(self):
        """Train to the end. Whatever happens, what was learned is kept.

        Raises:
            NonFiniteError: the last good checkpoint is kept; the state of now is not saved, since moving statistics may
                have seen what was not finite.
            Interrupted: after the state of now was saved.
        """
        try:
            self.task.fit(
                self.batches,
                epochs=math.ceil(self.total_steps / self.evaluate_every),
                steps_per_epoch=self.evaluate_every,
                callbacks=self.callbacks,
                verbose=0,
                shuffle=False,
            )
        except NonFiniteError:
            raise
        except (Interrupted, Exception) as reason:
            self._save_what_was_learned(reason)
            raise

    def _save_what_was_learned(self, reason):
        try:
            if self.step > 0:
                self.checkpoints.save(self.task, step=self.step, class_names=self.class_names)
        except OSError as error:  # a full disk, say: it must not hide why the run ended
            reason.add_note(f"the state of step {self.step} could not be saved: {error}")

    def figures(self):
        """What `summary.json` holds of the training itself; usable after an interruption too."""
        first = self.rows.first_step_at
        return {
            "steps": self.step,
            "parameters": int(self.task.network.count_params()),
            **{f"val/{name}": value for name, value in self.validation.latest.items()},
            "best/metric": f"val/{self.checkpoints.monitor}",
            "best/value": self.checkpoints.index.get("best_value"),
            "best/checkpoint": self.checkpoints.index["best"],
            "speed/images_per_second": self.rows.images_per_second,
            "time/to_first_step_seconds": None if first is None else first - self.started,
            "time/training_steps_seconds": self.rows.seconds,
            "time/validation_seconds": self.validation.seconds,
            "time/attention_maps_seconds": sum(callback.seconds for callback in self.timed_callbacks),
            "time/trust_seconds": sum(getattr(callback, "trust_seconds", 0.0) for callback in self.timed_callbacks),
            "time/total_seconds": time.perf_counter() - self.started,
            "memory/peak_gigabytes": peak_memory_gigabytes(),
        }
