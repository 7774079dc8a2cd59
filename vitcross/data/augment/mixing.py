"""Mixup (Zhang et al. 2018, arXiv 1710.09412) and CutMix (Yun et al. 2019, arXiv 1905.04899): two images in one, and
how much of the label each has.

Every image has a partner in its batch and a draw of its own; the partner's own mix is another one. Partners are a
pure function of the position: the batch is cut into pairs of groups of `repeats` rows (`Augmentation.repeats`), and
rows of equal place in the two groups are partners. Shape letters: B batch, H W C pixels.
"""

import tensorflow as tf

from vitcross.data.augment.erasing import within

_BISECTIONS = 40


def mix(images, labels, uniforms, *, mixup, cutmix, probability, repeats=1):
    """Mix each image with its partner.

    Args:
        images: (B, H, W, C) float32 in [0, 255].
        labels: (B,) int32.
        uniforms: (B, 5) float32 in [0, 1): whether, which of the two, the share, y, x.
        mixup: float >= 0, a of the Beta(a, a) from which the share of the image itself is drawn; 0: no mixup.
        cutmix: float >= 0, the same for the share of the area; 0: no CutMix. With both, each half of the time.
        probability: float in [0, 1], of an image to be mixed at all.
        repeats: int, rows that show the same example, one below the other.

    Returns:
        dict: `images` (B, H, W, C) float32, `mixed_labels` (B,) int32: the label of the partner, and `mixing` (B,)
        float32 in [0, 1]: the share of `labels`; that of `mixed_labels` is 1 - `mixing`. With CutMix it is the share of
        the pixels, exactly; without any mixing it is 1.
    """
    whether, which, share, *middle = tf.unstack(uniforms, axis=1)
    mixed = whether < probability
    cut = mixed & (which < (0.5 if mixup else 1.0) if cutmix else tf.zeros_like(mixed))
    others = partners(images, repeats)
    blended = tf.where(mixed & ~cut, symmetric_beta(share, mixup), 1.0) if mixup else tf.ones_like(share)
    shares = blended
    if cutmix:
        inside, kept = _cut_out(tf.where(cut, symmetric_beta(share, cutmix), 1.0), middle, images.shape[1:3])
        shares = tf.where(cut, kept, blended)
        images = tf.where(inside[..., None], others, images)
    if mixup:
        own = blended[:, None, None, None]
        images = own * images + (1.0 - own) * others
    return {"images": images, "mixed_labels": partners(labels, repeats), "mixing": shares}


def partners(rows, repeats):
    """The rows (B, ...) in the order of the partners."""
    halves = tf.reshape(rows, [-1, 2, repeats, *rows.shape[1:]])
    return tf.reshape(tf.reverse(halves, [1]), tf.shape(rows))


def symmetric_beta(uniforms, concentration):
    """Draws of Beta(a, a), a > 0, from uniforms: (B,) float32 in [0, 1], the quantile found by bisection."""
    if concentration == 1.0:
        return uniforms
    targets = tf.cast(uniforms, tf.float64)
    a = tf.fill(tf.shape(targets), tf.constant(concentration, tf.float64))
    low, high = tf.zeros_like(targets), tf.ones_like(targets)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        below = tf.math.betainc(a, a, middle) < targets
        low, high = tf.where(below, middle, low), tf.where(below, high, middle)
    return tf.cast((low + high) / 2, tf.float32)


def _cut_out(shares, middle, size):
    """A rectangle of area 1 - share about a random middle, cut at the border.

    Returns:
        (B, H, W) bool, and the share (B,) of the pixels outside it, exactly.
    """
    height, width = size
    half = tf.sqrt(1.0 - shares) / 2

    def edge(place, length):
        return tf.cast(tf.round(tf.clip_by_value(place, 0.0, 1.0) * length), tf.int32)

    (top, left), (bottom, right) = (
        [edge(place + offset, length) for place, length in zip(middle, size, strict=True)] for offset in (-half, half)
    )
    inside = within(*(edges[:, None, None] for edges in (top, left, bottom, right)), size=(height, width))
    pixels = tf.cast((bottom - top) * (right - left), tf.float32)
    return inside, 1.0 - pixels / (height * width)
