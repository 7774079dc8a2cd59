"""Finds the image files that a user names: by a path, a folder, a pattern or a list of them."""

import fnmatch
import os
import shlex
from pathlib import Path
from typing import NamedTuple

from vitcross.data.sources.image_rules import (
    FOLDER_LINK,
    SAME_FILE,
    folder_left_out,
    left_out_lines,
    reason_left_out,
    walk_images,
)
from vitcross.data.sources.source import Source
from vitcross.paths import typed_path

FOLDER = "folder, which the pattern does not enter"


class ImageFiles(Source):
    """Image files by path, without labels; `channels` is 1 or 3."""

    fingerprint_examples = 20_000  # only the sizes of files are read

    def __init__(self, paths, *, name, channels=3):
        super().__init__(name=name, class_names=(), channels=channels)
        self._paths = paths

    def __len__(self):
        return len(self._paths)

    def record(self, index):
        return {"image": self._paths[index], "label": -1}

    def example_name(self, index):
        return self._paths[index]


class FoundImages(NamedTuple):
    """The paths of images (list of str), each once, and lines about what was left out."""

    paths: list
    left_out: list


def find_images(typed):
    """The images that a user named, sorted within each part of a list.

    Args:
        typed: str: a path; a pattern, where there is no such path (`*`, `?`, `[...]`, and `**` for any folders below);
            or a list of them, `[A,B]`. In a pattern, a part that exists is that part, also with brackets, and the
            ending of a file matches in upper and lower case. A file that is typed itself is always taken; of folders
            and patterns, what is an image (`image_rules`).

    Returns:
        FoundImages.

    Raises:
        ValueError: the text, or a part of the list, names no image; the message says what was left out.
    """
    paths, left_out = {}, {}
    for part in _parts(typed):
        try:
            found, without = _find(typed_path(part))
        except ValueError as error:
            raise ValueError(f"images: {error}") from error
        if not found:
            told = f"; left out: {'; '.join(_lines(without))}" if without else ""
            raise ValueError(
                "images must name at least one image: a file, a folder, a pattern such as 'DIR/*.jpg', or a list "
                f"[A,B] of them. Received: {part}{told}"
            )
        for path in found:
            if paths.setdefault(os.path.realpath(path), path) is not path:
                left_out.setdefault(SAME_FILE, []).append(path)
        for reason, these in without.items():
            left_out.setdefault(reason, []).extend(these)
    return FoundImages(list(paths.values()), _lines(left_out))


def _find(path):
    """`(sorted list of paths, left_out)` of a path, a folder or a pattern."""
    if os.path.isdir(path):
        return walk_images(path)
    return ([path], {}) if os.path.lexists(path) else _match(path)


def _lines(left_out):
    folders = [os.path.dirname(path) for paths in left_out.values() for path in paths]
    return left_out_lines(left_out, base=os.path.commonpath(folders)) if folders else []


def _parts(typed):
    """The parts of a list `[A,B]`, in which quotes protect commas; otherwise the text itself."""
    if not (typed.startswith("[") and typed.endswith("]")) or os.path.lexists(typed):
        return [typed]
    words = shlex.shlex(typed[1:-1], posix=True)
    words.whitespace, words.whitespace_split, words.commenters, words.escape = ",", True, "", ""
    try:
        parts = list(words)
    except ValueError:  # the apostrophe of a name
        parts = typed[1:-1].split(",")
    return [part.strip() for part in parts if part.strip()] or [typed]


def _match(pattern):
    """As `_find`, of a pattern: what it matches and is no image is left out."""
    base, *parts = Path(pattern).parts
    while parts and os.path.lexists(os.path.join(base, parts[0])):
        base = os.path.join(base, parts.pop(0))
    found, left_out = {}, {}
    matches = _matching(base, parts, left_out)
    for path in sorted(matches, key=lambda path: (os.path.realpath(path) != path, path)):  # links come last
        reason = FOLDER if os.path.isdir(path) else reason_left_out(path, base=base)
        if reason is None and found.setdefault(os.path.realpath(path), path) is not path:
            reason = SAME_FILE
        if reason is not None:
            left_out.setdefault(reason, []).append(path)
    return sorted(found.values()), left_out


def _matching(folder, parts, left_out):
    """The set of paths below a folder that match the parts of a pattern."""
    if not parts:
        return {folder}
    first, *rest = parts
    if first == "**":
        return {path for here in _walk(folder, left_out) for path in _matching(here, rest or ["*"], left_out)}
    if os.path.lexists(os.path.join(folder, first)):
        names = [first]
    else:
        try:
            names = [name for name in os.listdir(folder) if fnmatch.fnmatchcase(_alike(name), _alike(first))]
        except OSError:  # no folder, or one that cannot be opened
            names = []
    return {path for name in names for path in _matching(os.path.join(folder, name), rest, left_out)}


def _walk(folder, left_out):
    """A folder and those below it, each real folder once; those that never hold images are not entered."""
    seen = {os.path.realpath(folder)}
    for here, names, _ in os.walk(folder, followlinks=True):
        yield here
        entered = []
        for name in names:
            path = os.path.join(here, name)
            reason = folder_left_out(name) or (FOLDER_LINK if os.path.realpath(path) in seen else None)
            if reason is None:
                seen.add(os.path.realpath(path))
                entered.append(name)
            else:
                left_out.setdefault(reason, []).append(path)
        names[:] = entered


def _alike(name):
    """A name or pattern with its ending in lower case."""
    stem, dot, ending = name.rpartition(".")
    return f"{stem}.{ending.lower()}" if dot else name
