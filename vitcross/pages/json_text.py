"""Writes strict JSON (RFC 8259), which every reader accepts: numbers that are not finite become null."""

import json
import math
import numbers
import os


def to_json(value, **options) -> str:
    """JSON of nested dicts, sequences, numbers (also NumPy's), str, bool and None; `options` are those of `json.dumps`.

    Raises:
        TypeError: for any other type, e.g. an array with more than one element.
    """
    return json.dumps(_plain(value), allow_nan=False, ensure_ascii=False, **options)


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, numbers.Integral):  # NumPy's integers too
        return int(value)
    if hasattr(value, "dtype") and str(value.dtype) == "bool":
        return bool(value)
    try:
        number = float(value)  # NumPy scalars, tensors of one element
    except (TypeError, ValueError):
        raise TypeError(
            f"a value of a row or summary must be a number, str, bool or None. Received: {value!r}"
        ) from None
    return number if math.isfinite(number) else None
