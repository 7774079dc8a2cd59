"""Gives random access to TFRecord files by finding the offset of every record from the length headers.

No file stays open or mapped: a large set has more files than a process may open, and accessing a map of a file that was
truncated kills the process.

Record layout (tensorflow/core/lib/io/record_writer.h): uint64 length, uint32 masked crc of the length, the data,
uint32 masked crc of the data.
"""

import mmap
import os
import struct
import threading

import numpy as np

HEADER, FOOTER = 12, 4


class TFRecordFile:
    """One TFRecord file as a sequence of bytes; indexed at the first access, safe to read from several threads.

    `num_records` is the number of records in the data set's description.

    Raises:
        ValueError: at the first access, if the file is truncated or holds another number of records.
        OSError: if it does not exist.
    """

    def __init__(self, path, *, num_records):
        self.path = path
        self._num_records = num_records
        self._offsets = None
        self._lock = threading.Lock()

    def __len__(self):
        return self._num_records

    def __getitem__(self, index):
        self.index()
        start, stop = self._offsets[index] + HEADER, self._offsets[index + 1] - FOOTER
        with open(self.path, "rb", buffering=0) as file:
            file.seek(start)
            content = file.read(stop - start)
        if len(content) != stop - start:
            raise ValueError(f"{self.path} must be a whole TFRecord file. Received: one cut off since it was opened")
        return content

    def index(self):
        """Finds the offsets of all records if they are not yet known."""
        with self._lock:
            if self._offsets is None:
                offsets = self._find()
                if len(offsets) - 1 != self._num_records:
                    raise ValueError(f"{self.path} must hold {self._num_records} records. Received: {len(offsets) - 1}")
                self._offsets = offsets

    def _find(self):
        with open(self.path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:  # an empty file cannot be mapped
                return record_offsets(b"", name=self.path)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return record_offsets(content, name=self.path)


def record_offsets(content, *, name):
    """Start of every record and the end of the last: (n + 1,) int64. Raises ValueError if the file is truncated."""
    offsets, position, size = [0], 0, len(content)
    unpack = struct.Struct("<Q").unpack_from
    while position < size:
        if position + HEADER > size:
            break
        position += HEADER + unpack(content, position)[0] + FOOTER
        offsets.append(position)
    if position != size:
        raise ValueError(f"{name} must be a whole TFRecord file. Received: one cut off at byte {size}")
    return np.array(offsets, np.int64)
