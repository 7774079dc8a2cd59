"""Provides the base class of layers whose options are declared in `vitcross.options` and passed down to their parts."""

import dataclasses

import keras

from vitcross.options.fields import names

OF_KERAS = ("name", "dtype", "trainable", "activity_regularizer", "autocast")


class Configured:
    """Base of a Keras layer or model, named before `keras.layers.Layer`, that takes the options of the class `OPTIONS`.

    The constructor takes them as keywords beside Keras's own (`name`, `dtype`, ...) and keeps them, checked, as
    `options`; `get_config` holds them all.

    Raises:
        ValueError: an unknown option, a wrong type, or a value out of its limits.
    """

    OPTIONS = None

    def __init__(self, **given):
        of_keras = {key: given.pop(key) for key in OF_KERAS if key in given}
        super().__init__(**of_keras)
        self.options = self._resolved(self.OPTIONS(**given))

    def _resolved(self, options):
        """The options with what follows from others filled in."""
        return options

    def part(self, layer_class, name, **changes):
        """A layer that has the options of this one as far as it takes them, but for `changes`.

        Args:
            layer_class: subclass of `Configured`.
            name: of the layer.
        """
        own, wanted = vars(self.options), names(layer_class.OPTIONS)
        shared = {key: own[key] for key in wanted if key in own}
        return layer_class(**shared | changes, dtype=self.dtype_policy, name=name)

    def layer_norm(self, name, shape):
        """A LayerNormalization with the epsilon of the options, built for inputs of `shape`."""
        norm = keras.layers.LayerNormalization(
            epsilon=self.options.layer_norm_epsilon, dtype=self.dtype_policy, name=name
        )
        norm.build(shape)
        return norm

    def get_config(self):
        return {**super().get_config(), **dataclasses.asdict(self.options)}
