"""The file of a record: one compressed `.npz` of plain arrays and a JSON header. Nothing is ever unpickled."""

from __future__ import annotations

import json
import zipfile
import zlib

import numpy as np

from vitcross.atomic_files import replacing


def write_record(path, *, format, version, header: dict, arrays: dict[str, np.ndarray]) -> None:
    """Write a record: complete under its name, or not there at all. Equal records are equal bytes.

    Args:
        path: str or path.
        format: str, what kind of record it is.
        version: int, of that format.
        header: dict, JSON-ready.
        arrays: dict name -> array; names must be fit for a file inside a zip.
    """
    text = json.dumps({"format": format, "version": version, **header})
    with replacing(path) as file:
        _write_arrays(file, {"header": np.array(text), **arrays})


def read_record(path, *, format, version) -> tuple[dict, dict[str, np.ndarray]]:
    """`(header, arrays)` of a file written by `write_record`.

    Raises:
        ValueError: where the file is not such a record, is damaged, or is of a newer version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            if header["format"] != format or header["version"] > version:
                raise ValueError(f"format {header['format']!r}, version {header['version']}")
            return header, {name: file[name] for name in file.files if name != "header"}
    except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        message = f"a complete {format.removeprefix('vitcross ')} of version {version} or older"
        raise ValueError(f"`path` must be {message}. Received: {path} ({error})") from error


def numbered(name: str, arrays) -> dict[str, np.ndarray]:
    """`name_000`, `name_001`, ...: an address may hold characters that a file inside a zip must not."""
    return {f"{name}_{i:03d}": array for i, array in enumerate(arrays)}


def named(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`prefix_NAME` for arrays whose names are fit for a file."""
    return {f"{prefix}_{name}": array for name, array in arrays.items()}


def names_of(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inverse of `named`: what of a file's arrays begins with `prefix_`, by the rest of its name."""
    start = f"{prefix}_"
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}


def _write_arrays(file, arrays: dict[str, np.ndarray]) -> None:
    """`np.savez_compressed` at the lowest level: half the time, and the noise of float32 shrinks no further anyway."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            # A name alone gives the member a fixed date: equal records are equal bytes.
            with archive.open(name + ".npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
