"""Defines `Source`, the interface of every data set: random access to examples.

An example is a dict of `image` uint8 (h, w, c), `label` and the optional keys of `batch.py`. The label is an int; in a
source with several labels per image it is a sorted tuple of ints, which may be empty. K classes.
"""

import abc
import hashlib
import json
import os
import unicodedata

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
        multilabel: bool, whether an image has any number of labels.
    """

    fingerprint_examples = 256  # at how many examples, evenly spread, `fingerprint` looks

    def __init__(self, *, name, class_names, channels, image_shape=None, optional_keys=(), multilabel=False):
        self.name = name
        self.class_names = tuple(class_names)
        self.channels = channels
        self.image_shape = image_shape
        self.optional_keys = tuple(optional_keys)
        self.multilabel = multilabel

    has_masks = False  # whether `mask` is known of any example

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

    def label_boxes(self, index):
        """Where the objects of each label are: dict of label to (M, 4) boxes (y_min, x_min, y_max, x_max) in [0, 1] of
        the whole image; None if unknown. Of sources with several labels per image."""
        return None  # noqa: RET501 - the value for unknown boxes

    def mask(self, index):
        """The pixels of the whole image that belong to the object that decides the label: (h, w) bool, in any
        resolution; None if unknown. Only if `has_masks`."""
        return None  # noqa: RET501 - the value for an unknown mask

    def labels(self):
        """All labels, read without decoding images: (n,) int64; with several per image (n, K) float32 of 0 and 1."""
        labels = [self.record(index)["label"] for index in range(len(self))]
        if not self.multilabel:
            return np.array(labels, np.int64)
        return np.array([label_row(each, len(self.class_names)) for each in labels], np.float32)

    def fingerprint(self):
        """A short text that is equal for equal examples in the same order, wherever they are stored.

        It is cheap: it covers the number of examples, the names of the classes, and the marks of some examples.
        """
        digest = hashlib.sha256(json.dumps([len(self), self.class_names]).encode())
        count = min(len(self), self.fingerprint_examples)
        for k in range(count):
            digest.update(self.example_mark(k * len(self) // count))
        return digest.hexdigest()[:16]

    def example_mark(self, index):
        """What tells an example from others, as bytes: its label, and its image without decoding it."""
        record = self.record(index)
        return f"{np.array(record['label']).tolist()} ".encode() + _content_mark(record["image"])

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


def _content_mark(image):
    """Name and size of an image file, else a hash of the image."""
    if isinstance(image, str | os.PathLike):
        name = unicodedata.normalize("NFC", os.path.basename(image))  # a file system may store another form
        size = os.path.getsize(image) if os.path.exists(image) else -1
        return os.fsencode(f"{name} {size}\n")
    content = image.tobytes() if isinstance(image, np.ndarray) else image or b""
    return hashlib.sha256(content).digest()


def label_row(labels, num_classes):
    """The labels of one image, a sequence of distinct ints, as the row of a batch: (K,) float32, 1 for each label."""
    row = np.zeros(num_classes, np.float32)
    row[list(labels)] = 1
    return row
