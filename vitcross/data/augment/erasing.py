"""Random erasing (Zhong et al. 2017, arXiv 1708.04896): replaces a rectangle of an image with noise.

As in recipes for Vision Transformers, the area is 2 to 33 % of the image and height : width is log-uniform in [0.3,
1 / 0.3], limited to rectangles that fit. The closed form needs no rejection, so it vectorizes. Shape letters: B batch,
H W C pixels.
"""

import math

import tensorflow as tf

from vitcross.data.augment.row_groups import by_group

AREA = (0.02, 1 / 3)
ASPECT = (0.3, 1 / 0.3)


def erase(images, uniforms, *, probability):
    """Replaces a rectangle of each image with uniform noise of whole numbers in [0, 255], with a probability.

    Args:
        images: (B, H, W, C) uint8 or float32 in [0, 255]; the result has the same dtype.
        uniforms: (B, 6) float32 in [0, 1): whether to erase, area, shape, y, x, noise.
        probability: float in [0, 1].
    """
    chosen = tf.cast(uniforms[:, 0] < probability, tf.int32)
    height, width = images.shape[1:3]
    top, left, bottom, right = tf.unstack(rectangles(uniforms[:, 1:5], (height, width)), axis=1)

    def fill(rows, own):
        edges = (tf.gather(edge, own)[:, None, None] for edge in (top, left, bottom, right))
        inside = within(*edges, size=(height, width))[..., None]
        return tf.where(inside, tf.cast(noise(tf.gather(uniforms[:, 5], own), images.shape[1:]), images.dtype), rows)

    return by_group(images, chosen, [None, fill])


def rectangles(uniforms, size):
    """(B, 4) uniforms of area, shape, y, x -> (B, 4) int32: top, left, bottom, right in pixels, ends excluded."""
    height, width = size
    area = AREA[0] + uniforms[:, 0] * (AREA[1] - AREA[0])
    # The limits of height : width at which one side is as long as that of the image.
    fits = area * height / width, height / (area * width)
    low, high = (tf.math.log(tf.minimum(tf.maximum(end, fits[0]), fits[1])) for end in ASPECT)
    aspect = tf.exp(low + uniforms[:, 1] * (high - low))
    rows = _pixels(tf.sqrt(area * height * width * aspect), height)
    columns = _pixels(tf.sqrt(area * height * width / aspect), width)
    top = tf.cast(uniforms[:, 2] * tf.cast(height - rows + 1, tf.float32), tf.int32)
    left = tf.cast(uniforms[:, 3] * tf.cast(width - columns + 1, tf.float32), tf.int32)
    return tf.stack([top, left, top + rows, left + columns], axis=1)


def within(top, left, bottom, right, *, size):
    """Mask (..., H, W) bool of the pixels inside rectangles with edges (..., 1, 1) int32; `size` is (H, W)."""
    y, x = tf.range(size[0])[:, None], tf.range(size[1])[None, :]
    return (y >= top) & (y < bottom) & (x >= left) & (x < right)


def noise(uniforms, shape):
    """Pseudo-random (B, *shape) uint8 from uniforms (B,): a 32-bit hash of the uniform and the position of the value.

    Reference: Wellons 2018, "Prospecting for hash functions", `lowbias32`.
    """
    keys = _mix(tf.cast(uniforms * 2.0**24, tf.uint32))[:, None]
    places = tf.cast(tf.range(math.prod(shape)), tf.uint32)[None, :]
    bits = tf.bitwise.right_shift(_mix(keys + places), tf.constant(24, tf.uint32))
    return tf.reshape(tf.cast(bits, tf.uint8), [-1, *shape])


def _mix(z):
    def fold(z, bits):
        return tf.bitwise.bitwise_xor(z, tf.bitwise.right_shift(z, tf.constant(bits, tf.uint32)))

    z = fold(z, 16) * tf.constant(0x7FEB352D, tf.uint32)
    z = fold(z, 15) * tf.constant(0x846CA68B, tf.uint32)
    return fold(z, 16)


def _pixels(sides, most):
    return tf.clip_by_value(tf.cast(tf.round(sides), tf.int32), 1, most)
