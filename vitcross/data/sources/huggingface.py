"""A source of images and labels in memory-mapped Arrow tables, as Hugging Face's `datasets` opens them.

Images stay encoded and labels are numbers in NumPy arrays: ten million rows need some bytes each.
Shape letters: n rows.
"""

import os

import numpy as np

from vitcross.data.problems import UnreadableImage
from vitcross.data.sources.huggingface_labels import SeveralLabels
from vitcross.data.sources.source import Source


class ImageColumn:
    """The encoded images of a column; safe to read from several threads.

    Args:
        column: `pyarrow.ChunkedArray` of structs of bytes and path, of bytes, or of paths.
        folder: str or None, the folder to which paths are relative.
    """

    def __init__(self, column, *, folder):
        self._column, self._folder = column, folder
        self._is_struct = hasattr(column.type, "fields") or str(column.type).startswith("struct")

    def __len__(self):
        return len(self._column)

    def view(self, row):
        """memoryview of the file, not read yet; its path; or None."""
        value = self._column[row]
        if self._is_struct and value.is_valid:
            content = value["bytes"]
            value = content if content.is_valid or "path" not in value else value["path"]
        if not value.is_valid:
            return None
        if "string" in str(value.type):
            return os.path.join(self._folder or "", value.as_py())
        return memoryview(value.as_buffer())

    def content(self, row):
        """The bytes of the file, its path, or None."""
        view = self.view(row)
        return (bytes(view) or None) if isinstance(view, memoryview) else view

    def path(self, row):
        """The path that the data set gives, or None."""
        value = self._column[row]
        if self._is_struct:
            value = value["path"] if value.is_valid and "path" in value else None
        return value.as_py() if value is not None and value.is_valid and "string" in str(value.type) else None


class HuggingFaceSource(Source):
    """One split.

    Args:
        name: str, e.g. `photos/train`.
        images: `ImageColumn` of all rows of the split.
        rows: (n,) integers, the rows that are used, in order; None: all.
        labels: (n,) int32 or `SeveralLabels` of all rows of the split; None: all -1.
        class_names: sequence of str.
        channels: 1 or 3.
    """

    def __init__(self, *, name, images, rows=None, labels=None, class_names=(), channels=3):
        several = isinstance(labels, SeveralLabels)
        super().__init__(name=name, class_names=class_names, channels=channels, multilabel=several)
        self._images, self._rows, self._labels = images, rows, labels

    def __len__(self):
        return len(self._images if self._rows is None else self._rows)

    def select(self, rows):
        """The same split with the images of `rows` (n,) only."""
        arguments = {"name": self.name, "images": self._images, "labels": self._labels, "rows": rows}
        return HuggingFaceSource(**arguments, class_names=self.class_names, channels=self.channels)

    def row(self, index):
        """Position in the split, as the data set counts, of the example at `index`."""
        return index if self._rows is None else int(self._rows[index])

    def record(self, index):
        return {"image": self._images.content(self.row(index)), "label": self.label(index)}

    def view(self, index):
        """The image of an example as `ImageColumn.view` gives it."""
        return self._images.view(self.row(index))

    def label(self, index):
        """The label of an example, as in its record."""
        label = -1 if self._labels is None else self._labels[self.row(index)]
        return label if self.multilabel else int(label)

    def labels(self):
        if self._labels is None:
            return np.full(len(self), -1, np.int64)
        labels = self._labels.dense() if self.multilabel else self._labels.astype(np.int64)
        return labels if self._rows is None else labels[self._rows]

    def image(self, index, record):
        if record["image"] is None:
            raise UnreadableImage(self.example_name(index), "no image in this row")
        return super().image(index, record)

    def example_name(self, index):
        """The path of the image's file, or split and row."""
        row = self.row(index)
        path = self._images.path(row)
        if path is not None and os.path.isabs(path):
            return path
        return f"{self.name}/{row}" + (f" ({path})" if path else "")
