"""Reads batches of pairs by index: images from a reader of unique images, texts from precomputed arrays.

Shape letters: B batch, n pairs, P images, T token positions.
"""

import numpy as np

from vitcross.data.augment import streams
from vitcross.data.text_arrays import spec_of_rows, take_rows


class TextReader:
    """Reads images through `images` and adds the rows of `arrays`.

    Args:
        images: `DecodingReader` or `CachingReader` of the P images.
        image_of: (n,) int64 in [0, P), the image of each pair.
        arrays: dict of batch key to an array with n rows, including `labels` (`text_arrays`).
        shown: (P,) int64 in [0, P), the image that replaces each image; None for no replacement.
        draw: bool, replace each image with any other, drawn from the uniforms of the position.
    """

    def __init__(self, images, *, image_of, arrays, shown=None, draw=False):
        self._images, self._image_of, self._arrays = images, image_of, arrays
        self._shown, self._draw = shown, draw
        self._num_images = len(images)
        self._first_pair = np.full(self._num_images, -1, np.int64)
        self._first_pair[image_of[::-1]] = np.arange(len(image_of))[::-1]

    texts_per_image = 1

    def __len__(self):
        return len(self._image_of)

    @property
    def view(self):
        """The view of the image reader."""
        return getattr(self._images, "view", None)

    @property
    def spec(self):
        """As `DecodingReader.spec`."""
        return self._images.spec | spec_of_rows(self._arrays)

    def read(self, indices, *, uniforms=None, substitute=False):
        """The pairs at `indices` (B,), like `DecodingReader.read`.

        If `substitute` replaces an unreadable image with the next one, the text is the first of that image, unless
        images are replaced on purpose.
        """
        indices = np.array(indices, np.int64)
        wanted = self._wanted(self._image_of[indices], uniforms)
        out = self._images.read(wanted, uniforms=uniforms, substitute=substitute)
        if self._shown is None and not self._draw:
            replaced = out["index"] != wanted
            indices[replaced] = self._first_pair[out["index"][replaced]]
        return out | take_rows(self._arrays, indices) | {"index": indices}

    def _wanted(self, images, uniforms):
        if self._draw:
            others = self._num_images - 1
            steps = 1 + (uniforms[:, streams.IMAGE].astype(np.float64) * others).astype(np.int64)
            return (images + steps) % self._num_images
        return images if self._shown is None else self._shown[images]


class ImageTextsReader(TextReader):
    """Reads K texts of each image: each row of `images` corresponds to K consecutive rows of the other keys.

    An example is an image: `len` is P, indices lie in [0, P). The uniforms of the position select the first of K
    consecutive texts of the image, cyclically.

    Args:
        texts_per_image: int, K.
        **arguments: those of `TextReader`.
    """

    def __init__(self, images, *, texts_per_image, **arguments):
        super().__init__(images, **arguments)
        self.texts_per_image = texts_per_image
        self._pairs = np.argsort(self._image_of, kind="stable")
        self._num_texts = np.bincount(self._image_of, minlength=self._num_images)
        self._first = np.cumsum(self._num_texts) - self._num_texts

    def __len__(self):
        return self._num_images

    @property
    def spec(self):
        """dict of each batch key to the shape and dtype of one of its rows."""
        own = {"index": ((), np.dtype(np.int64)), "valid": ((), np.dtype(np.bool_))}
        return {"images": self._images.spec["images"], **own, **spec_of_rows(self._arrays)}

    def read(self, indices, *, uniforms=None, substitute=False):
        """The images at `indices` (B,) and K texts of each: `images` has B rows, all other keys B K."""
        images = np.array(indices, np.int64)
        out = self._images.read(self._wanted(images, uniforms), uniforms=uniforms, substitute=substitute)
        if self._shown is None and not self._draw:
            images = out["index"]  # the texts of a substituted image are its own
        pairs = self._texts_of(images, uniforms[:, streams.TEXT])
        valid = np.repeat(out["valid"], self.texts_per_image)
        return {"images": out["images"], "valid": valid, "index": pairs, **take_rows(self._arrays, pairs)}

    def _texts_of(self, images, uniforms):
        count = self._num_texts[images]
        start = (uniforms.astype(np.float64) * count).astype(np.int64)
        places = (start[:, None] + np.arange(self.texts_per_image)) % count[:, None]
        return self._pairs[self._first[images][:, None] + places].reshape(-1)
