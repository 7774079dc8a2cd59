"""Rotation, shear and translation of images, and the boxes that follow them.

A matrix (B, 2, 3) says where a pixel of the result comes from: (x, y) of the source = matrix (x, y, 1) of the result,
in pixels, (0, 0) being the middle of the upper left one. Shape letters: B batch, H W C pixels.
"""

import tensorflow as tf

UNCOVERED = 128.0  # gray: 0 in what the model sees


def rotation(angles, size):
    """By angles (B,) in radians about the middle of an image of `size` (H, W), anticlockwise as it is seen."""
    cosines, sines = tf.cos(angles), tf.sin(angles)
    y, x = (size[0] - 1) / 2, (size[1] - 1) / 2
    return _stacked(
        (cosines, -sines, x - cosines * x + sines * y),
        (sines, cosines, y - sines * x - cosines * y),
    )


def shear(*, x=None, y=None):
    """Rows move by x (B,) times their own y, or columns by y times their x; towards the upper left where positive."""
    one, zero = tf.ones_like(x if y is None else y), tf.zeros_like(x if y is None else y)
    return _stacked((one, zero if x is None else x, zero), (zero if y is None else y, one, zero))


def translation(*, x=None, y=None):
    """By x or y (B,) pixels, towards the upper left where positive."""
    one, zero = tf.ones_like(x if y is None else y), tf.zeros_like(x if y is None else y)
    return _stacked((one, zero, zero if x is None else x), (zero, one, zero if y is None else y))


def move(images, matrices):
    """(B, H, W, C) uint8 through matrices, bilinear; gray where nothing comes from inside the image."""
    size = tf.shape(matrices)[0]
    transforms = tf.concat([tf.reshape(matrices, [size, 6]), tf.zeros([size, 2])], axis=1)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),  # of uint8 it would truncate
        transforms=transforms,
        output_shape=images.shape[1:3],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=UNCOVERED,
    )
    return tf.cast(tf.round(moved), tf.uint8)


def move_boxes(boxes, matrices, size):
    """The smallest upright boxes around boxes that moved with the pixels of images of `size`, cut to the image.

    Boxes are (B, 4) float32 in [0, 1], or a nest of such, or None.
    """
    if boxes is None:
        return None
    back = tf.linalg.inv(matrices[:, :, :2])  # from the source to the result
    scale = tf.constant([size[1], size[0]], tf.float32)

    def follow(box):
        y_min, x_min, y_max, x_max = tf.unstack(box, axis=1)
        corners = tf.stack([tf.stack([x, y], axis=1) for y in (y_min, y_max) for x in (x_min, x_max)], axis=1)
        source = corners * scale - 0.5 - matrices[:, None, :, 2]
        result = (tf.linalg.matmul(source, back, transpose_b=True) + 0.5) / scale
        low, high = tf.reduce_min(result, axis=1), tf.reduce_max(result, axis=1)
        # What is not in the image stays without area, though a line that turns would get one.
        seen = (y_max > y_min) & (x_max > x_min)
        high = tf.where(seen[:, None], high, low)
        return tf.clip_by_value(tf.stack([low[:, 1], low[:, 0], high[:, 1], high[:, 0]], axis=1), 0.0, 1.0)

    return tf.nest.map_structure(follow, boxes)


def _stacked(first, second):
    return tf.stack([tf.stack(first, axis=1), tf.stack(second, axis=1)], axis=1)
