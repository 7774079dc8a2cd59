"""Writes and reads the file of a record: one compressed `.npz` of plain arrays and a JSON header. It never unpickles.

A part of a record (`AttentionRecord`, `TextPart`) lists its fields that are arrays (`ARRAYS`, None where unknown) and
those that are dicts of arrays (`TABLES`). The arrays of a table are numbered, and the header has their names in order,
since a name may contain characters that are invalid inside a zip file.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
import zlib

import numpy as np

from vitcross.atomic_files import replacing

FORMAT = "vitcross attention record"
VERSION = 1


def write_record(path, *, header: dict, arrays: dict[str, np.ndarray]) -> None:
    """Write a record atomically. Equal records give equal bytes.

    Args:
        path: str or path.
        header: dict, JSON-ready.
        arrays: dict name -> array; names must be valid file names inside a zip.
    """
    text = json.dumps({"format": FORMAT, "version": VERSION, **header})
    with replacing(path) as file:
        _write_arrays(file, {"header": np.array(text), **arrays})


def read_record(path) -> tuple[dict, dict[str, np.ndarray]]:
    """`(header, arrays)` of a file written by `write_record`.

    Raises:
        ValueError: where the file is not such a record, is damaged, or is of another version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            if (header["format"], header["version"]) != (FORMAT, VERSION):
                raise ValueError(f"format {header['format']!r}, version {header['version']}")
            return header, {name: file[name] for name in file.files if name != "header"}
    except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"`path` must be a complete attention record of version {VERSION}. Received: {path} ({error})"
        ) from error


def check_shape(name: str, array: np.ndarray | None, shape: tuple) -> None:
    """Raise ValueError for an array of another shape; None is accepted."""
    if array is not None and array.shape != shape:
        raise ValueError(f"`{name}` must have the shape {shape}. Received: shape {array.shape}")


def arrays_of(part) -> tuple[dict[str, list[str]], dict[str, np.ndarray]]:
    """`(names, arrays)` of a part: the names in each table, and all arrays by their names in the file: `labels`,
    `weights_000`, `weights_001`, ..."""
    names = {table: list(getattr(part, table)) for table in part.TABLES}
    arrays = {name: getattr(part, name) for name in part.ARRAYS if getattr(part, name) is not None}
    for table in part.TABLES:
        arrays |= {f"{table}_{i:03d}": array for i, array in enumerate(getattr(part, table).values())}
    return names, arrays


def array_fields(cls, names: dict[str, list[str]], arrays: dict[str, np.ndarray]) -> dict:
    """The inverse of `arrays_of`: field -> array, None or dict of arrays, of a part of class `cls`."""
    tables = {table: {name: arrays[f"{table}_{i:03d}"] for i, name in enumerate(names[table])} for table in cls.TABLES}
    return {name: arrays.get(name) for name in cls.ARRAYS} | tables


def take_rows(part, rows: list[int]):
    """A copy of `part`, a dataclass, with the entries `rows`, in this order, of every field in its `PER_EXAMPLE`: an
    array or a tuple (an empty one stays empty), a dict of them, another part, or None."""
    return dataclasses.replace(part, **{name: _take(getattr(part, name), rows) for name in part.PER_EXAMPLE})


def _take(value, rows: list[int]):
    if value is None:
        return None
    if isinstance(value, dict):
        return {name: _take(item, rows) for name, item in value.items()}
    if isinstance(value, tuple):
        return tuple(value[row] for row in rows) if value else ()
    return value[rows] if isinstance(value, np.ndarray) else take_rows(value, rows)


def _write_arrays(file, arrays: dict[str, np.ndarray]) -> None:
    """As `np.savez_compressed`, at the lowest level: it takes half the time, and float32 noise compresses no better."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            # Opened by name, a member gets a fixed date, so that equal records give equal bytes.
            with archive.open(name + ".npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
