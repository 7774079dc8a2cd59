"""The weights that predict, where they are an average of those that are trained.

An exponential moving average (Polyak & Juditsky 1992; as in Inception, arXiv 1512.00567, section 8) is kept inside the
optimizer, so that it moves once per update and is part of every checkpoint. Optimizers with an average of their own
(schedule-free) answer the same three questions: `metric_suffix`, `averaged_weights()`, `stored_averages`.
"""

import types

from keras import ops


class MovingAverage:
    """Optimizer mix-in: an exponential moving average of the weights, one step of it per update.

    `average += (1 - d) (weights - average)` with `d = min(1 - 1 / ema_steps, (1 + t) / (10 + t))` after update `t + 1`,
    so that the first weights are soon forgotten (as `num_updates` of `tf.train.ExponentialMovingAverage`).

    Put between `FiniteUpdates` and a Keras optimizer: an update that is refused does not move the average.

    Args:
        ema_steps: number of updates over which is averaged, at least 1: 1000 is a decay of 0.999. None: no average.
        ema_besides: variables that are no parameters and are averaged too: moving statistics.

    Attributes:
        metric_suffix: of the names of metrics that the average has; None where there is no average, `""` where the
            average alone is worth a look.
    """

    def __init__(self, *, ema_steps=None, ema_besides=(), **kwargs):
        if ema_steps is not None and ema_steps < 1:
            raise ValueError(f"ema must be at least one step. Received: {ema_steps}")
        super().__init__(**kwargs)
        self.ema_steps = ema_steps
        # Keras takes what it finds in an attribute for a variable of the optimizer; it does not look into this.
        self._average = types.SimpleNamespace(besides=tuple(ema_besides), pairs=[])

    @property
    def metric_suffix(self):
        return None if self.ema_steps is None else "_ema"

    @property
    def stored_averages(self):
        """list of `(variable, variable of its average)`."""
        return list(self._average.pairs)

    def averaged_weights(self):
        """list of `(variable, its average as a tensor)`."""
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
        """The average begins at the weights of now."""
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
    """The network has its averaged weights inside `with`; afterwards the trained ones, to the bit.

    A signal may end the block at any point, also while weights are exchanged: then `restore` must be called again
    before anything is made of the weights.

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
        """Give the network its trained weights back, where it does not have them."""
        for variable, value in self._trained or ():
            variable.assign(value)
        self._trained = None
