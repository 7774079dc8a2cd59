"""Random access to examples: what every data set looks like to the pipeline.

An example is a dict: `image` uint8 (h, w, c), `label` int and, where the data set has them, `box` float32 (4,) =
(y_min, x_min, y_max, x_max) in [0, 1], `num_objects` int and `mark_box` like `box`.
"""

import abc

import numpy as np

from vitcross.data.sources.decode import EncodedImage, to_array


class Source(abc.ABC):
    """One split of a data set, with random access; safe to read from several threads.

    Args:
        name: str, e.g. `fashion_mnist/train`.
        class_names: sequence of str; their number is the number of classes.
        channels: 1 or 3, channels of the decoded images.
        image_shape: (h, w, c) if all images have this shape, else None.
        optional_keys: keys of `batch.OPTIONAL_KEYS` that every example has.
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
        """The example, image still encoded: dict of `image` (bytes, path, uint8 array), `label`, optional keys."""

    def example_name(self, index):
        """What messages call the example: a file path, or split and position."""
        return f"{self.name}/{index}"

    def scene(self, index):
        """What is in the image, where it was rendered: dict of `Scene.to_json` (scenes.py); else None."""
        return None  # noqa: RET501 - a value, which says that nothing is known

    def labels(self):
        """All labels, (n,) int64, read without decoding an image."""
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
