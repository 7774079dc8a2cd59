"""Files of every awkward kind, written with Pillow or by hand."""

import io

import numpy as np
from PIL import Image


def gradient(height, width, channels=3, seed=0):
    """(height, width, channels) uint8: smooth, different in every direction and channel."""
    y, x = np.mgrid[:height, :width]
    planes = [40 + 150 * y / height + 20 * c + 30 * ((c + seed) % 2) * x / width for c in range(channels)]
    return np.stack(planes, -1).round().astype(np.uint8)


def encode(pixels, kind="PNG", **arguments):
    """uint8 array or PIL image -> bytes."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, kind, **arguments)
    return buffer.getvalue()


def write_folder(root, classes, size=(13, 11)):
    """root/<class>/<k>.png for a dict of class name to number of images; returns root."""
    for number, (name, count) in enumerate(classes.items()):
        (root / name).mkdir(parents=True)
        for k in range(count):
            pixels = np.full((*size, 3), 20 * number + k, np.uint8)
            (root / name / f"{k:03}.png").write_bytes(encode(pixels))
    return root
