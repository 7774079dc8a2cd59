"""Provides the base class of models whose options are declared in `vitcross.options`."""

import keras

from vitcross.layers.configured import Configured
from vitcross.layers.initializers import token_initializer
from vitcross.options.fields import names


class ConfiguredModel(Configured, keras.Model):
    """Base of a model with options (`vitcross.layers.configured.Configured`), which are attributes too."""

    def __init__(self, **given):
        super().__init__(**given)
        for name in names(self.OPTIONS):
            setattr(self, name, getattr(self.options, name))

    def built_head(self, units, embed_dim):
        """A Dense layer for logits, in the variables' dtype: those of a mixed-precision model stay float32."""
        head = keras.layers.Dense(
            units, kernel_initializer=token_initializer(), dtype=self.dtype_policy.variable_dtype, name="head"
        )
        head.build((None, embed_dim))
        return head


def check_heads(model) -> None:
    """Raises ValueError unless the model's heads divide its embed_dim."""
    if model.embed_dim % model.num_heads:
        raise ValueError(
            f"expected num_heads to divide embed_dim. "
            f"Received: num_heads={model.num_heads}, embed_dim={model.embed_dim}"
        )
