"""Reads masks: images beside the images, in which every pixel that is not 0 belongs to the object.

A palette image (PASCAL VOC) counts by its numbers, a transparent pixel does not. Shape letters: H W pixels.
"""

import numpy as np
from PIL import Image

from vitcross.data.sources.image_rules import raster_formats


def read_mask(path):
    """The mask in a file, (H, W) bool. Raises OSError or ValueError if Pillow cannot read it."""
    with Image.open(path, formats=raster_formats()) as image:
        values = np.asarray(image)
        bands = image.getbands()
    if values.ndim == 2:
        return values != 0
    opaque = values[..., bands.index("A")] != 0 if "A" in bands else True
    colors = [k for k, band in enumerate(bands) if band != "A"]
    return (values[..., colors] != 0).any(axis=-1) & opaque


def mask_size(path):
    """(height, width) of a mask, from its header; None if it cannot be read."""
    try:
        with Image.open(path, formats=raster_formats()) as image:
            return image.size[::-1]
    except Exception:  # noqa: BLE001 - decoders raise almost anything on broken input
        return None
