"""Trains on a random part of the patches, which is faster and accustoms the model to dropped tokens.
"PatchDropout: Economizing Vision Transformers Using Patch Dropout" (arXiv 2208.07220), section 3; also "Scaling
Language-Image Pre-training via Masking" (arXiv 2212.00794).

Shapes: B batch, T tokens (prefix + P patches), K kept patches, D embed_dim.
"""

import keras
from keras import ops

from vitcross.layers.dropout import random_state


@keras.saving.register_keras_serializable(package="vitcross")
class PatchDropout(keras.layers.Layer):
    """In training, gathers a random subset of the patches of each example; prefix tokens always stay.

    The number kept is the same for every example, `round(P * (1 - rate))` and at least 1; the order is kept too.
    Apply it after the position embedding.

    Args:
        rate: float in [0, 1), share of patches left out in training. Default 0: the identity.
        num_prefix_tokens: int, tokens before the first patch. Default 0.
        seed: int or None, for the layer's own random state.

    Call arguments:
        tokens: (B, T, D), T static.
        training: bool.

    Returns:
        (B, num_prefix_tokens + K, D) in training, else as `tokens`.

    Raises:
        ValueError: rate outside [0, 1).
    """

    def __init__(self, *, rate: float = 0.0, num_prefix_tokens: int = 0, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"expected a rate in [0, 1). Received: rate={rate}")
        self.rate = rate
        self.num_prefix_tokens = num_prefix_tokens
        self.seed = seed

    def build(self, tokens_shape=None):
        self.seed_generator = random_state(self.seed) if self.rate else None

    def num_kept(self, num_patches: int) -> int:
        """K, how many of `num_patches` stay in training."""
        return max(1, round(num_patches * (1.0 - self.rate)))

    def call(self, tokens, training=None):
        if not training or not self.rate:
            return tokens
        batch_size, num_tokens, embed_dim = ops.shape(tokens)
        num_patches = num_tokens - self.num_prefix_tokens
        num_kept = self.num_kept(num_patches)
        noise_BP = keras.random.uniform((batch_size, num_patches), dtype="float32", seed=self.seed_generator)
        kept_BK = ops.sort(ops.cast(ops.top_k(noise_BP, num_kept, sorted=False)[1], "int32"), axis=-1)
        prefix_BR = ops.broadcast_to(
            ops.arange(self.num_prefix_tokens, dtype="int32"), (batch_size, self.num_prefix_tokens)
        )
        index_BK = ops.concatenate([prefix_BR, kept_BK + self.num_prefix_tokens], axis=1)
        # One flat gather of whole rows: several times faster on a CPU than indexing every number.
        first_row_B1 = ops.arange(batch_size, dtype="int32")[:, None] * num_tokens
        rows = ops.reshape(index_BK + first_row_B1, (-1,))
        gathered = ops.take(ops.reshape(tokens, (-1, embed_dim)), rows, axis=0)
        return ops.reshape(gathered, (-1, self.num_prefix_tokens + num_kept, embed_dim))

    def get_config(self):
        return {
            **super().get_config(),
            "rate": self.rate,
            "num_prefix_tokens": self.num_prefix_tokens,
            "seed": self.seed,
        }
