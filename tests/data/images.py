"""Files of every awkward kind, written with Pillow or by hand, and images in memory."""

import io

import numpy as np
from PIL import Image

from vitcross.data.sources.decode import EncodedImage, to_array
from vitcross.data.sources.source import Source


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


def decode_image(content, *, channels, name="image"):
    """bytes, path or uint8 array -> (h, w, channels) uint8, upright. Raises UnreadableImage."""
    return to_array(EncodedImage(content, name=name).load(channels=channels))


def write_folder(root, classes, size=(13, 11)):
    """root/<class>/<k>.png for a dict of class name to number of images; returns root."""
    for number, (name, count) in enumerate(classes.items()):
        (root / name).mkdir(parents=True)
        for k in range(count):
            pixels = np.full((*size, 3), 20 * number + k, np.uint8)
            (root / name / f"{k:03}.png").write_bytes(encode(pixels))
    return root


class ArraySource(Source):
    """Images and labels that are in memory already.

    Args:
        images: (n, h, w, c) uint8, c = 1 or 3.
        labels: (n,) integers; or a list of n tuples, several labels per image.
        class_names: sequence of str.
        name: str.
        extras: dict of optional keys to arrays with n rows.
    """

    def __init__(self, *, images, labels, class_names, name="array", **extras):
        super().__init__(
            name=name,
            class_names=class_names,
            channels=images.shape[-1],
            image_shape=tuple(images.shape[1:]),
            optional_keys=extras,
            multilabel=any(isinstance(label, tuple) for label in labels),
        )
        self._images, self._labels, self._extras = images, labels, extras

    def __len__(self):
        return len(self._images)

    def record(self, index):
        extras = {key: values[index] for key, values in self._extras.items()}
        label = self._labels[index]
        return {"image": self._images[index], "label": label if self.multilabel else int(label), **extras}
