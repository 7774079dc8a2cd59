"""Rows of a batch that need different functions: each function sees its own rows only. Shape letters: B batch."""

import tensorflow as tf


def by_group(images, groups, functions):
    """Apply to each row the function of its group.

    Args:
        images: (B, H, W, C).
        groups: (B,) int32 in [0, number of functions).
        functions: sequence of callables `(rows, places)` -> the rows changed, of the same shape and dtype, where
            `places` are the indices of the rows; None leaves them. A group may be empty.
    """
    places = tf.dynamic_partition(tf.range(tf.shape(images)[0]), groups, len(functions))
    rows = [tf.gather(images, own) for own in places]
    changed = [
        part if function is None else tf.ensure_shape(function(part, own), [None, *images.shape[1:]])
        for function, part, own in zip(functions, rows, places, strict=True)
    ]
    return tf.reshape(tf.dynamic_stitch(places, changed), tf.shape(images))


def to_uint8(images):
    """Pixels as uint8, rounded where they are not whole."""
    if images.dtype == tf.uint8:
        return images
    return tf.cast(tf.clip_by_value(tf.round(images), 0.0, 255.0), tf.uint8)
