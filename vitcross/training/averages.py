"""Averages the trained weights and lets the network predict with the average.

The exponential moving average (Polyak & Juditsky 1992; as in Inception, arXiv 1512.00567, section 8) is part of the
optimizer, so that it is updated with the weights and saved in every checkpoint. Schedule-free optimizers, which have
their own average, offer the same members: `metric_suffix`, `averaged_weights()`, `stored_averages`, `start_average()`.
"""

import types

from keras import ops


class MovingAverage:
    """Optimizer mix-in that keeps an exponential moving average of the weights.

    `average += (1 - d) (weights - average)` with `d = min(1 - 1 / ema_steps, (1 + t) / (10 + t))` after update `t + 1`,
    so that the initial weights soon lose their influence (as `num_updates` of `tf.train.ExponentialMovingAverage`).

    In the class list it stands between `FiniteUpdates` and the Keras optimizer: a refused update leaves the average as
    it is.

    Args:
        ema_steps: number of updates to average over, at least 1: 1000 is a decay of 0.999. None: no average.
        ema_besides: further variables to average, which are not parameters: moving statistics.

    Attributes:
        metric_suffix: str, appended to the names of the average's metrics; None without an average, `""` where only the
            average is evaluated.
    """

    def __init__(self, *, ema_steps=None, ema_besides=(), **kwargs):
        if ema_steps is not None and ema_steps < 1:
            raise ValueError(f"ema must be at least one step. Received: {ema_steps}")
        super().__init__(**kwargs)
        self.ema_steps = ema_steps
        # Keras tracks variables in attributes as the optimizer's own; it does not look inside a namespace.
        self._average = types.SimpleNamespace(besides=tuple(ema_besides), pairs=[])

    @property
    def metric_suffix(self):
        return None if self.ema_steps is None else "_ema"

    @property
    def stored_averages(self):
        """List of `(variable, variable that holds its average)`."""
        return list(self._average.pairs)

    def averaged_weights(self):
        """List of `(variable, its average as a tensor)`."""
        return [(variable, average.value) for variable, average in self.stored_averages]

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        if self.ema_steps is None:
            return
        averaged = [*variables, *self._average.besides]
        self._average.pairs = [(v, self.add_variable_from_reference(v, "average")) for v in averaged]
        self.start_average()

    def start_average(self):
        """Set the average to the current weights."""
        for variable, average in self.stored_averages:
            average.assign(variable.value)

    def apply(self, grads, trainable_variables=None):
        updates_before = ops.cast(self.iterations, "float32")
        super().apply(grads, trainable_variables)
        if self.ema_steps is None:
            return
        decay = ops.minimum(1.0 - 1.0 / self.ema_steps, (1.0 + updates_before) / (10.0 + updates_before))
        for variable, average in self.stored_averages:
            average.assign(average + ops.cast(1.0 - decay, average.dtype) * (variable - average))


class averaged_weights_in_use:
    """Context manager in which the network has its averaged weights; afterwards it has exactly its trained ones.

    A signal may interrupt the exchange of weights itself: call `restore` again before you use the weights.

    Args:
        optimizer: has `averaged_weights()`.
    """

    def __init__(self, optimizer):
        self.optimizer = optimizer
        self._trained = None

    def __enter__(self):
        averaged = self.optimizer.averaged_weights()
        self._trained = [(variable, ops.copy(variable.value)) for variable, _ in averaged]
        for variable, average in averaged:
            variable.assign(average)

    def __exit__(self, *exception):
        self.restore()

    def restore(self):
        """Put the trained weights back, unless they are in place already."""
        for variable, value in self._trained or ():
            variable.assign(value)
        self._trained = None
