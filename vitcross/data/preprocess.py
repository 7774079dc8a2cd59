"""Prepares images for a network, without importing TensorFlow.

Shape letters: H W C pixels.
"""

import os

from vitcross.data import geometry
from vitcross.data.batch import normalize
from vitcross.data.sources.decode import EncodedImage, to_array


def preprocess(image, *, options):
    """Decodes, crops and resizes an image by `options`: (H, W, C) float32 in [-1, 1].

    Args:
        image: path, encoded bytes, or uint8 array (h, w) or (h, w, 1 or 3).
        options: `ImageOptions`.

    Raises:
        UnreadableImage: if it cannot be decoded.
    """
    name = os.fspath(image) if isinstance(image, (str, os.PathLike)) else "image"
    pixels, _ = read_view(EncodedImage(image, name=name), kind="evaluation", options=options)
    return normalize(pixels)


def read_view(image, *, kind, options, uniforms=None):
    """Decodes the part of an image that a network sees.

    Args:
        image: `EncodedImage`.
        kind: `evaluation` (deterministic), `random` (a random resized crop) or `native` (all of it, not resized).
        options: `ImageOptions`.
        uniforms: (4,) float32 in [0, 1), for random views.

    Returns:
        `(pixels, view)`: (H, W, C) uint8, and the view in the image (`geometry.py`).

    Raises:
        UnreadableImage: if it cannot be decoded.
    """
    kept = {"channels": options.channels, "value_range": options.value_range}
    if kind == "native":
        return to_array(image.load(**kept)), geometry.FULL_VIEW
    if kind == "random":
        scale = options.augmentation.random_resized_crop
        view = geometry.random_resized_view(uniforms, image.size, options.image_size, min_scale=scale)
        view = tuple(view.tolist())
    else:
        crop = {"resize": options.resize, "evaluation_crop": options.evaluation_crop}
        view = geometry.evaluation_view(image.size, options.image_size, **crop)
    return geometry.resample(image, view, options.image_size, **kept), view
