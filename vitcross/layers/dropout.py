"""Implements dropout whose random state has a fixed path among the model's variables.
"Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (Srivastava et al., JMLR 2014). Keras's own layer
numbers its random states per process (`seed_generator_7`), so that a checkpoint keyed by path could not find them.
"""

import keras


def random_state(seed: int | None) -> keras.random.SeedGenerator:
    """A random state; created in a layer's `build`, its variable gets the path of the layer."""
    return keras.random.SeedGenerator(seed, name="random_state")


@keras.saving.register_keras_serializable(package="vitcross")
class Dropout(keras.layers.Layer):
    """In training, zeroes single numbers with probability `rate` and divides the others by `1 - rate`.

    Args:
        rate: float in [0, 1). Default 0: the identity, without a random state.
        seed: int or None, for the layer's own random state.

    Call arguments:
        inputs: float, any shape.
        training: bool.

    Returns:
        As `inputs`.

    Raises:
        ValueError: rate outside [0, 1).
    """

    def __init__(self, *, rate: float = 0.0, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"expected a rate in [0, 1). Received: rate={rate}")
        self.rate = rate
        self.seed = seed

    def build(self, inputs_shape=None):
        self.seed_generator = random_state(self.seed) if self.rate else None

    def call(self, inputs, training=None):
        if not training or not self.rate:
            return inputs
        return keras.random.dropout(inputs, self.rate, seed=self.seed_generator)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
