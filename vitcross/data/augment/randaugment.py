"""RandAugment (Cubuk et al. 2019, arXiv 1909.13719): N operations out of 14, one after the other, all of one magnitude.

The operations and what a magnitude means are those of table 6 of AutoAugment (Cubuk et al. 2018, arXiv 1805.09501) in
the form that training recipes for Vision Transformers use: a higher magnitude is a stronger change, and a change that
has two directions takes each half of the time. With l = magnitude / 10 in [0, 1]:

    identity, autocontrast, equalize
    brightness, color, contrast, sharpness   factor 1 - 0.9 l or 1 + 0.9 l
    posterize                                 8 - round(4 l) bits are kept
    solarize                                  values from 255 (1 - l) on are inverted
    rotate                                    30 l degrees about the middle, either way
    shear_x, shear_y                          by 0.3 l of the distance from the upper left corner, either way
    translate_x, translate_y                  by 150/331 l of the side, either way

What a moved image leaves uncovered is gray (128). Shape letters: B batch, H W C pixels, N operations.
"""

import math

import tensorflow as tf

from vitcross.data.augment import geometric, pixel_filters, pixel_tables
from vitcross.data.augment.row_groups import by_group, to_uint8

STRONGEST = 10.0
OPERATIONS = (
    *("rotate", "shear_x", "shear_y", "translate_x", "translate_y"),  # geometric, in this order below
    *("autocontrast", "equalize", "brightness", "contrast", "posterize", "solarize"),
    *("color", "sharpness", "identity"),
)


def randaugment(images, boxes, uniforms, *, operations, magnitude):
    """`operations` random changes of each image.

    Args:
        images: (B, H, W, C) in [0, 255]; rounded where they are not uint8.
        boxes: (B, 4) float32 relative boxes, or a nest of such, or None. A box becomes the smallest upright one around
            the moved box, cut to the image; without area where the object has left it.
        uniforms: (B, 2 N) float32 in [0, 1): for each operation which it is, and its direction.
        operations: N, int from 1 to 4.
        magnitude: float in [0, 10].

    Returns:
        images (B, H, W, C) uint8, boxes.
    """
    images = to_uint8(images)
    for number in range(operations):
        choice, direction = uniforms[:, 2 * number], uniforms[:, 2 * number + 1]
        chosen = tf.cast(choice * len(OPERATIONS), tf.int32)
        signs = tf.where(direction < 0.5, -1.0, 1.0)
        images, boxes = apply(images, boxes, chosen, signs, magnitude=magnitude)
    return images, boxes


def apply(images, boxes, chosen, signs, *, magnitude):
    """One operation for each image: images (B, H, W, C) uint8, `chosen` (B,) int32 indices into `OPERATIONS`, `signs`
    (B,) float32, -1 or 1 -> images, boxes."""
    level = magnitude / STRONGEST
    factors = 1.0 + 0.9 * level * signs
    matrices = _matrices(chosen, signs, level, images.shape[1:3])
    changes = [
        lambda rows, own: geometric.move(rows, tf.gather(matrices, own)),
        lambda rows, own: pixel_tables.look_up(rows, pixel_tables.autocontrast(rows)),
        lambda rows, own: pixel_tables.look_up(rows, pixel_tables.equalize(rows)),
        lambda rows, own: pixel_tables.look_up(rows, pixel_tables.brightness(tf.gather(factors, own))),
        lambda rows, own: pixel_tables.look_up(rows, pixel_tables.contrast(rows, tf.gather(factors, own))),
        lambda rows, own: pixel_tables.look_up(rows, _posterized(own, level)),
        lambda rows, own: pixel_tables.look_up(rows, _solarized(own, level)),
        lambda rows, own: pixel_filters.color(rows, tf.gather(factors, own)),
        lambda rows, own: pixel_filters.sharpness(rows, tf.gather(factors, own)),
        None,
    ]
    # The five geometric operations are one change, by different matrices.
    images = by_group(images, tf.maximum(chosen - 4, 0), changes)
    return images, geometric.move_boxes(boxes, matrices, images.shape[1:3])


def _posterized(rows, level):
    return pixel_tables.posterize(tf.fill(tf.shape(rows), 8 - round(4 * level)))


def _solarized(rows, level):
    return pixel_tables.solarize(tf.fill(tf.shape(rows), 255.0 * (1.0 - level)))


def _matrices(chosen, signs, level, size):
    """(B, 2, 3): where each image's pixels come from (`geometric`); the identity for all that is not geometric."""
    height, width = size
    candidates = [
        geometric.rotation(signs * (level * math.radians(30.0)), size),
        geometric.shear(x=signs * (level * 0.3)),
        geometric.shear(y=signs * (level * 0.3)),
        geometric.translation(x=signs * (level * 150.0 / 331.0 * width)),
        geometric.translation(y=signs * (level * 150.0 / 331.0 * height)),
        geometric.translation(x=tf.zeros_like(signs)),
    ]
    return tf.gather(tf.stack(candidates, axis=1), tf.minimum(chosen, 5), batch_dims=1)
