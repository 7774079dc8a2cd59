"""Finds files of the same content, and says which of them lie in two splits or under two classes."""

import collections
import hashlib
import os
import typing

from vitcross.data.sources.image_rules import as_text

_END = 4096  # bytes at each end of a file that are compared before the whole of it is read
_NAMED = 3


class StoredImage(typing.NamedTuple):
    """An image that has no file of its own: a row of a source with the method `view` (`HuggingFaceSource`)."""

    source: object
    index: int

    def read(self):
        """memoryview of its bytes; empty where there are none."""
        content = self.source.view(self.index)
        if isinstance(content, str):
            with open(content, "rb") as file:
                content = file.read()
        return memoryview(content or b"")


def equal_files(paths):
    """Groups of files of the same content: list of lists of positions in `paths`, in order.

    Only files of the same size are read, and wholly only those with the same beginning and end. Empty files and those
    that cannot be read are left out.
    """
    groups = [range(len(paths))]
    for key in (_size, _ends, _content):
        groups = [part for group in groups for part in _split(group, paths, key)]
    return sorted(groups)


def copies_lines(splits, *, names, base, limit):
    """What is said of copies in a data set: list of str.

    Args:
        splits: dict of split to a list of (path or `StoredImage`, class), `train` first; a class may be of any type
            that can be sorted.
        names: function of a class, its name.
        base: folder to which paths are shown relative.
        limit: int, larger sets are not searched; 0: none is.
    """
    number = sum(map(len, splits.values()))
    if number > limit:
        return [f"copies      not looked for: {number:,} images, data.find_copies={limit:,}"] if limit else []
    files = [(path, split, label) for split, pairs in splits.items() for path, label in pairs]
    across_splits, across_classes = collections.defaultdict(list), []
    for group in equal_files([path for path, _, _ in files]):
        first = files[group[0]]
        for position in group[1:]:
            path, split, label = files[position]
            pair = f"{_shown(path, base)} = {_shown(first[0], base)}"
            if split != first[1]:
                across_splits[first[1], split].append(pair)
            if label != first[2]:
                across_classes.append(f"{pair}: {names(label)} and {names(first[2])}")
    lines = [
        f"copies      {len(pairs):,} of {second} in {first} too ({_first(pairs)})"
        for (first, second), pairs in across_splits.items()
    ]
    if across_classes:
        lines.append(f"copies      {len(across_classes):,} under two classes ({_first(across_classes)})")
    return lines


def _split(group, paths, key):
    """The parts of a group that agree in `key`, of at least two files."""
    parts = collections.defaultdict(list)
    for position in group:
        try:
            value = key(paths[position])
        except OSError:
            continue
        if value:
            parts[value].append(position)
    return [part for part in parts.values() if len(part) > 1]


def _size(path):
    if isinstance(path, StoredImage):
        return len(path.read())
    return os.path.getsize(path)


def _ends(path):
    if isinstance(path, StoredImage):
        content = path.read()
        return hashlib.blake2b(bytes(content[:_END]) + bytes(content[-_END:])).digest()
    with open(path, "rb") as file:
        beginning = file.read(_END)
        file.seek(-min(_END, os.fstat(file.fileno()).st_size), os.SEEK_END)
        return hashlib.blake2b(beginning + file.read(_END)).digest()


def _content(path):
    if isinstance(path, StoredImage):
        return hashlib.blake2b(path.read()).digest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()


def _shown(path, base):
    if isinstance(path, StoredImage):
        return path.source.example_name(path.index)
    return as_text(os.path.relpath(path, base))


def _first(pairs):
    return ", ".join(pairs[:_NAMED]) + (", ..." if len(pairs) > _NAMED else "")
