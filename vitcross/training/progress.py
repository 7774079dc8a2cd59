"""Tracks the state besides weights and optimizer that an exactly resumed run needs.

A signal or an error may end a run anywhere: during a validation, a capture, or while a row is written. What is saved
then is the last consistent state, with a note of which callbacks are pending: those of a step, or those of the end of
an interval. A resumed run calls them first.
"""

import dataclasses

import keras
import numpy as np

from vitcross.training.guards import optimizer_step

NOTHING, BATCH_END, INTERVAL_END = "nothing", "batch_end", "interval_end"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """The state of a run between two steps.

    Args:
        step: int, number of updates.
        batches: int, batches taken from the data; more than `step` if mixed_float16 has skipped some.
        rows: int, rows of metrics sent to the sinks.
        pending: callbacks to call before the next step: `nothing`, `batch_end` or `interval_end`.
        callbacks: dict of name to the state of a callback, a dict of NumPy arrays and JSON values.
    """

    step: int
    batches: int
    rows: int
    pending: str = NOTHING
    callbacks: dict = dataclasses.field(default_factory=dict)

    def to_parts(self):
        """`(facts, arrays)`: a dict of JSON values, and NumPy arrays keyed `callbacks/<name>/<key>`."""
        facts = {"batches": self.batches, "rows": self.rows, "pending": self.pending, "callbacks": {}}
        arrays = {}
        for name, state in self.callbacks.items():
            facts["callbacks"][name] = {k: v for k, v in state.items() if not isinstance(v, np.ndarray)}
            arrays |= {f"callbacks/{name}/{k}": v for k, v in state.items() if isinstance(v, np.ndarray)}
        return facts, arrays

    @classmethod
    def from_parts(cls, step, facts, arrays):
        """The inverse of `to_parts`."""
        callbacks = {name: dict(state) for name, state in facts["callbacks"].items()}
        for key, array in arrays.items():
            _, name, rest = key.split("/", 2)
            callbacks.setdefault(name, {})[rest] = array
        return cls(step=step, **{**facts, "callbacks": callbacks})


class ProgressTracker(keras.callbacks.Callback):
    """Keeps the last consistent `TrainingProgress` of a run. It comes after the callback that writes the row of a step,
    and before all that take long or may fail.

    A callback with a state has three members: `state_name`, a unique str that never changes; `state()`, which is called
    after every step and must be cheap; `load_state(state)`, which is called before training begins.

    Args:
        sink: has `rows`, the number of rows it was given (`vitcross.sinks.sink.FanOut`).
        callbacks: all callbacks of the run; those with a `state_name` are saved.

    Attributes:
        batches: int, taken from the data so far.
        last: `TrainingProgress`.
        in_step: bool, whether a training step is running.
    """

    def __init__(self, *, sink, callbacks):
        super().__init__()
        self.sink = sink
        self.with_state = {c.state_name: c for c in callbacks if hasattr(c, "state_name")}
        self.batches = 0
        self.last = None
        self.in_step = False

    def load(self, progress):
        """Continue from `progress`."""
        self.batches, self.last = progress.batches, progress
        for name, callback in self.with_state.items():
            if name in progress.callbacks:
                callback.load_state(progress.callbacks[name])

    def on_train_begin(self, logs=None):
        if self.last is None:
            self.mark(NOTHING)

    def on_train_batch_begin(self, batch, logs=None):
        self.in_step = True

    def on_train_batch_end(self, batch, logs=None):
        self.in_step = False
        self.batches += 1
        self.mark(BATCH_END)

    def mark(self, pending):
        """Keep the current state, which is consistent; the callbacks named by `pending` come next."""
        self.last = self._take(pending, self.batches)

    def now(self):
        """The progress to save: the last one marked or, after a further step, that step with its callbacks pending."""
        if self.last is not None and self.last.step == optimizer_step(self.model.optimizer):
            return self.last
        return self._take(BATCH_END, self.batches + 1)

    def _take(self, pending, batches):
        states = {name: callback.state() for name, callback in self.with_state.items()}
        step = optimizer_step(self.model.optimizer)
        return TrainingProgress(step=step, batches=batches, rows=self.sink.rows, pending=pending, callbacks=states)
