"""Image filters that combine neighboring pixels or channels: sharpness, color, gray, blur.

They match Pillow (`ImageEnhance`, mode L) including its rounding. Shape letters: B batch, H W C pixels.
"""

import numpy as np
import tensorflow as tf

from vitcross.data.augment.pixel_tables import blend, luma

_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13  # `ImageFilter.SMOOTH`


def color(images, factors):
    """Blends images (B, H, W, C) uint8 with their gray versions by factors (B,) >= 0; 0: gray, 1: unchanged."""
    return _blend_images(tf.cast(luma(images), tf.float32), images, factors)


def sharpness(images, factors):
    """Blends images with smoothed versions, whose border pixels are unchanged; factor 0: smooth, 1: unchanged."""
    height, width, channels = images.shape[1:]
    kernel = tf.tile(tf.constant(_SMOOTH)[:, :, None, None], [1, 1, channels, 1])
    smooth = tf.floor(tf.nn.depthwise_conv2d(tf.cast(images, tf.float32), kernel, [1, 1, 1, 1], "SAME") + 0.5)
    inside = np.zeros((height, width, 1), np.bool_)
    inside[1:-1, 1:-1] = True
    return _blend_images(tf.where(inside, smooth, tf.cast(images, tf.float32)), images, factors)


def gray(images):
    """Replaces every channel with the luma."""
    return tf.broadcast_to(tf.cast(luma(images), tf.uint8), tf.shape(images))


def blur(images, sigmas):
    """Gaussian blur of images (B, H, W, C) uint8 by sigmas (B,) > 0 in pixels; weights inside the image sum to 1."""
    # One matrix per image and axis is faster on a CPU than a sum of shifted copies.
    height, width, channels = images.shape[1:]
    rows = _gaussian(sigmas, height) @ tf.reshape(tf.cast(images, tf.float32), [-1, height, width * channels])
    turned = tf.transpose(tf.reshape(rows, [-1, height, width, channels]), [0, 2, 1, 3])
    both = _gaussian(sigmas, width) @ tf.reshape(turned, [-1, width, height * channels])
    blurred = tf.transpose(tf.reshape(both, [-1, width, height, channels]), [0, 2, 1, 3])
    return tf.cast(tf.clip_by_value(tf.round(blurred), 0.0, 255.0), tf.uint8)


def _gaussian(sigmas, size):
    """(B, size, size) float32, rows sum to 1."""
    places = tf.range(size, dtype=tf.float32)
    distance = (places[:, None] - places) / sigmas[:, None, None]
    weights = tf.exp(-0.5 * tf.square(distance))
    return weights / tf.reduce_sum(weights, axis=-1, keepdims=True)


def _blend_images(degenerate, images, factors):
    return blend(degenerate, tf.cast(images, tf.float32), factors[:, None, None, None])
