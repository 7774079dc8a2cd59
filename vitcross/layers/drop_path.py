"""Implements stochastic depth, which drops a residual branch for some examples of a training batch.
"Deep Networks with Stochastic Depth" (arXiv 1603.09382), with the surviving branches scaled up, so that inference
needs no change, and the linear rule of its section 4 for the rate of each block.

Shapes: B batch.
"""

import keras
from keras import ops

from vitcross.layers.dropout import Dropout


def linear_drop_path_rates(rate: float, depth: int) -> tuple[float, ...]:
    """Rates from 0 for the first block to `rate` for the last one."""
    return tuple(rate * index / max(1, depth - 1) for index in range(depth))


@keras.saving.register_keras_serializable(package="vitcross")
class DropPath(Dropout):
    """In training, zeroes whole examples with probability `rate` and divides the others by `1 - rate`.

    Args:
        rate: float in [0, 1). Default 0: the identity.
        seed: int or None, for the layer's own random state.

    Call arguments:
        branch: (B, ...), output of a residual branch.
        training: bool.

    Returns:
        As `branch`.

    Raises:
        ValueError: rate outside [0, 1).
    """

    def call(self, branch, training=None):
        if not training or not self.rate:
            return branch
        shape = (ops.shape(branch)[0],) + (1,) * (len(branch.shape) - 1)
        # Drawn in float32: a bfloat16 uniform number has too few steps for a small rate.
        survives = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator) >= self.rate
        return branch * (ops.cast(survives, branch.dtype) / (1.0 - self.rate))
