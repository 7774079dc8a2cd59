"""Adds learned tokens to the patches: the class token and the registers.
Class token: arXiv 2010.11929, equation 1. Registers, which take up the role of sinks from background patches: "Vision
Transformers Need Registers" (arXiv 2309.16588), section 2.2.

Shapes: B batch, R prefix tokens, D embed_dim.
"""

import keras
from keras import ops

from vitcross.layers.initializers import token_initializer


@keras.saving.register_keras_serializable(package="vitcross")
class PrefixTokens(keras.layers.Layer):
    """Inserts learned tokens into a sequence, the same for every example.

    Args:
        num_tokens: int, R.
        position: int, index before which they are inserted. Default 0.

    Call arguments:
        tokens: (B, T, D).

    Returns:
        (B, R + T, D).
    """

    def __init__(self, *, num_tokens: int, position: int = 0, **kwargs):
        super().__init__(**kwargs)
        if num_tokens <= 0:
            raise ValueError(f"expected a positive integer. Received: num_tokens={num_tokens}")
        self.num_tokens = num_tokens
        self.position = position

    def build(self, tokens_shape):
        self.embeddings = self.add_weight(
            shape=(self.num_tokens, tokens_shape[-1]), initializer=token_initializer(), name="embeddings"
        )

    def call(self, tokens):
        shape = (ops.shape(tokens)[0], self.num_tokens, tokens.shape[-1])
        inserted = ops.broadcast_to(ops.cast(self.embeddings, tokens.dtype), shape)
        if not self.position:
            return ops.concatenate([inserted, tokens], axis=1)
        return ops.concatenate([tokens[:, : self.position], inserted, tokens[:, self.position :]], axis=1)

    def get_config(self):
        return {**super().get_config(), "num_tokens": self.num_tokens, "position": self.position}
