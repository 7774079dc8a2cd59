"""Applies different functions to different rows of a batch. Shape letters: B batch."""

import tensorflow as tf


def by_group(images, groups, functions):
    """Applies to each row the function of its group.

    Args:
        images: (B, H, W, C).
        groups: (B,) int32 in [0, number of functions).
        functions: sequence of callables (rows, indices of these rows) -> changed rows of the same shape and dtype, or
            None for no change. A group may be empty.
    """
    places = tf.dynamic_partition(tf.range(tf.shape(images)[0]), groups, len(functions))
    rows = [tf.gather(images, own) for own in places]
    changed = [
        part if function is None else tf.ensure_shape(function(part, own), [None, *images.shape[1:]])
        for function, part, own in zip(functions, rows, places, strict=True)
    ]
    return tf.reshape(tf.dynamic_stitch(places, changed), tf.shape(images))


def to_uint8(images):
    """Pixels rounded to uint8."""
    if images.dtype == tf.uint8:
        return images
    return tf.cast(tf.clip_by_value(tf.round(images), 0.0, 255.0), tf.uint8)
