"""Some examples of a record, in a given order: one operation over all fields that have an entry for each example."""

from __future__ import annotations

import dataclasses

import numpy as np


def take_rows(part, rows: list[int]):
    """A copy of `part`, a dataclass, with the entries `rows` of every field that it names in `PER_EXAMPLE`.

    Such a field is an array or a tuple (an empty one stays empty), a dict of them, another part, or None.
    """
    return dataclasses.replace(part, **{name: _take(getattr(part, name), rows) for name in part.PER_EXAMPLE})


def _take(value, rows: list[int]):
    if value is None:
        return None
    if isinstance(value, dict):
        return {name: _take(item, rows) for name, item in value.items()}
    if isinstance(value, tuple):
        return tuple(value[row] for row in rows) if value else ()
    return value[rows] if isinstance(value, np.ndarray) else take_rows(value, rows)
