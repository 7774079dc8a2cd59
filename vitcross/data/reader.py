"""Reads batches of uint8 images of one size by index: decoded on all cores, or cached in memory.

Both readers give the same bytes; `cache_gigabytes` decides which one is used. Shape letters: B batch, H W C pixels.
"""

import os

import numpy as np

from vitcross.data import batch as contract
from vitcross.data import geometry
from vitcross.data.augment import streams
from vitcross.data.decode_pool import DecodePool
from vitcross.data.preprocess import read_view
from vitcross.data.problems import UnreadableImage, check_still_there
from vitcross.data.sources.source import Source, label_row

_GIGABYTE = 2**30


class DecodingReader:
    """Decodes the images of a source and resizes them to one size.

    Args:
        source: `Source`.
        options: `ImageOptions`.
        unreadable: `UnreadableImages` that counts the unreadable images.
        view: `evaluation` (deterministic), `random` (random resized crops, from uniforms) or `native` (as stored; all
            images of the source must have one shape).
        pool: `DecodePool`, the threads that read; None: one for this reader alone.
    """

    def __init__(self, source, *, options, unreadable, view, pool=None):
        self.source, self.view = source, view
        self._options, self._unreadable = options, unreadable
        size = source.image_shape[:2] if view == "native" else options.image_size
        self.image_shape = (*size, options.channels)
        self._bad = set()
        self._pool = pool or DecodePool(options)
        # Images of one known shape are small, and a source may open its images in a way of its own.
        self._by_processes = source.image_shape is None and type(source).image is Source.image

    def __len__(self):
        return len(self.source)

    def read(self, indices, *, uniforms=None, substitute=False):
        """The examples at `indices` (B,).

        Args:
            indices: (B,) integers in [0, n).
            uniforms: (B, NUM_STREAMS) float32 in [0, 1), for random views (`randomness.uniforms`).
            substitute: bool, replace an unreadable example with the next readable one; otherwise its row is black and
                not valid.

        Returns:
            dict of NumPy arrays: images (B, H, W, C) uint8, labels, valid, index and the source's optional keys.

        Raises:
            TooManyUnreadable, DataVanished; ValueError for a damaged file of a data set, or without a readable image.
        """
        out = self.empty(len(indices))

        def work(rows):
            for row in rows:
                self._read_row(out, row, int(indices[row]), None if uniforms is None else uniforms[row], substitute)

        self._pool.for_each(work, range(len(indices)))
        return out

    @property
    def cache_bytes(self):
        """Memory that the decoded images of the split need, in bytes."""
        return len(self) * int(np.prod(self.image_shape))

    @property
    def spec(self):
        """dict of each batch key to the shape and dtype of one example."""
        keys = {key: ((), contract.REQUIRED_KEYS[key]) for key in ("labels", "valid", "index")}
        keys["labels"] = contract.labels_spec(len(self.source.class_names), self.source.multilabel)
        optional = {key: contract.OPTIONAL_KEYS[key] for key in self.source.optional_keys}
        return {"images": (self.image_shape, np.uint8), **keys, **optional}

    def empty(self, size):
        """Arrays for `size` examples, all zero."""
        return {key: np.zeros((size, *shape), dtype) for key, (shape, dtype) in self.spec.items()}

    def _read_row(self, out, row, index, uniforms, substitute):
        size = len(self)
        for candidate in ((index + k) % size for k in range(size if substitute else 1)):
            out["index"][row] = candidate
            if candidate in self._bad:
                continue
            record = self.source.record(candidate)
            label, multilabel = record["label"], self.source.multilabel
            out["labels"][row] = label_row(label, len(self.source.class_names)) if multilabel else label
            try:
                pixels, view = self._decode(candidate, record, uniforms)
                if pixels.shape != self.image_shape:
                    name = self.source.example_name(candidate)
                    raise UnreadableImage(name, f"shape {pixels.shape}, the data set says {self.image_shape}")
            except UnreadableImage as problem:
                check_still_there(record["image"])  # a vanished folder is not the fault of the images
                # Count first: beyond the limit `add` raises, and every reading thread must raise that reason.
                self._unreadable.add(problem)
                self._bad.add(candidate)
                continue
            out["images"][row] = pixels
            out["valid"][row] = True
            for key in self.source.optional_keys:
                is_box = key in contract.BOX_KEYS
                out[key][row] = geometry.box_in_view(record[key], view) if is_box else record[key]
            return
        if substitute:
            raise ValueError(f"{self.source.name}: none of its {size} images can be read")

    def _decode(self, index, record, uniforms):
        if uniforms is not None:
            uniforms = uniforms[streams.VIEW]
        content, process = record["image"], self._pool.process() if self._by_processes else None
        if process is not None and isinstance(content, (bytes, str, os.PathLike)):
            return process.read_view(content, name=self.source.example_name(index), kind=self.view, uniforms=uniforms)
        return read_view(self.source.image(index, record), kind=self.view, options=self._options, uniforms=uniforms)


class CachingReader:
    """Caches the images of a `DecodingReader`, each decoded when it is first read, so that training starts at once.

    It is safe to use from several threads: two may decode the same image and store the same bytes.
    """

    def __init__(self, reader):
        self._reader = reader
        self.spec = reader.spec
        self._arrays = reader.empty(len(reader))
        self._known = np.zeros(len(reader), np.bool_)

    def __len__(self):
        return len(self._reader)

    def read(self, indices, *, uniforms=None, substitute=False):
        """Like `DecodingReader.read`; `uniforms` is unused, since random views are not cached."""
        indices = np.array(indices, np.int64)
        self._decode(indices)
        if substitute:
            for row in np.flatnonzero(~self._arrays["valid"][indices]):
                indices[row] = self._next_readable(indices[row])
        return {key: values[indices] for key, values in self._arrays.items()}

    def _decode(self, indices):
        missing = np.unique(indices[~self._known[indices]])
        if missing.size:
            for key, values in self._reader.read(missing).items():
                self._arrays[key][missing] = values
            self._known[missing] = True  # set last, since other threads then read the arrays

    def _next_readable(self, index):
        size = len(self)
        for step in range(1, size):
            candidate = np.array([(index + step) % size])
            self._decode(candidate)
            if self._arrays["valid"][candidate[0]]:
                return candidate[0]
        raise ValueError(f"{self._reader.source.name}: none of its {size} images can be read")


def fits(reader, gigabytes):
    """Whether all decoded images of a `DecodingReader` need at most `gigabytes`."""
    return reader.view != "random" and reader.cache_bytes <= gigabytes * _GIGABYTE
