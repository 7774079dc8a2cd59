"""Initializes the projections of a transformer.
Glorot-uniform kernels as in the original ViT (`nn.initializers.xavier_uniform`, arXiv 2010.11929, code) and zero
biases. A fused projection holds several kernels side by side; its limit is that of one of them, so that fusing
changes nothing.
"""

import math

import keras


def projection_initializer(fan_in: int, fan_out: int) -> keras.initializers.Initializer:
    """Uniform in +-sqrt(6 / (fan_in + fan_out)), with the fans of one kernel of a fused projection."""
    limit = math.sqrt(6.0 / (fan_in + fan_out))
    return keras.initializers.RandomUniform(-limit, limit)


def token_initializer() -> keras.initializers.Initializer:
    """Normal with standard deviation 0.02, for everything that is added to tokens (positions, probes, registers)."""
    return keras.initializers.RandomNormal(stddev=0.02)
