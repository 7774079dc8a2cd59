"""Augments batches of training images in TensorFlow: crops, flips, shifts, color changes and erasing.

No function draws random numbers: all take the uniforms of each position (`randomness.uniforms`), so that a position
always gives the same pixels, eagerly and inside `tf.data`. Shape letters: B batch, H W C pixels.
"""

import numpy as np
import tensorflow as tf

from vitcross.data import geometry
from vitcross.data.augment.erasing import erase
from vitcross.data.augment.randaugment import randaugment
from vitcross.data.augment.streams import ERASING, FLIP, JITTER, RANDAUGMENT, SHIFT, THREE_AUGMENT, VIEW
from vitcross.data.augment.three_augment import three_augment

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def augment(images, boxes, uniforms, *, options, image_size, crop=False):
    """Applies the changes that `options` selects to each image (`mixing.py` combines images with each other).

    Args:
        images: (B, h, w, C) uint8.
        boxes: (B, 4) float32 relative boxes that follow the pixels, a nest (dict, ...) of them, or None. Erasing does
            not change a box.
        uniforms: (B, NUM_STREAMS) float32 in [0, 1).
        options: `Augmentation`.
        image_size: (H, W) of the result.
        crop: bool, cut random crops here; otherwise the images already have `image_size`.

    Returns:
        images (B, H, W, C) float32 in [0, 255], or uint8 if all values stayed whole, and boxes.
    """
    if crop:
        images, boxes = random_resized_crop(
            images, boxes, uniforms[:, VIEW], image_size=image_size, min_scale=options.random_resized_crop
        )
    if options.flip or options.padded_crop:
        flips = uniforms[:, FLIP] < 0.5 if options.flip else tf.zeros_like(uniforms[:, FLIP], tf.bool)
        span = 2 * options.padded_crop + 1
        shifts = tf.cast(uniforms[:, SHIFT] * span, tf.int32) - options.padded_crop
        images, boxes = flip_and_shift(images, boxes, flips=flips, shifts=shifts, image_size=image_size)
    if options.randaugment_operations:
        images, boxes = randaugment(
            images,
            boxes,
            uniforms[:, RANDAUGMENT],
            operations=options.randaugment_operations,
            magnitude=options.randaugment_magnitude,
        )
    if options.three_augment:
        images = three_augment(images, uniforms[:, THREE_AUGMENT])
    if options.color_jitter:
        images = color_jitter(images, uniforms[:, JITTER], strength=options.color_jitter)
    if options.erasing:
        images = erase(images, uniforms[:, ERASING], probability=options.erasing)
    return images, boxes


def random_resized_crop(images, boxes, uniforms, *, image_size, min_scale):
    """(B, h, w, C) -> (B, H, W, C) float32 in [0, 255]: bilinear resampling of `geometry.random_resized_view`."""
    source_size = tuple(images.shape[1:3])
    views = tf.numpy_function(
        lambda u: geometry.random_resized_view(u, source_size, image_size, min_scale=min_scale).astype(np.float32),
        [uniforms],
        tf.float32,
    )
    views.set_shape((None, 4))
    images = tf.image.crop_and_resize(tf.cast(images, tf.float32), views, tf.range(tf.shape(images)[0]), image_size)
    y_min, x_min, y_max, x_max = tf.unstack(views, axis=1)
    origin = tf.stack([y_min, x_min, y_min, x_min], axis=1)
    extent = tf.stack([y_max - y_min, x_max - x_min] * 2, axis=1)
    return images, _each(boxes, lambda box: tf.clip_by_value((box - origin) / extent, 0.0, 1.0))


def flip_and_shift(images, boxes, *, flips, shifts, image_size):
    """Mirrors the images where `flips` (B,) and moves the window by `shifts` (B, 2) pixels (y, x), in one gather.

    Beyond the border the window shows the reflection of the image; the border pixel is not repeated.
    """
    height, width = image_size
    rows = _reflected(tf.range(height)[None, :] + shifts[:, :1], height)
    columns = _reflected(tf.range(width)[None, :] + shifts[:, 1:], width)
    columns = tf.where(flips[:, None], columns[:, ::-1], columns)
    image = tf.range(tf.shape(images)[0])[:, None, None] * height
    pixel = (image + rows[:, :, None]) * width + columns[:, None, :]
    channels = images.shape[-1]
    images = tf.reshape(
        tf.gather(tf.reshape(images, [-1, channels]), tf.reshape(pixel, [-1])), [-1, height, width, channels]
    )
    moved = tf.cast(shifts, tf.float32) / tf.constant([height, width], tf.float32)

    def follow(box):
        box = box - tf.concat([moved, moved], axis=1)
        mirrored = tf.stack([box[:, 0], 1 - box[:, 3], box[:, 2], 1 - box[:, 1]], axis=1)
        return tf.clip_by_value(tf.where(flips[:, None], mirrored, box), 0.0, 1.0)

    return images, _each(boxes, follow)


def _each(boxes, function):
    return None if boxes is None else tf.nest.map_structure(function, boxes)


def _reflected(positions, size):
    positions = tf.abs(positions)
    return tf.where(positions >= size, 2 * (size - 1) - positions, positions)


def color_jitter(images, uniforms, *, strength):
    """Brightness, contrast (around the mean luma) and, for RGB, saturation, in this order: float32 in [0, 255]."""
    factors = (1 + strength * (2 * uniforms - 1))[:, :, None, None, None]
    images = tf.clip_by_value(tf.cast(images, tf.float32) * factors[:, 0], 0.0, 255.0)
    luma = images if images.shape[-1] == 1 else tf.reduce_sum(images * tf.constant(_LUMA), axis=-1, keepdims=True)
    mean = tf.reduce_mean(luma, axis=(1, 2), keepdims=True)
    images = tf.clip_by_value(mean + (images - mean) * factors[:, 1], 0.0, 255.0)
    if images.shape[-1] == 3:
        luma = tf.reduce_sum(images * tf.constant(_LUMA), axis=-1, keepdims=True)
        images = tf.clip_by_value(luma + (images - luma) * factors[:, 2], 0.0, 255.0)
    return images
