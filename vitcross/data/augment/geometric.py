"""Rotates, shears and translates images and their boxes.

A matrix (B, 2, 3) maps a pixel of the result to its source: source (x, y) = matrix (x, y, 1), in pixels; (0, 0) is the
center of the upper left pixel. Shape letters: B batch, H W C pixels.
"""

import tensorflow as tf

UNCOVERED = 128.0  # gray, 0 after normalization


def rotation(angles, size):
    """Matrices that rotate images of `size` (H, W) counterclockwise about the center by angles (B,) in radians."""
    cosines, sines = tf.cos(angles), tf.sin(angles)
    y, x = (size[0] - 1) / 2, (size[1] - 1) / 2
    return _stacked(
        (cosines, -sines, x - cosines * x + sines * y),
        (sines, cosines, y - sines * x - cosines * y),
    )


def shear(*, x=None, y=None):
    """Matrices that move rows by x (B,) times their y, or columns by y times their x; positive is left or up."""
    zero = tf.zeros_like(y if x is None else x)
    one = tf.ones_like(zero)
    return _stacked((one, zero if x is None else x, zero), (zero if y is None else y, one, zero))


def translation(*, x=None, y=None):
    """Matrices that move images by x or y (B,) pixels; positive is left or up."""
    zero = tf.zeros_like(y if x is None else x)
    one = tf.ones_like(zero)
    return _stacked((one, zero, zero if x is None else x), (zero, one, zero if y is None else y))


def move(images, matrices):
    """Images (B, H, W, C) uint8 transformed by matrices, bilinear; gray where the source lies outside the image."""
    size = tf.shape(matrices)[0]
    transforms = tf.concat([tf.reshape(matrices, [size, 6]), tf.zeros([size, 2])], axis=1)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),  # uint8 values would be truncated
        transforms=transforms,
        output_shape=images.shape[1:3],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=UNCOVERED,
    )
    return tf.cast(tf.round(moved), tf.uint8)


def move_boxes(boxes, matrices, size):
    """The smallest axis-aligned boxes around the transformed boxes, clipped to images of `size`.

    Boxes are (B, 4) float32 in [0, 1], a nest of them, or None.
    """
    if boxes is None:
        return None
    inverse = tf.linalg.inv(matrices[:, :, :2])  # from the source to the result
    scale = tf.constant([size[1], size[0]], tf.float32)

    def follow(box):
        y_min, x_min, y_max, x_max = tf.unstack(box, axis=1)
        corners = tf.stack([tf.stack([x, y], axis=1) for y in (y_min, y_max) for x in (x_min, x_max)], axis=1)
        source = corners * scale - 0.5 - matrices[:, None, :, 2]
        result = (tf.linalg.matmul(source, inverse, transpose_b=True) + 0.5) / scale
        low, high = tf.reduce_min(result, axis=1), tf.reduce_max(result, axis=1)
        # A box without area (an object outside the image) stays without: rotating a line would give it one.
        seen = (y_max > y_min) & (x_max > x_min)
        high = tf.where(seen[:, None], high, low)
        return tf.clip_by_value(tf.stack([low[:, 1], low[:, 0], high[:, 1], high[:, 0]], axis=1), 0.0, 1.0)

    return tf.nest.map_structure(follow, boxes)


def _stacked(first, second):
    return tf.stack([tf.stack(first, axis=1), tf.stack(second, axis=1)], axis=1)
