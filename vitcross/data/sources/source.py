"""Defines `Source`, the interface of every data set: random access to examples.

An example is a dict of `image` uint8 (h, w, c), `label` int and the optional keys of `batch.py`.
"""

import abc

import numpy as np

from vitcross.data.sources.decode import EncodedImage, to_array


class Source(abc.ABC):
    """One split of a data set, with random access; safe to read from several threads.

    Args:
        name: str, e.g. `fashion_mnist/train`.
        class_names: sequence of str.
        channels: 1 or 3, channels of the decoded images.
        image_shape: (h, w, c) if all images have this shape, else None.
        optional_keys: the keys of `batch.OPTIONAL_KEYS` that every example has.
    """

    def __init__(self, *, name, class_names, channels, image_shape=None, optional_keys=()):
        self.name = name
        self.class_names = tuple(class_names)
        self.channels = channels
        self.image_shape = image_shape
        self.optional_keys = tuple(optional_keys)

    @abc.abstractmethod
    def __len__(self):
        """Number of examples."""

    @abc.abstractmethod
    def record(self, index):
        """The example with an encoded image: dict of `image` (bytes, path or uint8 array), `label`, optional keys."""

    def example_name(self, index):
        """The name of the example in messages: a file path, or split and position."""
        return f"{self.name}/{index}"

    def scene(self, index):
        """The content of a rendered image as a dict (`Scene.to_json`); None if unknown."""
        return None  # noqa: RET501 - the value for an unknown scene

    def labels(self):
        """All labels (n,) int64, read without decoding images."""
        return np.array([self.record(index)["label"] for index in range(len(self))], np.int64)

    def image(self, index, record):
        """The `EncodedImage` of a record of this source."""
        return EncodedImage(record["image"], name=self.example_name(index))

    def __getitem__(self, index):
        """The decoded example. Raises UnreadableImage if its image cannot be decoded."""
        if not 0 <= index < len(self):
            raise IndexError(f"index must be in [0, {len(self)}). Received: {index}")
        record = dict(self.record(index))
        record["image"] = to_array(self.image(index, record).load(channels=self.channels))
        return record
