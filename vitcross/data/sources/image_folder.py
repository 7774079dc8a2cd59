"""Reads a folder of images with one subfolder per class, without importing TensorFlow.

The layout is `root/<class>/*.jpg`, from which validation (and test) images are split off, or `root/train/<class>/*.jpg`
with `root/validation` (or another name of `SPLIT_NAMES`) and optionally `root/test`. What is an image, and what lies
beside images without being one, `image_rules` says.
"""

import collections
import dataclasses
import os
import pathlib
import re
import unicodedata

import numpy as np

from vitcross.data.sources.image_rules import (
    as_text,
    folder_left_out,
    is_image_name,
    is_thumbnails,
    left_out_lines,
    walk_folders,
)
from vitcross.data.sources.source import Source
from vitcross.data.sources.splits import SPLIT_NAMES, check_shares, cut_by_class, cut_missing
from vitcross.typos import did_you_mean

_SPLIT_WORDS = {name for names in SPLIT_NAMES.values() for name in names} | {
    "holdout",
    "heldout",
    "eval",
    "unlabeled",
}
_WORDS_BESIDE = {"", "data", "held", "images", "img", "out", "set", "split"}  # `train_images`, `test-set`, `train2017`
BESIDE_CLASSES = "image beside the folders of the classes"
BESIDE_SPLITS = "folder beside those of the splits"
NO_CLASSES = "folder of a split without folders of the classes"
_NAMED = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class FolderListing:
    """Contents of a folder.

    Attributes:
        root: path.
        class_names: the sorted names of the classes (Unicode NFC); a label is the position.
        splits: dict of split to the list of (path, label) of its images.
        own_splits: the splits with a folder of their own; the others are cut off.
        notes: list of str, what was left out and what looks wrong.
    """

    root: pathlib.Path
    class_names: tuple[str, ...]
    splits: dict[str, list[tuple[str, int]]]
    own_splits: tuple[str, ...]
    notes: list[str]


def list_image_folder(root, *, validation_share=0.1, test_share=0.0, split_seed=0):
    """The `FolderListing` of the classes and images under `root`; arguments as in `ImageFolderOptions`.

    Splits without a folder are split off the training images class by class, at least one image if a class has two.
    The choice depends only on the seed, the class and the file name, so that adding images moves few others.

    Raises:
        ValueError: if the folder is missing, has fewer than two classes, a class has no image to train on, or a folder
            of another split holds images of another class or none at all.
    """
    if root is None:
        raise ValueError("data.root must name the folder of images (data.root=DIR). Received: null")
    check_shares(validation_share, test_share)
    root = pathlib.Path(root).expanduser()
    if not root.is_dir():
        raise ValueError(f"data.root must be an existing folder. Received: {root}")
    folders, left_out = _split_folders(root)
    classes, left_out = _read(folders, left_out)
    _check_training(classes["train"], folders["train"], left_out)
    class_names = tuple(sorted(classes["train"]))
    notes = [f"left out    {line}" for line in left_out_lines(left_out, base=root)] + _odd_names(class_names)
    for split in folders.keys() - {"train"}:
        notes += _check_other(classes[split], folders[split], class_names, left_out)
    splits = {
        split: [(path, label) for label, name in enumerate(class_names) for path in classes[split].get(name, ())]
        for split in folders
    }
    shares = {"validation": validation_share, "test": test_share}
    cut_missing(splits, shares, lambda pairs, share, split: cut_by_class(pairs, share, f"{split}/{split_seed}"))
    for split, images in splits.items():
        if not images and split not in folders:
            raise ValueError(
                f"A class must hold two images, so that one can be split off for {split}. Received: one image of "
                "each class"
            )
    return FolderListing(root=root, class_names=class_names, splits=splits, own_splits=tuple(folders), notes=notes)


class ImageFolderSource(Source):
    """One split of a `FolderListing`; `channels` is 1 or 3."""

    fingerprint_examples = 20_000  # only the sizes of files are read

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


def _split_folders(root):
    """`(folders, left_out)`: dict of split to its folder, `train` first, and what lies beside them; the whole `root` is
    `train` where it has no such folder with folders in it (a class may be called `train`)."""
    found = {}
    for split, names in SPLIT_NAMES.items():
        inside = [folder for folder in _folders(root).values() if folder.name.lower() in names]
        inside.sort(key=lambda folder: (names.index(folder.name.lower()), folder.name.swapcase()))
        found[split] = [folder for folder in inside if _folders(folder)][:1]
    folders = {split: used[0] for split, used in found.items() if used}
    if "train" not in folders:
        return {"train": root}, {}
    left_out = collections.defaultdict(list)
    for folder in _folders(root).values():
        if folder not in folders.values():
            split = next((split for split, names in SPLIT_NAMES.items() if folder.name.lower() in names), None)
            left_out[BESIDE_SPLITS if split is None or split in folders else NO_CLASSES].append(str(folder))
    left_out[BESIDE_CLASSES] += (entry.path for entry in os.scandir(root) if _is_image_file(entry))
    return folders, {reason: paths for reason, paths in left_out.items() if paths}


