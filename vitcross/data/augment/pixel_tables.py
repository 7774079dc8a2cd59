"""Image operations that map each pixel value through a table of 256 values per image and channel.

They match Pillow (`ImageOps`, `ImageEnhance`) including its rounding. Shape letters: B batch, H W C pixels.
"""

import tensorflow as tf

LEVELS = 256


def look_up(images, tables):
    """Maps images (B, H, W, C) uint8 through the tables (B, C or 1, 256) uint8 of their image and channel."""
    tables = tf.broadcast_to(tables, [tf.shape(images)[0], images.shape[-1], LEVELS])
    return tf.gather(tf.reshape(tables, [-1]), _table_positions(images))


def autocontrast(images):
    """Tables (B, C, 256) that stretch each channel to [0, 255]; a constant channel is unchanged."""
    low = tf.cast(tf.reduce_min(images, axis=(1, 2)), tf.int32)[:, :, None]
    high = tf.cast(tf.reduce_max(images, axis=(1, 2)), tf.int32)[:, :, None]
    stretched = (_values() - low) * 255 // tf.maximum(high - low, 1)
    return _uint8(tf.where(high > low, stretched, _values()))


def equalize(images):
    """Tables (B, C, 256) that equalize the histogram of each channel."""
    size, channels = tf.shape(images)[0], images.shape[-1]
    bins = size * channels * LEVELS
    counts = tf.math.bincount(tf.reshape(_table_positions(images), [-1]), minlength=bins, maxlength=bins)
    counts = tf.reshape(counts, [size, channels, LEVELS])
    last = tf.reduce_max(tf.where(counts > 0, _values(), 0), axis=-1, keepdims=True)
    pixels = images.shape[1] * images.shape[2]
    step = (pixels - tf.gather(counts, last, batch_dims=2)) // 255
    levelled = (step // 2 + tf.cumsum(counts, axis=-1, exclusive=True)) // tf.maximum(step, 1)
    return _uint8(tf.where(step > 0, levelled, _values()))


def solarize(thresholds):
    """Tables (B, 1, 256) that invert values >= the threshold (B,), a float in [0, 255]."""
    values = _values()[None, None]
    return _uint8(tf.where(tf.cast(values, tf.float32) < thresholds[:, None, None], values, 255 - values))


def posterize(bits):
    """Tables (B, 1, 256) that keep the highest bits (B,), int32 in [0, 8]."""
    width = tf.bitwise.left_shift(tf.ones_like(bits), 8 - bits)[:, None, None]
    return _uint8(_values() // width * width)


def brightness(factors):
    """Tables (B, 1, 256) that blend with black: value times factor (B,) >= 0."""
    return blend(0.0, tf.cast(_values()[None, None], tf.float32), factors[:, None, None])


def contrast(images, factors):
    """Tables (B, 1, 256) that blend with the rounded mean luma of the image."""
    mean = tf.floor(tf.reduce_mean(tf.cast(luma(images), tf.float32), axis=(1, 2)) + 0.5)  # (B, 1)
    return blend(mean[:, :, None], tf.cast(_values()[None, None], tf.float32), factors[:, None, None])


def luma(images):
    """Luma of images (B, H, W, C) uint8: (B, H, W, 1) int32 in [0, 255], ITU-R BT.601 in 16 bits as Pillow's mode L."""
    if images.shape[-1] == 1:
        return tf.cast(images, tf.int32)
    red, green, blue = tf.unstack(tf.cast(images, tf.int32), axis=-1)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) // 0x10000)[..., None]


def blend(degenerate, values, factors):
    """`degenerate + factor (values - degenerate)`, clipped to [0, 255] and truncated to uint8, as `Image.blend`."""
    return tf.cast(tf.clip_by_value(degenerate + factors * (values - degenerate), 0.0, 255.0), tf.uint8)


def _table_positions(images):
    """Position of each pixel's value in the flat tables of all images and channels: (B, H, W, C) int32."""
    size, channels = tf.shape(images)[0], images.shape[-1]
    first = (tf.range(size)[:, None, None, None] * channels + tf.range(channels)) * LEVELS
    return tf.cast(images, tf.int32) + first


def _values():
    return tf.range(LEVELS)


def _uint8(values):
    return tf.cast(tf.clip_by_value(values, 0, 255), tf.uint8)
