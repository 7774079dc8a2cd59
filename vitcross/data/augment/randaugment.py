"""RandAugment (Cubuk et al. 2019, arXiv 1909.13719): applies N of 14 random operations in sequence at one magnitude.

Operations and magnitudes are those of table 6 of AutoAugment (Cubuk et al. 2018, arXiv 1805.09501) as training recipes
for Vision Transformers use them: a higher magnitude is a stronger change, and the direction is random where there are
two. With l = magnitude / 10 in [0, 1]:

    identity, autocontrast, equalize
    brightness, color, contrast, sharpness   factor 1 - 0.9 l or 1 + 0.9 l
    posterize                                 8 - round(4 l) bits are kept
    solarize                                  values >= 255 (1 - l) are inverted
    rotate                                    30 l degrees about the center, either way
    shear_x, shear_y                          by 0.3 l of the distance from the upper left corner, either way
    translate_x, translate_y                  by 150/331 l of the side, either way

Uncovered pixels are gray (128). Shape letters: B batch, H W C pixels, N operations.
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
    """Applies `operations` random operations to each image.

    Args:
        images: (B, H, W, C) in [0, 255]; rounded to uint8.
        boxes: as for `geometric.move_boxes`; a box has no area once its object has left the image.
        uniforms: (B, 2 N) float32 in [0, 1): the choice and the direction of each operation.
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
    """Applies one operation to each image (B, H, W, C) uint8; returns images and boxes.

    `chosen` (B,) int32 are indices into `OPERATIONS`, `signs` (B,) float32 are -1 or 1.
    """
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
    # The five geometric operations are one function with different matrices.
    images = by_group(images, tf.maximum(chosen - 4, 0), changes)
    return images, geometric.move_boxes(boxes, matrices, images.shape[1:3])


def _posterized(rows, level):
    return pixel_tables.posterize(tf.fill(tf.shape(rows), 8 - round(4 * level)))


def _solarized(rows, level):
    return pixel_tables.solarize(tf.fill(tf.shape(rows), 255.0 * (1.0 - level)))


def _matrices(chosen, signs, level, size):
    """Matrices (B, 2, 3) of `geometric`; the identity where the operation is not geometric."""
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
