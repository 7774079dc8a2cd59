"""Computes views, the parts of images that the model sees, and the images and boxes in them.

A view is (y_min, x_min, y_max, x_max) relative to the upright image; with `pad` it extends beyond [0, 1]. Boxes use the
same order. Shape letters: H W C pixels.
"""

import math

import numpy as np
from PIL import Image

from vitcross.data.sources.decode import to_array

FULL_VIEW = (0.0, 0.0, 1.0, 1.0)


def evaluation_view(source_size, image_size, *, resize="crop", evaluation_crop=1.0):
    """The view of `ImageOptions.resize` for an image of `source_size` (height, width)."""
    if resize == "stretch":
        return FULL_VIEW
    ratios = [source / target for source, target in zip(source_size, image_size, strict=True)]
    scale = max(ratios) if resize == "pad" else min(ratios) * evaluation_crop
    view = []
    for source, target in zip(source_size, image_size, strict=True):
        half = scale * target / source / 2
        view.append((0.5 - half, 0.5 + half))
    (y_min, y_max), (x_min, x_max) = view
    return (y_min, x_min, y_max, x_max)


def random_resized_view(uniforms, source_size, image_size, *, min_scale):
    """A random crop (Szegedy et al. 2015): area share in [min_scale, 1], aspect ratio in [3/4, 4/3] of the target's.

    The closed form needs no rejection, so it vectorizes; a crop that does not fit is clipped to the image.

    Args:
        uniforms: (..., 4) array in [0, 1): area, aspect ratio, y, x.
        source_size: (height, width) of the image.
        image_size: (height, width) of the target.
        min_scale: float in (0, 1].

    Returns:
        (..., 4) view.
    """
    area, ratio, y, x = np.moveaxis(np.asarray(uniforms), -1, 0)
    scale = min_scale + area * (1 - min_scale)
    # log-uniform in [3/4, 4/3], times the target's ratio in relative coordinates
    relative = (image_size[1] / image_size[0]) * (source_size[0] / source_size[1])
    aspect = np.exp((2 * ratio - 1) * math.log(4 / 3)) * relative
    height = np.minimum(np.sqrt(scale / aspect), 1.0)
    width = np.minimum(np.sqrt(scale * aspect), 1.0)
    y_min, x_min = y * (1 - height), x * (1 - width)
    return np.stack([y_min, x_min, y_min + height, x_min + width], axis=-1)


def resample(encoded, view, image_size, *, channels, value_range=None):
    """Decodes an `EncodedImage`, crops it to `view` and resizes it: (H, W, C) uint8, antialiased bilinear.

    `value_range` is that of `EncodedImage.load`.
    """
    height, width = image_size
    y_min, x_min, y_max, x_max = view
    at_least = (height / (y_max - y_min), width / (x_max - x_min))
    image = encoded.load(channels=channels, at_least=at_least, value_range=value_range)
    if image.size == (width, height) and view == FULL_VIEW:
        return to_array(image)
    top, left, bottom, right = y_min * image.height, x_min * image.width, y_max * image.height, x_max * image.width
    if y_min < 0 or x_min < 0:
        return to_array(_padded(image, view, image_size))
    box = (left, top, min(right, image.width), min(bottom, image.height))
    return to_array(image.resize((width, height), Image.Resampling.BILINEAR, box=box))


def _padded(image, view, image_size):
    y_min, x_min, y_max, x_max = view
    height, width = (
        max(1, round(target / (high - low)))
        for target, low, high in zip(image_size, (y_min, x_min), (y_max, x_max), strict=True)
    )
    canvas = Image.new(image.mode, image_size[::-1])
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    canvas.paste(resized, ((image_size[1] - width) // 2, (image_size[0] - height) // 2))
    return canvas


def mask_in_view(mask, view, image_size):
    """A mask (h, w) of the whole image as `view` shows it at `image_size`: (H, W) bool, the nearest pixel of each."""
    rows, columns = (
        np.floor((low + (np.arange(size) + 0.5) / size * (high - low)) * extent).astype(np.int64)
        for low, high, size, extent in zip(view[:2], view[2:], image_size, mask.shape, strict=True)
    )
    inside = np.outer((rows >= 0) & (rows < mask.shape[0]), (columns >= 0) & (columns < mask.shape[1]))
    found = mask[np.ix_(rows.clip(0, mask.shape[0] - 1), columns.clip(0, mask.shape[1] - 1))]
    return found.astype(bool) & inside


def box_around(mask):
    """The box (y_min, x_min, y_max, x_max) in [0, 1] around a mask (H, W): float32 (4,), zero if it is empty."""
    if not mask.any():
        return np.zeros(4, np.float32)
    ends = [np.flatnonzero(mask.any(axis=axis))[[0, -1]] for axis in (1, 0)]
    (top, bottom), (left, right) = ends
    height, width = mask.shape
    return np.array([top / height, left / width, (bottom + 1) / height, (right + 1) / width], np.float32)


def box_in_view(box, view):
    """A box (4,) of the image in the coordinates of `view`: float32 (4,), clipped to [0, 1]."""
    y_min, x_min, y_max, x_max = view
    origin = np.array([y_min, x_min, y_min, x_min])
    extent = np.array([y_max - y_min, x_max - x_min] * 2)
    return np.clip((np.asarray(box, np.float64) - origin) / extent, 0, 1).astype(np.float32)


def boxes_in_view(boxes, view):
    """The part of `boxes` (M, 4) of the image that lies in `view`: (at most M, 4) float32; what has no area there is
    left out."""
    seen = np.stack([box_in_view(box, view) for box in np.reshape(boxes, (-1, 4))]) if len(boxes) else np.zeros((0, 4))
    return seen[(seen[:, 2] > seen[:, 0]) & (seen[:, 3] > seen[:, 1])].astype(np.float32)
