"""Pairs of images and texts in memory-mapped Arrow tables: captions, lists of captions, or questions with answers.

Texts stay in the files; a pair costs some bytes of memory. Shape letters: n pairs.
"""

import collections

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitcross.data.sources.huggingface_columns import kind_of
from vitcross.data.sources.huggingface_labels import flat, list_lengths
from vitcross.data.sources.pair_source import PairSource

QUESTION = "question"  # the type of all questions


class ArrowPairSource(PairSource):
    """One split of pairs.

    Args:
        name: str.
        images: `HuggingFaceSource` of all rows of the split.
        texts: `TextColumn`.
        at: (n,) integers, the texts that are used, in order.
        image_rows: (n,) integers, the row of each pair's image.
        labels: (n,) int32, the class of the image or the most frequent answer; -1: unknown.
        class_names: sequence of str.
        answers: `Answers` of the rows of questions; None for captions.
    """

    def __init__(self, *, name, images, texts, at, image_rows, labels, class_names=(), answers=None):
        super().__init__(name=name, images=images, pairs=(), class_names=class_names)
        self._texts, self._at, self._image_rows, self._labels = texts, at, image_rows, labels
        self._answers = answers
        used, self.image_ids = np.unique(image_rows, return_inverse=True)
        self.images = images.select(used)

    def __len__(self):
        return len(self._at)

    def select(self, indices):
        indices = np.asarray(indices, np.int64)
        return ArrowPairSource(
            name=self.name,
            images=self._every_image,
            texts=self._texts,
            at=self._at[indices],
            image_rows=self._image_rows[indices],
            labels=self._labels[indices],
            class_names=self.class_names,
            answers=self._answers,
        )

    def labels(self):
        return self._labels.astype(np.int64)

    def text_name(self, index):
        return f"{self.name}/{self._texts.row(int(self._at[index]))}"

    def text(self, index):
        return self._texts[int(self._at[index])]

    def texts(self, most=None):
        """All captions or questions, in order, or `most` of them, evenly spread: list of str."""
        count = len(self) if most is None else min(most, len(self))
        return [self.text(k * len(self) // count) for k in range(count)]

    def answers(self, index):
        return () if self._answers is None else self._answers[self._texts.row(int(self._at[index]))]

    @property
    def question_types(self):
        return () if self._answers is None else (QUESTION,)

    def question_type(self, index):
        return QUESTION

    @property
    def num_annotators(self):
        return 0 if self._answers is None else self._answers.most


class TextColumn:
    """The texts of a column of texts or of lists of texts, stripped; item i is a str.

    Attributes:
        usable: positions of the texts that are not empty, (n,) integers.
    """

    def __init__(self, column, feature):
        is_list = kind_of(feature)[1]
        self._texts = flat(column) if is_list else column
        self._ends = np.cumsum(list_lengths(column)) if is_list else None
        words = pc.fill_null(pc.binary_length(pc.utf8_trim_whitespace(self._texts)), 0).to_numpy()
        self.usable = np.flatnonzero(words).astype(np.uint32)

    def __len__(self):
        return len(self._texts)

    def __getitem__(self, position):
        return bytes(self._texts[position].as_buffer()).decode("utf-8", "replace").strip()

    def row(self, position):
        """The row of the text at `position`, an int or an array of them."""
        if self._ends is None:
            return position
        rows = np.searchsorted(self._ends, position, side="right")
        return rows if isinstance(position, np.ndarray) else int(rows)


class Answers:
    """The answers of each row; item i is a tuple of str, one from each annotator.

    Attributes:
        most: int, annotators of the row with the most.
    """

    def __init__(self, column, feature):
        kind, is_list = kind_of(feature)
        values = flat(column) if is_list else column
        if kind == "dict":
            values = pc.struct_field(values, "answer")
        if kind == "class":
            item = getattr(feature, "feature", feature)
            values = pa.chunked_array([pa.array(item.names).take(chunk) for chunk in values.chunks], pa.string())
        values = pc.utf8_trim_whitespace(values.cast(pa.string()))
        distinct = pc.unique(values).drop_null()
        self._words = distinct.to_pylist()
        self._numbers = pc.fill_null(pc.index_in(values, value_set=distinct), -1).to_numpy().astype(np.int32)
        lengths = list_lengths(column) if is_list else np.ones(len(column), np.int64)
        self._ends = np.cumsum(lengths)
        self.most = int(lengths.max(initial=0))

    def __len__(self):
        return len(self._ends)

    def __getitem__(self, row):
        start = self._ends[row - 1] if row else 0
        numbers = self._numbers[start : self._ends[row]].tolist()
        return tuple(self._words[number] for number in numbers if number >= 0 and self._words[number])

    def most_frequent(self):
        """The most frequent answer of each row, the first of equally frequent ones: array of str or None."""
        found = np.empty(len(self), object)
        for row in range(len(self)):
            counted = collections.Counter(self[row]).most_common(1)
            found[row] = counted[0][0] if counted else None
        return found
