"""Reads a folder of images with one subfolder per class, without importing TensorFlow.

The layout is `root/<class>/*.jpg`, from which validation (and test) images are split off, or `root/train/<class>/*.jpg`
with `root/validation` (or `val`) and optionally `root/test`.
"""

import dataclasses
import hashlib
import os
import pathlib

import numpy as np

from vitcross.data.sources.source import Source

EXTENSIONS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
SPLIT_FOLDERS = {"train": ("train",), "validation": ("validation", "val", "valid"), "test": ("test",)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FolderListing:
    """Contents of a folder: sorted class names (the label is the position), and (path, label) of each split."""

    root: pathlib.Path
    class_names: tuple[str, ...]
    splits: dict[str, list[tuple[str, int]]]


def list_image_folder(root, *, validation_share=0.1, test_share=0.0, split_seed=0):
    """The `FolderListing` of the classes and images under `root`; arguments as in `ImageFolderOptions`.

    Splits without a folder are split off the training images class by class, at least one image if a class has two.
    The choice depends only on the seed, the class and the file name, so that adding images moves few others.

    Raises:
        ValueError: if the folder is missing, has fewer than two classes, or a class has no image to train on.
    """
    if root is None:
        raise ValueError("data.root must name the folder of images (data.root=DIR). Received: null")
    if not 0 < validation_share < 1 or not 0 <= test_share < 1 or validation_share + test_share >= 1:
        raise ValueError(
            "validation_share must be in (0, 1), test_share in [0, 1), their sum below 1. "
            f"Received: {validation_share} and {test_share}"
        )
    root = pathlib.Path(root).expanduser()
    if not root.is_dir():
        raise ValueError(f"data.root must be an existing folder. Received: {root}")
    folders = _split_folders(root)
    classes = _classes(folders.get("train", root))
    class_names = tuple(classes)
    splits = {"train": _pairs(classes, class_names)}
    for split in ("validation", "test"):
        if split in folders:
            splits[split] = _pairs(_classes(folders[split], allowed=class_names), class_names)
    shares = {"validation": validation_share, "test": test_share}
    for split, share in shares.items():
        if split not in splits and share:
            # The share refers to the whole class, of which validation may already have taken a part.
            taken = validation_share if split == "test" and "validation" not in folders else 0
            splits["train"], splits[split] = _cut(splits["train"], share / (1 - taken), f"{split}/{split_seed}")
    return FolderListing(root=root, class_names=class_names, splits=splits)


class ImageFolderSource(Source):
    """One split of a `FolderListing`; `channels` is 1 or 3."""

    def __init__(self, *, listing, split, channels=3):
        super().__init__(name=f"{listing.root.name}/{split}", class_names=listing.class_names, channels=channels)
        self._pairs = listing.splits[split]

    def __len__(self):
        return len(self._pairs)

    def record(self, index):
        path, label = self._pairs[index]
        return {"image": path, "label": label}

    def example_name(self, index):
        return as_text(self._pairs[index][0])

    def labels(self):
        return np.array([label for _, label in self._pairs], np.int64)


def as_text(path):
    """A path as valid UTF-8 text: other bytes become `\\xff`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _split_folders(root):
    """dict of split name to folder; empty if `root` has no training folder."""
    found = {}
    for split, names in SPLIT_FOLDERS.items():
        for name in names:
            if split not in found and (root / name).is_dir():
                found[split] = root / name
    return found if "train" in found else {}


def _classes(folder, allowed=None):
    """dict of class name to the sorted paths of its images."""
    entries = [entry for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]
    folders = {as_text(entry.name): folder / entry.name for entry in entries}
    names = sorted(folders)
    if allowed is not None:
        unknown = sorted(set(names) - set(allowed))
        if unknown:
            raise ValueError(f"{folder} must hold the same classes as the training folder. Received also: {unknown}")
    elif len(names) < 2:
        loose = any(_is_image(entry.name) for entry in os.scandir(folder))
        hint = " (its images are in no subfolder: make one folder per class)" if loose else ""
        raise ValueError(f"{folder} must hold at least two folders, one per class. Received: {names or 'none'}{hint}")
    classes = {name: _images(folders[name]) for name in names}
    empty = [name for name, paths in classes.items() if not paths]
    if empty:
        raise ValueError(
            f"Each class folder of {folder} must hold at least one image ({', '.join(sorted(EXTENSIONS))}). "
            f"Received without any: {', '.join(empty)}"
        )
    return classes


def _images(folder):
    paths = []
    for where, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths.extend(os.path.join(where, name) for name in files if _is_image(name))
    return sorted(paths)


def _is_image(name):
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS


def _pairs(classes, class_names):
    return [(path, class_names.index(name)) for name, paths in classes.items() for path in paths]


def _cut(pairs, share, seed):
    """Splits off `share` of each class, at least one and never all: (rest, cut), both in order."""
    by_class = {}
    for path, label in pairs:
        by_class.setdefault(label, []).append(path)
    cut = set()
    for label, paths in by_class.items():
        number = min(max(1, round(share * len(paths))), len(paths) - 1)
        ranked = sorted(
            paths, key=lambda path: hashlib.sha256(os.fsencode(f"{seed}/{label}/{os.path.basename(path)}")).digest()
        )
        cut.update(ranked[:number])
    return [pair for pair in pairs if pair[0] not in cut], [pair for pair in pairs if pair[0] in cut]
