"""Protects the weights: refuses updates that are not finite, and stops cleanly on a signal.

With clipping by global norm, a single NaN in a gradient would turn every weight into NaN. So the norm is checked before
the update, inside the compiled step, and an update that is not finite is never applied.
"""

import signal

import keras
from keras import ops


class FiniteUpdates:
    """Optimizer mix-in that clips by global norm, records the norm, and refuses updates that are not finite.

    It stands before the Keras optimizer: `class AdamW(FiniteUpdates, keras.optimizers.AdamW)`. After the first refused
    update all later ones are refused too, so that the weights stay those of the last good step until the run stops.

    Args:
        max_gradient_norm: gradients are scaled down to this global L2 norm; None = no clipping.

    Attributes:
        gradient_norm: scalar variable, the norm of the last gradients before clipping.
        refused_at: scalar variable, the number of updates before the first refused one; -1 if none was refused.
    """

    def __init__(self, *, max_gradient_norm=None, **kwargs):
        if max_gradient_norm is not None and max_gradient_norm <= 0:
            raise ValueError(f"max_gradient_norm must be positive or None. Received: {max_gradient_norm}")
        super().__init__(**kwargs)
        self.max_gradient_norm = max_gradient_norm

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.gradient_norm = self._scalar_variable("gradient_norm", "float32", 0.0)
        self.refused_at = self._scalar_variable("refused_at", "int32", -1)

    def _scalar_variable(self, name, dtype, value):
        return self.add_variable(shape=(), dtype=dtype, name=name, initializer=keras.initializers.Constant(value))

    def apply(self, grads, trainable_variables=None):
        if trainable_variables is not None:
            self.build(trainable_variables)
        norm = ops.sqrt(sum(ops.sum(ops.square(ops.cast(g, "float32"))) for g in grads if g is not None))
        self.gradient_norm.assign(norm)
        finite = ops.logical_and(ops.isfinite(norm), ops.equal(self.refused_at, -1))

        def update():
            scaled = grads
            if self.max_gradient_norm is not None:
                scale = ops.minimum(1.0, self.max_gradient_norm / ops.maximum(norm, 1e-12))
                scaled = [None if g is None else g * ops.cast(scale, g.dtype) for g in grads]
            super(FiniteUpdates, self).apply(scaled, trainable_variables)

        def refuse():
            first = ops.equal(self.refused_at, -1)
            self.refused_at.assign(ops.where(first, ops.cast(self.iterations, "int32"), self.refused_at))

        ops.cond(finite, update, refuse)


class NonFiniteError(RuntimeError):
    """The loss or a gradient became NaN or infinite; the weights are those of the step before."""


def inner_optimizer(optimizer):
    """The optimizer itself, without the loss scaling that Keras wraps around it in mixed_float16."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def optimizer_step(optimizer):
    """Number of updates so far, int: the step of a run. A batch that overflows in mixed_float16 makes no update."""
    return int(inner_optimizer(optimizer).iterations.value)


class StopOnNonFinite(keras.callbacks.Callback):
    """Ends the run at the first step whose loss or gradient is not finite, before the weights change.

    In mixed_float16 overflows are how the loss scale is found: only `MOST_SKIPPED` batches in a row without an update
    end the run.

    Raises:
        NonFiniteError: names the quantity and the step.
    """

    MOST_SKIPPED = 50

    def on_train_begin(self, logs=None):
        self._updates, self._skipped = optimizer_step(self.model.optimizer), 0

    def on_train_batch_end(self, batch, logs=None):
        guard = inner_optimizer(self.model.optimizer)
        before, self._updates = self._updates, optimizer_step(self.model.optimizer)
        self._skipped = self._skipped + 1 if self._updates == before else 0
        loss_is_finite = bool(ops.isfinite((logs or {}).get("loss", 0.0)))
        if loss_is_finite and int(guard.refused_at.value) == -1 and self._skipped < self.MOST_SKIPPED:
            return
        quantity = "the gradient" if loss_is_finite else "the loss"
        raise NonFiniteError(
            f"{quantity} is not finite at step {int(guard.iterations.value) + 1}. The weights are those before it, and "
            "the last good checkpoint is kept. A lower optimizer.learning_rate, a longer optimizer.warmup or "
            "trainer.dtype_policy=float32 usually helps."
        )


class Interrupted(BaseException):
    """A signal asked the run to end. It is not an `Exception`, so that no `except Exception` catches it."""

    def __init__(self, signal_number):
        super().__init__(signal.Signals(signal_number).name)
        self.signal_number = signal_number


class StopOnSignal(keras.callbacks.Callback):
    """Ends the run on SIGINT or SIGTERM between two steps, never inside one; a second signal ends it at once.

    It is a context manager around everything that has to be closed. `hold` delays a first signal, e.g. while the sinks
    close; `received` is the number of the last signal or None.

    Raises:
        Interrupted: in the main thread, as soon as no training step is running.
    """

    signals = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        super().__init__()
        self.received = None
        self._held = False
        self._traced = False  # the first step traces for many seconds and may be interrupted

    def __enter__(self):
        self._previous = {number: signal.signal(number, self._on_signal) for number in self.signals}
        return self

    def __exit__(self, *exception):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_signal(self, number, frame):
        again = self.received is not None
        self.received = number
        if again or not self._held:
            raise Interrupted(number)

    def hold(self):
        """Only note a first signal from now on; a second one still ends the process."""
        self._held = True

    def on_train_batch_begin(self, batch, logs=None):
        self._held = self._traced

    def on_train_batch_end(self, batch, logs=None):
        self._held, self._traced = False, True
        if self.received is not None:
            raise Interrupted(self.received)
