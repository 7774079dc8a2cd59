"""Encodes rows of a map as bytes: 8 bits per value, and the scale and mass of each row as float32.

A code c stands for `scale * level(c)`. The lowest ten codes grow as squares (square-root companding: most patches get
little attention, which must not look like none), the others are 0.004 apart:

    level(c) = 0.02 (c / 10)^2      for c < 10
    level(c) = 0.02 + 0.004 (c - 10)    else, so that level(255) = 1

This is the strongest companding that keeps every value within 2e-3 of its row's largest: pure squares, `(c / 255)^2`,
are 7.8e-3 apart at the top. `assets/data.js` has the same formula.

Shape legend: R rows, P values of a row.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np

_TOE_CODES, _TOE = 10, 0.02
_STEP = 0.004
LEVELS = np.concatenate([_TOE * (np.arange(10) / _TOE_CODES) ** 2, _TOE + _STEP * np.arange(246)])


class Rows(NamedTuple):
    """Compact rows: `scale` (R,) float32, the largest value of each row, NaN where a value is not finite; `mass` (R,)
    float32, the sum of each row before rounding; `codes` (R, P) uint8."""

    scale: np.ndarray
    mass: np.ndarray
    codes: np.ndarray


def encode_rows(values) -> Rows:
    """Compact rows of values (R, P) >= 0; negative values become 0 (`signed_rows` keeps them)."""
    values = np.maximum(np.asarray(values, np.float64), 0.0)
    scale = values.max(axis=-1, initial=0.0)
    finite = np.isfinite(scale)
    share = values / np.where(finite & (scale > 0), scale, 1.0)[:, None]
    share = np.where(np.isfinite(share), share, 0.0)
    toe, linear = _TOE_CODES * np.sqrt(share / _TOE), _TOE_CODES + (share - _TOE) / _STEP
    codes = np.rint(np.where(share < _TOE, toe, linear)).astype(np.uint8)
    return Rows(np.where(finite, scale, np.nan).astype(np.float32), values.sum(axis=-1).astype(np.float32), codes)


def signed_rows(values) -> tuple[Rows, Rows]:
    """Compact rows of the positive values, and of the negative values without their sign."""
    values = np.asarray(values, np.float64)
    return encode_rows(values), encode_rows(-values)


def pack(parts) -> bytes:
    """Deflated bytes of several `Rows`, concatenated: all scales, all masses (little-endian float32), all codes."""
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    scale, mass, codes = columns
    return zlib.compress(scale.astype("<f4").tobytes() + mass.astype("<f4").tobytes() + codes.tobytes(), 6)
