"""Implements the MLP of a transformer block, two dense layers.

"An Image is Worth 16x16 Words" (arXiv 2010.11929), equation 3 and table 1 (`mlp_ratio` is MLP size / hidden size).

Shapes: B batch, T tokens, D embed_dim.
"""

import keras

from vitcross.layers.dropout import Dropout
from vitcross.layers.gelu import gelu as gelu_activation
from vitcross.layers.initializers import projection_initializer
from vitcross.options.block import GELU_FORMS


@keras.saving.register_keras_serializable(package="vitcross")
class MLP(keras.layers.Layer):
    """Dense, GELU, Dense back to embed_dim, with dropout after each.

    Args:
        hidden_dim: int, units between the two layers.
        gelu: "erf" or "tanh", as in `vitcross.options.block.PoolingOptions`.
        dropout_rate: float in [0, 1). Default 0.

    Call arguments:
        tokens: (B, T, D).
        training: bool.

    Returns:
        (B, T, D).

    Raises:
        ValueError: unknown form of GELU, or a hidden_dim that is not positive.
    """

    def __init__(self, *, hidden_dim: int, gelu: str, dropout_rate: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        if gelu not in GELU_FORMS:
            raise ValueError(f"expected one of {GELU_FORMS}. Received: gelu={gelu!r}")
        if hidden_dim <= 0:
            raise ValueError(f"expected a positive integer. Received: hidden_dim={hidden_dim}")
        self.hidden_dim = hidden_dim
        self.gelu = gelu
        self.dropout_rate = dropout_rate

    def build(self, tokens_shape):
        embed_dim = tokens_shape[-1]
        self.expand = self._dense("expand", embed_dim, self.hidden_dim)
        self.contract = self._dense("contract", self.hidden_dim, embed_dim)
        self.dropout = Dropout(rate=self.dropout_rate, dtype=self.dtype_policy, name="dropout")
        self.dropout.build()

    def _dense(self, name: str, fan_in: int, fan_out: int):
        dense = keras.layers.Dense(
            fan_out, kernel_initializer=projection_initializer(fan_in, fan_out), dtype=self.dtype_policy, name=name
        )
        dense.build((None, None, fan_in))
        return dense

    def call(self, tokens, training=None):
        hidden = gelu_activation(self.expand(tokens), self.gelu)
        if self.dropout_rate:
            hidden = self.dropout(hidden, training=training)
        output = self.contract(hidden)
        return self.dropout(output, training=training) if self.dropout_rate else output

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "gelu": self.gelu,
            "dropout_rate": self.dropout_rate,
        }
