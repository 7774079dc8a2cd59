"""Turns token ids into the tokens of the first block of a text encoder: a learned vector each, plus its position.

"Attention Is All You Need" (arXiv 1706.03762), section 3.4, with learned positions as in GPT (Radford et al., 2018);
they are multiplied by sqrt(D) like the tokens.
The table can turn tokens back into logits: "Using the Output Embedding to Improve Language Models" (arXiv 1608.05859).

Shapes: B batch, T tokens, V vocabulary, M positions, D embed_dim.
"""

import keras
from keras import ops

from vitcross.layers.configured import Configured
from vitcross.layers.dropout import Dropout
from vitcross.options.models import TokenEmbeddingOptions


@keras.saving.register_keras_serializable(package="vitcross")
class TokenEmbedding(Configured, keras.layers.Layer):
    """Looks up each token, adds its position, multiplies by sqrt(D), drops out. Padding is embedded too; masks keep it
    apart later.

    Args: the options of `vitcross.options.models.TokenEmbeddingOptions`.

    Call arguments:
        token_ids: (B, T) int in [0, V), T at most M.
        position: int scalar, place of the first of these tokens in its text, or None for 0.
        training: bool.

    Returns:
        (B, T, D) in the compute dtype.

    Raises:
        ValueError: a size that is not positive, token ids of another rank, or more tokens than positions.
    """

    OPTIONS = TokenEmbeddingOptions

    def build(self, token_ids_shape=None):
        # Cast where they are used: logits read the table in float32 also in mixed precision.
        # Multiplied by sqrt(D) where they enter, both have variance 1: what the first attention adds, which is near the
        # mean of the text, would drown tokens of 0.02 (a question-answering model then learns nothing of single words).
        initializer = keras.initializers.RandomNormal(stddev=self.options.embed_dim**-0.5)
        self.embeddings = self.add_weight(
            shape=(self.options.vocabulary_size, self.options.embed_dim),
            initializer=initializer,
            autocast=False,
            name="embeddings",
        )
        self.positions = self.add_weight(
            shape=(self.options.max_length, self.options.embed_dim),
            initializer=initializer,
            autocast=False,
            name="positions",
        )
        self.dropout = Dropout(rate=self.options.dropout_rate, dtype=self.dtype_policy, name="dropout")
        self.dropout.build()

    def call(self, token_ids, position=None, training=None):
        length = token_ids.shape[1] if len(token_ids.shape) == 2 else 0
        if len(token_ids.shape) != 2 or (length is not None and length > self.options.max_length):
            raise ValueError(
                f"expected token_ids (B, T) with T <= max_length={self.options.max_length}. "
                f"Received: shape {tuple(token_ids.shape)}"
            )
        # Reshaped to what it is: on TensorFlow the table's gradient is then dense, as clipping by norm needs it.
        table = ops.reshape(self.embeddings, (self.options.vocabulary_size, self.options.embed_dim))
        tokens = ops.take(table, ops.cast(token_ids, "int32"), axis=0)
        tokens = (tokens + self._positions(ops.shape(token_ids)[1], position)) * self.options.embed_dim**0.5
        tokens = ops.cast(tokens, self.compute_dtype)
        return self.dropout(tokens, training=training) if self.options.dropout_rate else tokens

    def _positions(self, length, position):
        """The positions (T, D) of `length` tokens from `position` on."""
        if position is None:
            return ops.convert_to_tensor(self.positions)[:length]
        return ops.take(self.positions, position + ops.arange(length, dtype="int32"), axis=0)

    def logits(self, tokens):
        """tokens (..., D) -> (..., V), in the dtype of the table: their products with every token's vector."""
        return ops.matmul(ops.cast(tokens, self.embeddings.dtype), ops.transpose(self.embeddings))
