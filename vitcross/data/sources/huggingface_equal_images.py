"""Finds rows of an Arrow column that hold the same image, so that an image with several rows counts as one.

Rows are compared by the path that the set gives, the length of the file, a few of its bytes, and, where all agree, by a
hash of the file. Only a few bytes of most images are read. Shape letters: n rows.
"""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_MOST_WITHOUT_PATH = 1_000_000  # a look at every file would take minutes
_PLACES, _SAMPLE = (1 / 2, 3 / 4), 8


def first_equal(column):
    """The first row with the same image for each row (n,) int64; None if every row has an image of its own.

    Args:
        column: `pyarrow.ChunkedArray` of structs of bytes and path, of bytes, or of paths.
    """
    contents, paths = _fields(column)
    keys = np.zeros(len(column), np.int64) if paths is None else _numbers(paths)
    has_path = paths is not None and paths.null_count < len(paths)
    if contents is not None and contents.null_count < len(contents):
        if not has_path and len(column) > _MOST_WITHOUT_PATH:
            return None
        lengths = pc.fill_null(pc.binary_length(contents), 0).to_numpy().astype(np.int64)
        keys = _joined(keys, lengths)
        for place in _PLACES:
            rows = _in_groups(keys)
            keys[rows] = _joined(keys[rows], _samples(contents, rows, lengths, place)) + keys.max() + 1
        rows = _in_groups(keys)
        keys[rows] = _joined(keys[rows], _hashes(contents, rows)) + keys.max() + 1
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return None if len(first) == len(keys) else first[inverse]


def _fields(column):
    """`(bytes, paths)` of a column of images; each a `ChunkedArray` or None."""
    kind = column.type
    if pa.types.is_struct(kind):
        names = [kind.field(k).name for k in range(kind.num_fields)]
        return tuple(pc.struct_field(column, name) if name in names else None for name in ("bytes", "path"))
    return (None, column) if pa.types.is_string(kind) or pa.types.is_large_string(kind) else (column, None)


def _numbers(values):
    """Equal numbers for equal values, (n,) int64."""
    # Not `dictionary_encode`, whose time grows with the square of the number of chunks.
    return pc.index_in(values, value_set=pc.unique(values)).to_numpy().astype(np.int64)


def _joined(keys, more):
    """Numbers that are equal where both are equal."""
    second = np.unique(more, return_inverse=True)[1]
    return np.unique(keys * (int(second.max(initial=0)) + 1) + second, return_inverse=True)[1]


def _in_groups(keys):
    """The rows whose key another row has too."""
    return np.flatnonzero(np.bincount(keys)[keys] > 1)


def _samples(contents, rows, lengths, place):
    return np.array(
        [
            int.from_bytes(_buffer(contents, row)[int(place * lengths[row]) :][:_SAMPLE], "little") >> 1
            for row in rows.tolist()
        ],
        np.int64,
    )


def _hashes(contents, rows):
    digests = (hashlib.blake2b(_buffer(contents, row), digest_size=8).digest() for row in rows.tolist())
    return np.array([int.from_bytes(digest, "little") >> 1 for digest in digests], np.int64)


def _buffer(contents, row):
    value = contents[row]
    return memoryview(value.as_buffer()) if value.is_valid else b""
