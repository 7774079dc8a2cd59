"""Scales a residual branch by a learned factor per channel.

"Going deeper with Image Transformers" (arXiv 2103.17239), section 2.

Shapes: D embed_dim.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="vitcross")
class LayerScale(keras.layers.Layer):
    """Multiplies each channel by a learned number that starts at `init`.

    Args:
        init: float, initial value, small (1e-5 in the paper for deep models). Default 1e-5.

    Call arguments:
        branch: (..., D).

    Returns:
        As `branch`.
    """

    def __init__(self, *, init: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        self.init = init

    def build(self, branch_shape):
        self.gamma = self.add_weight(
            shape=(branch_shape[-1],), initializer=keras.initializers.Constant(self.init), name="gamma"
        )

    def call(self, branch):
        return ops.multiply(branch, self.gamma)

    def get_config(self):
        return {**super().get_config(), "init": self.init}
