"""Prepares one image for a network, as evaluation does, without importing TensorFlow.

Shape letters: H W C pixels.
"""

import os

from vitcross.data import geometry
from vitcross.data.batch import normalize
from vitcross.data.sources.decode import EncodedImage


def preprocess(image, *, options):
    """Decodes, crops and resizes an image by `options`: (H, W, C) float32 in [-1, 1].

    Args:
        image: path, encoded bytes, or uint8 array (h, w) or (h, w, 1 or 3).
        options: `ImageOptions`.

    Raises:
        UnreadableImage: if it cannot be decoded.
    """
    name = os.fspath(image) if isinstance(image, (str, os.PathLike)) else "image"
    encoded = EncodedImage(image, name=name)
    view = geometry.evaluation_view(
        encoded.size, options.image_size, resize=options.resize, evaluation_crop=options.evaluation_crop
    )
    kept = {"channels": options.channels, "value_range": options.value_range}
    return normalize(geometry.resample(encoded, view, options.image_size, **kept))
