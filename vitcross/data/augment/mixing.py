"""Mixes pairs of images and their labels: Mixup (Zhang et al. 2018, arXiv 1710.09412) and CutMix (Yun et al. 2019,
arXiv 1905.04899).

Each image has a partner in its batch and draws its own mix. Partners are a pure function of the position: neighboring
groups of `repeats` rows (`Augmentation.repeats`) exchange their rows. Shape letters: B batch, H W C pixels.
"""

import tensorflow as tf

from vitcross.data.augment.erasing import within

_BISECTIONS = 40


def mix(images, labels, uniforms, *, mixup, cutmix, probability, repeats=1):
    """Mixes each image with its partner; `mixup`, `cutmix`, `probability` and `repeats` as in `Augmentation`.

    Args:
        images: (B, H, W, C) float32 in [0, 255].
        labels: (B,) int32.
        uniforms: (B, 5) float32 in [0, 1): whether to mix, mixup or CutMix, share, y, x.

    Returns:
        dict of `images` (B, H, W, C) float32, `mixed_labels` (B,) int32 (the labels of the partners) and `mixing` (B,)
        float32 in [0, 1] (the share of `labels`: with CutMix the exact share of the pixels, 1 where nothing is mixed).
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
    """The rows (B, ...), each replaced by its partner."""
    halves = tf.reshape(rows, [-1, 2, repeats, *rows.shape[1:]])
    return tf.reshape(tf.reverse(halves, [1]), tf.shape(rows))


def symmetric_beta(uniforms, concentration):
    """Samples of Beta(a, a), a > 0, from uniforms (B,): float32 in [0, 1], the quantile found by bisection."""
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
    """Rectangles of area 1 - share around random centers, clipped: mask (B, H, W) bool and exact share (B,) outside."""
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
