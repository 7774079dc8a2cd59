"""Changes of an image that look at one pixel of one channel at a time: 256 new values per image and channel.

Definitions are those of Pillow (`ImageOps`, `ImageEnhance`), to the rounding. Shape letters: B batch, H W C pixels.
"""

import tensorflow as tf

LEVELS = 256


def look_up(images, tables):
    """Every pixel through the table of its image and channel: images (B, H, W, C), tables (B, C or 1, 256), uint8."""
    size, channels = tf.shape(images)[0], images.shape[-1]
    tables = tf.broadcast_to(tables, [size, channels, LEVELS])
    first = (tf.range(size)[:, None, None, None] * channels + tf.range(channels)) * LEVELS
    return tf.gather(tf.reshape(tables, [-1]), tf.cast(images, tf.int32) + first)


def autocontrast(images):
    """Stretch each channel to [0, 255]; one of a single value stays. -> (B, C, 256)."""
    low = tf.cast(tf.reduce_min(images, axis=(1, 2)), tf.int32)[:, :, None]
    high = tf.cast(tf.reduce_max(images, axis=(1, 2)), tf.int32)[:, :, None]
    stretched = (_values() - low) * 255 // tf.maximum(high - low, 1)
    return _uint8(tf.where(high > low, stretched, _values()))


def equalize(images):
    """Level the histogram of each channel, as `ImageOps.equalize`. -> (B, C, 256)."""
    counts = _histograms(images)
    last = tf.reduce_max(tf.where(counts > 0, _values(), 0), axis=-1, keepdims=True)
    pixels = images.shape[1] * images.shape[2]
    step = (pixels - tf.gather(counts, last, batch_dims=2)) // 255
    levelled = (step // 2 + tf.cumsum(counts, axis=-1, exclusive=True)) // tf.maximum(step, 1)
    return _uint8(tf.where(step > 0, levelled, _values()))


def solarize(thresholds):
    """Values from the threshold (B,) float in [0, 255] on are inverted. -> (B, 1, 256)."""
    values = _values()[None, None]
    return _uint8(tf.where(tf.cast(values, tf.float32) < thresholds[:, None, None], values, 255 - values))


def posterize(bits):
    """Keep the highest bits (B,) int32 in [0, 8]. -> (B, 1, 256)."""
    width = tf.bitwise.left_shift(tf.ones_like(bits), 8 - bits)[:, None, None]
    return _uint8(_values() // width * width)


def brightness(factors):
    """Blend with black: value times factor (B,) float >= 0. -> (B, 1, 256)."""
    return blend(0.0, tf.cast(_values()[None, None], tf.float32), factors[:, None, None])


def contrast(images, factors):
    """Blend with the mean luma of the image, rounded. -> (B, 1, 256)."""
    mean = tf.floor(tf.reduce_mean(tf.cast(luma(images), tf.float32), axis=(1, 2)) + 0.5)  # (B, 1)
    return blend(mean[:, :, None], tf.cast(_values()[None, None], tf.float32), factors[:, None, None])


def luma(images):
    """(B, H, W, C) uint8 -> (B, H, W, 1) int32 in [0, 255]: ITU-R BT.601 in 16 bits, as Pillow's mode L."""
    if images.shape[-1] == 1:
        return tf.cast(images, tf.int32)
    red, green, blue = tf.unstack(tf.cast(images, tf.int32), axis=-1)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) // 0x10000)[..., None]


def blend(degenerate, values, factors):
    """`degenerate + factor (values - degenerate)`, cut to [0, 255] and truncated, as `Image.blend`: floats -> uint8."""
    return tf.cast(tf.clip_by_value(degenerate + factors * (values - degenerate), 0.0, 255.0), tf.uint8)


def _histograms(images):
    size, channels = tf.shape(images)[0], images.shape[-1]
    first = (tf.range(size)[:, None, None, None] * channels + tf.range(channels)) * LEVELS
    bins = size * channels * LEVELS
    counts = tf.math.bincount(tf.reshape(tf.cast(images, tf.int32) + first, [-1]), minlength=bins, maxlength=bins)
    return tf.reshape(counts, [size, channels, LEVELS])


def _values():
    return tf.range(LEVELS)


def _uint8(values):
    return tf.cast(tf.clip_by_value(values, 0, 255), tf.uint8)
