"""Keeps the last moment from which a run can be continued exactly: what counts besides the weights and the optimizer,
when all of it fits together.

A signal or an error may end a run anywhere: in the middle of a validation, of a capture, of writing a row. What is
saved then is the last such moment, with a note of what was pending: the callbacks of a step, or those of the end of an
interval. A run that goes on makes up for them first.
"""

import dataclasses

import keras
import numpy as np

from vitcross.training.guards import optimizer_step

NOTHING, BATCH_END, INTERVAL_END = "nothing", "batch_end", "interval_end"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """One moment of a run.

    Args:
        step: int, updates made.
        batches: int, batches taken from the data; more than `step` where mixed_float16 has skipped some.
        rows: int, rows of metrics handed to the sinks.
        pending: what comes next before the next step: `nothing`, `batch_end` or `interval_end`.
        callbacks: dict name -> state of a callback: dict of NumPy arrays and of what JSON holds.
    """

    step: int
    batches: int
    rows: int
    pending: str = NOTHING
    callbacks: dict = dataclasses.field(default_factory=dict)

    def to_parts(self):
        """`(facts, arrays)`: what JSON holds, and NumPy arrays keyed `callbacks/<name>/<key>`."""
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
    """Knows the last moment from which the run can be continued exactly. Comes after what writes the row of a step,
    and before all that takes long or may fail.

    A callback takes part with three members: `state_name`, str, distinct and for ever; `state()`, which is called
    after every step and must cost nothing; `load_state(state)`, called before training begins.

    Args:
        sink: has `rows`, how many it was handed (`vitcross.sinks.sink.FanOut`).
        callbacks: those of the run; the ones with a `state_name` take part.

    Attributes:
        batches: int, taken from the data so far.
        last: `TrainingProgress`.
        in_step: bool, whether a training step runs.
    """

    def __init__(self, *, sink, callbacks):
        super().__init__()
        self.sink = sink
        self.with_state = {c.state_name: c for c in callbacks if hasattr(c, "state_name")}
        self.batches = 0
        self.last = None
        self.in_step = False

    def load(self, progress):
        """Go on at `progress`."""
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
        """All fits together now, and `pending` comes next."""
        self.last = self._take(pending, self.batches)

    def now(self):
        """The moment to save: the last one marked; where a step was made since, that step with all of it pending."""
        if self.last is not None and self.last.step == optimizer_step(self.model.optimizer):
            return self.last
        return self._take(BATCH_END, self.batches + 1)

    def _take(self, pending, batches):
        states = {name: callback.state() for name, callback in self.with_state.items()}
        step = optimizer_step(self.model.optimizer)
        return TrainingProgress(step=step, batches=batches, rows=self.sink.rows, pending=pending, callbacks=states)
