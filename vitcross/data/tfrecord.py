"""Random access to TFRecord files: the offset of every record, found by walking over the length headers.

Record layout (tensorflow/core/lib/io/record_writer.h): uint64 length, uint32 masked crc of the length, the data,
uint32 masked crc of the data.
"""

import mmap
import struct
import threading

import numpy as np

_HEADER, _FOOTER = 12, 4


class TFRecordFile:
    """One TFRecord file as a sequence of bytes; indexed and memory-mapped at the first access, safe to read from
    several threads.

    Args:
        path: str or path.
        num_records: int, how many records the data set's own description promises.

    Raises:
        ValueError: at the first access, if the file is cut off or holds another number of records.
    """

    def __init__(self, path, *, num_records):
        self.path = path
        self._num_records = num_records
        self._map = None
        self._offsets = None
        self._lock = threading.Lock()

    def __len__(self):
        return self._num_records

    def __getitem__(self, index):
        with self._lock:
            if self._offsets is None:
                self._open()
        start, stop = self._offsets[index] + _HEADER, self._offsets[index + 1] - _FOOTER
        return self._map[start:stop]

    def _open(self):
        with open(self.path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        offsets = record_offsets(self._map, name=self.path)
        if len(offsets) - 1 != self._num_records:
            raise ValueError(
                f"{self.path} must hold {self._num_records} records. Received: {len(offsets) - 1}; prepare it again"
            )
        self._offsets = offsets


def record_offsets(content, *, name):
    """Start of every record and the end of the last: (n + 1,) int64. Raises ValueError if the file is cut off."""
    offsets, position, size = [0], 0, len(content)
    unpack = struct.Struct("<Q").unpack_from
    while position < size:
        if position + _HEADER > size:
            break
        position += _HEADER + unpack(content, position)[0] + _FOOTER
        offsets.append(position)
    if position != size:
        raise ValueError(
            f"{name} must be a whole TFRecord file. Received: one cut off after byte {offsets[-1]}; prepare it again"
        )
    return np.array(offsets, np.int64)
