"""Resizes along one axis by a matrix, which is differentiable and compiles on every backend.
Antialiased as in Pillow, `jax.image.resize` and `tf.image.resize(antialias=True)`: the kernel is widened when
shrinking, centers of samples lie at half integers, and rows are renormalized at the border. Cubic is Keys' kernel
with a = -0.5 ("Cubic Convolution Interpolation for Digital Image Processing", 1981).
"""

import numpy as np

RESAMPLING_METHODS = ("bilinear", "bicubic")


def resampling_matrix(source: int, target: int, method: str = "bicubic") -> np.ndarray:
    """float64 (target, source) whose rows sum to 1; the identity where both are equal.

    Raises:
        ValueError: unknown method.
    """
    if method not in RESAMPLING_METHODS:
        raise ValueError(f"expected one of {RESAMPLING_METHODS}. Received: method={method!r}")
    scale = source / target
    widening = max(1.0, scale)
    centers = (np.arange(target) + 0.5) * scale
    distance = np.abs(centers[:, None] - (np.arange(source) + 0.5)[None, :]) / widening
    weights = np.maximum(0.0, 1.0 - distance) if method == "bilinear" else _keys_cubic(distance)
    return weights / weights.sum(axis=1, keepdims=True)


def _keys_cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic kernel, a = -0.5, at distances `x` >= 0."""
    near = (1.5 * x - 2.5) * x**2 + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x <= 1.0, near, np.where(x < 2.0, far, 0.0))
