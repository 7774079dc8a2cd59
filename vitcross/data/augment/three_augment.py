"""3-Augment (Touvron et al. 2022, DeiT III, arXiv 2204.07118): makes each image gray, solarized or blurred.

The three are equally likely; blur has a sigma of 0.1 to 2 pixels. The recipe's color jitter of 0.3 is a separate key
(`Augmentation.color_jitter`). Shape letters: B batch, H W C pixels.
"""

import tensorflow as tf

from vitcross.data.augment import pixel_filters, pixel_tables
from vitcross.data.augment.row_groups import by_group, to_uint8

CHANGES = ("gray", "solarize", "blur")
_THRESHOLD = 128.0
_SIGMAS = (0.1, 2.0)


def three_augment(images, uniforms):
    """Changes images (B, H, W, C) in [0, 255] by uniforms (B, 2), choice and strength of blur: (B, H, W, C) uint8."""
    chosen = tf.cast(uniforms[:, 0] * len(CHANGES), tf.int32)
    sigmas = _SIGMAS[0] + uniforms[:, 1] * (_SIGMAS[1] - _SIGMAS[0])
    thresholds = tf.fill(tf.shape(chosen), _THRESHOLD)
    changes = [
        lambda rows, own: pixel_filters.gray(rows),
        lambda rows, own: pixel_tables.look_up(rows, pixel_tables.solarize(tf.gather(thresholds, own))),
        lambda rows, own: pixel_filters.blur(rows, tf.gather(sigmas, own)),
    ]
    return by_group(to_uint8(images), chosen, changes)
