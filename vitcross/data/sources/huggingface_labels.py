"""Reads the labels of Arrow columns as numbers: named classes, words or numbers, one or several for each image.

Shape letters: n rows, m labels of all rows, K classes.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitcross.data.sources.huggingface_columns import kind_of

UNKNOWN = -1


def class_names_of(column, feature):
    """The class names of a label column (`pyarrow.ChunkedArray`): those of ClassLabel, else its sorted values."""
    kind, is_list = kind_of(feature)
    if kind == "class":
        item = getattr(feature, "feature", feature[0] if isinstance(feature, list) else feature)
        return tuple(item.names)
    values = pc.unique(flat(column) if is_list else column).drop_null()
    if kind == "bool":  # `true`, as files have it
        values = values.cast(pa.string())
    return tuple(str(value) for value in sorted(values.to_pylist()))


def label_numbers(column, feature, class_names):
    """The labels of a column of single values (n,) int32; `UNKNOWN` for none, and for a value that is no class."""
    kind, _ = kind_of(feature)
    if kind == "class":
        numbers = pc.fill_null(column, UNKNOWN).to_numpy().astype(np.int32)
        return np.where((numbers >= 0) & (numbers < len(class_names)), numbers, UNKNOWN)
    if kind == "bool":
        column, names = column.cast(pa.string()), pa.array(class_names)
    elif kind == "int":
        names = pa.array([int(name) for name in class_names]).cast(column.type)
    else:
        names = pa.array(class_names, column.type)
    return pc.fill_null(pc.index_in(column, value_set=names), UNKNOWN).to_numpy().astype(np.int32)


def foreign_values(column, feature, class_names, most=3):
    """The first values of a column, single or in lists, that are no class: list of str."""
    kind, is_list = kind_of(feature)
    if kind == "class":
        return []
    values = pc.unique(flat(column) if is_list else column).drop_null()
    known = set(class_names)
    return [
        value for value in (values.cast(pa.string()) if kind != "text" else values).to_pylist() if value not in known
    ][:most]


def flat(column):
    """The items of all lists of a column, in order."""
    return pa.chunked_array([pc.list_flatten(chunk) for chunk in column.chunks], column.type.value_type)


def list_lengths(column):
    """Number of items of each list (n,) int64; 0 for a missing one."""
    return pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)


class SeveralLabels:
    """The labels of rows with any number of them: item i is the sorted tuple of distinct labels of row i."""

    def __init__(self, column, feature, class_names):
        numbers = label_numbers(flat(column), feature, class_names)
        lengths = list_lengths(column)
        self._row = np.repeat(np.arange(len(lengths)), lengths)[numbers != UNKNOWN]
        self._numbers = numbers[numbers != UNKNOWN]
        self._ends = np.cumsum(np.bincount(self._row, minlength=len(lengths)))
        self._num_classes = len(class_names)

    def __len__(self):
        return len(self._ends)

    def __getitem__(self, row):
        start = self._ends[row - 1] if row else 0
        return tuple(np.unique(self._numbers[start : self._ends[row]]).tolist())

    def dense(self):
        """(n, K) float32, 1 for each label of a row."""
        rows = np.zeros((len(self), self._num_classes), np.float32)
        rows[self._row, self._numbers] = 1
        return rows