def _is_image_file(entry):
    return entry.is_file() and is_image_name(entry.name)


def _folders(folder):
    """dict of entry name to path of the folders that may be classes or splits, sorted."""
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    return {name: folder / name for name in names if folder_left_out(name, is_class=True) is None}


def _read(folders, left_out):
    """`(classes, left_out)`: dict of split to dict of class name to its sorted paths; the counterpart of `left_out`
    with what is beside and in the folders of the classes."""
    places = {}  # path of each class folder to its (split, class name)
    left_out = collections.defaultdict(list, left_out)
    for split, folder in folders.items():
        for entry in os.scandir(folder):
            if entry.is_dir():
                if reason := folder_left_out(entry.name, is_class=True):
                    left_out[reason].append(entry.path)
            elif _is_image_file(entry):
                left_out[BESIDE_CLASSES].append(entry.path)
        for name, path in _folders(folder).items():
            # Two forms of one name (NFC and NFD) look the same: they are one class.
            places[str(path)] = split, unicodedata.normalize("NFC", as_text(name))
    walk = walk_folders({path: path for path in places})
    classes = {split: collections.defaultdict(list) for split in folders}
    for path, images in walk.paths.items():
        split, name = places[path]
        classes[split][name] += images
    for reason, paths in walk.left_out.items():
        left_out[reason] += paths
    return classes, left_out


def _check_training(classes, folder, left_out):
    """Raises ValueError unless there are two classes, and each has an image."""
    names = sorted(classes)
    if len(names) < 2:
        raise ValueError(
            f"{folder} must hold at least two folders, one per class. Received: {names or 'none'}"
            f"{_hint(folder, names, left_out)}"
        )
    empty = [name for name in names if not classes[name]]
    if empty:
        found = _left_out_of([folder / name for name in empty], left_out, base=folder)
        raise ValueError(
            f"Each class folder of {folder} must hold at least one image to train on. Received without any: "
            + "; left out: ".join([", ".join(empty), *found])
        )
    if all(_looks_like_split(name) for name in names):
        raise ValueError(
            f"{folder} must hold a folder per class, or a folder 'train' that does. Received folders that look like "
            f"splits: {', '.join(names)}"
        )


def _hint(folder, names, left_out):
    if left_out.get(BESIDE_CLASSES):
        return " (its images are in no subfolder: make one folder per class)"
    if names and len(_folders(folder / names[0])) > 1:
        return f" (the classes may be one level deeper: data.root={folder / names[0]})"
    return ""


def _left_out_of(folders, left_out, *, base):
    """The lines of what was left out in some folders: list of str."""
    places = [unicodedata.normalize("NFC", os.path.join(as_text(folder), "")) for folder in folders]
    inside = {
        reason: [path for path in paths if unicodedata.normalize("NFC", as_text(path)).startswith(tuple(places))]
        for reason, paths in left_out.items()
    }
    return left_out_lines({reason: paths for reason, paths in inside.items() if paths}, base=base)


def _odd_names(names):
    """What is said of class names that may be meant as something else: list of str."""
    notes = []
    if splits := [name for name in names if _looks_like_split(name)]:
        notes.append(f"note        taken for a class, though it looks like a split: {', '.join(splits)}")
    if small := [name for name in names if is_thumbnails(name)]:
        notes.append(f"note        taken for a class, though it may hold small copies of others: {', '.join(small)}")
    folded = collections.defaultdict(list)
    for name in names:
        folded[name.casefold()].append(name)
    for alike in folded.values():
        if len(alike) > 1:
            notes.append(f"note        classes that differ in upper and lower case only: {', '.join(alike)}")
    return notes


def _looks_like_split(name):
    words = set(re.split(r"[\W\d_]+", name.casefold()))
    return bool(words & _SPLIT_WORDS) and words <= _SPLIT_WORDS | _WORDS_BESIDE


def _check_other(classes, folder, class_names, left_out):
    """What is said of the folder of another split than `train`: list of str. Raises ValueError if it has images of
    another class, or none."""
    held = sorted(name for name, paths in classes.items() if paths)
    unknown = sorted(set(held) - set(class_names))
    if unknown:
        raise ValueError(
            f"{folder} must hold the same classes as the training folder. Received also: {unknown}"
            f"{did_you_mean(unknown[0], class_names)}"
        )
    if not held:
        found = _left_out_of([folder], left_out, base=folder)
        raise ValueError(
            f"{folder} must hold images in folders of the classes. Received: {'; left out: '.join(['none', *found])}"
        )
    missing = [name for name in class_names if name not in held]
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    named = ", ".join(missing[:_NAMED])
    return (
        [f"note        {folder.name} has no image of {len(missing)} of {len(class_names)} classes: {named}{more}"]
        if missing
        else []
    )
