"""Implements schedule-free AdamW (Defazio et al. 2024, arXiv 2405.15682, algorithm 1).

There are three sequences: `z` takes the steps, its average `x` predicts, and gradients are taken at `y` between them.

    y_t = (1 - beta_1) z_t + beta_1 x_t                          the weights of the model while it trains
    v_t = beta_2 v_(t-1) + (1 - beta_2) g_t ** 2                 g_t: gradient at y_t
    gamma_t = learning rate after warm-up * sqrt(1 - beta_2 ** t)
    z_(t+1) = z_t - gamma_t (g_t / (sqrt(v_t) + epsilon) + weight_decay y_t)
    c_(t+1) = gamma_t ** 2 / (gamma_1 ** 2 + ... + gamma_t ** 2)
    x_(t+1) = (1 - c_(t+1)) x_t + c_(t+1) z_(t+1)

`keras.optimizers.ScheduleFreeAdamW` gives warm-up steps the same weight as all others and does not expose `x`.
"""

import keras
from keras import ops


class ScheduleFree(keras.optimizers.Optimizer):
    """Schedule-free AdamW. It stores `y` and `z` and computes `x` from them on demand (`averaged_weights`).

    Args:
        learning_rate: float or schedule (a warm-up, then constant).
        beta_1: share of `x` in `y`, in (0, 1).
        beta_2: decay of the mean of squared gradients, in [0, 1).
        epsilon: added to the root of that mean.
        weight_decay: decoupled decay, at `y`.
    """

    metric_suffix = ""  # only x is evaluated
    stored_averages = ()

    def __init__(self, *, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=0.0, **kwargs):
        if not 0 < beta_1 < 1:
            raise ValueError(f"beta_1 must be in (0, 1). Received: beta_1={beta_1}")
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, **kwargs)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._z = [self.add_variable_from_reference(v, "z") for v in variables]
        self._velocities = [self.add_variable_from_reference(v, "velocity") for v in variables]
        self._gamma, self._sum_of_squares = (
            self.add_variable(shape=(), dtype="float32", name=name, initializer="zeros")
            for name in ("gamma", "sum_of_squares")
        )
        self.start_average()

    def start_average(self):
        """Start all three sequences at the current weights."""
        for variable, z in zip(self._trainable_variables, self._z, strict=True):
            z.assign(variable.value)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        step = ops.cast(self.iterations + 1, "float32")
        self._gamma.assign(learning_rate * ops.sqrt(1.0 - self.beta_2**step))
        self._sum_of_squares.assign(self._sum_of_squares + ops.square(self._gamma))
        super()._backend_update_step(grads, trainable_variables, self._gamma.value)

    def _apply_weight_decay(self, variables):
        """Does nothing: `update_step` applies the decay, since it changes z and not y."""

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        z, velocity = self._z[index], self._velocities[index]
        rate, gamma, total = (ops.cast(v, z.dtype) for v in (learning_rate, self._gamma, self._sum_of_squares))
        velocity.assign(self.beta_2 * velocity + (1.0 - self.beta_2) * ops.square(gradient))
        direction = gradient / (ops.sqrt(velocity) + self.epsilon)
        if self._use_weight_decay(variable):
            direction = direction + self.weight_decay * variable
        # The learning rate may be 0 in the first steps of a warm-up: there is nothing to average yet.
        share = ops.where(total > 0, ops.square(gamma) / ops.maximum(total, 1e-30), 1.0)
        # The update of x = (y - (1 - beta_1) z) / beta_1 is written without x, so that no step divides by beta_1.
        mixed = (1.0 - share) * variable + share * z
        self.assign(variable, mixed + rate * (self.beta_1 * (1.0 - share) - 1.0) * direction)
        z.assign(z - rate * direction)

    def averaged_weights(self):
        """List of `(variable, x as a tensor)`."""
        return [
            (variable, (variable - (1.0 - self.beta_1) * z) / self.beta_1)
            for variable, z in zip(self._trainable_variables, self._z, strict=True)
        ]

    def get_config(self):
        return super().get_config() | {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
