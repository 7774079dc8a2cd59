"""Reads a table of images and their labels (`table_rows.py`), without importing TensorFlow.

Its columns are `image`, a path relative to `data.root` (the file's folder where that is null) or an id without the
ending of the file, and `label`, or `labels` for any number of them: a list, or separated. Optional: `split`, a box (one
column, or four), `mask` (path of an image of the same form, where pixels other than 0 are the object). Several rows may
name one image: they add boxes, and with several labels also labels.
"""

import collections
import dataclasses
import pathlib
import re
import unicodedata

from vitcross.data.sources import boxes as box_rules
from vitcross.data.sources.image_boxes import BAD_BOX, check_boxes, check_masks
from vitcross.data.sources.named_files import NamedFiles, find_image
from vitcross.data.sources.splits import check_shares, cut_by_class, cut_missing
from vitcross.data.sources.table_columns import (
    BOX,
    IMAGE,
    LABEL,
    LABELS,
    MASK,
    SPLIT,
    SplitColumn,
    as_text,
    as_texts,
    column_key,
    column_notes,
    find_column,
    find_split_column,
    is_broken,
    listed,
    no_columns,
    nothing_usable,
    what_it_is,
)
from vitcross.data.sources.table_rows import NOT_READABLE, NOT_UTF8, Table, existing_table, image_root

NO_IMAGE, NO_LABEL, OTHER_LABEL = "no image named", "no label", "another label of the same image"
OTHER_SPLIT = "image of another split"
MISSING_MASK = "missing mask"
# Keys of `LabelsFileOptions` that `list_labels` takes besides the shares.
LABELS_KEYS = ("root", "image_column", "label_column", "split_column", "box_column", "box_format", "mask_column")
LABELS_KEYS += ("multilabel", "label_separator", "max_unreadable")
_SEPARATORS = "|;, "  # the first that occurs in a label is taken
_LIKELY = 0.5  # a column with more values than this share of its rows is no label


@dataclasses.dataclass(kw_only=True)
class LabeledImage:
    """One image of a table.

    Attributes:
        path: str.
        labels: list of str, each once.
        split: str.
        number: int, the first row that names it.
        boxes: list of (label, four floats as the table has them).
        mask: str or None, path of a mask.
    """

    path: str
    labels: list[str]
    split: str
    number: int
    boxes: list
    mask: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelsListing:
    """Contents of a table of labels.

    Attributes:
        file: path.
        root: path of the folder that its names of images are relative to.
        class_names: tuple of str, the sorted labels of the training images; numbers by their size.
        splits: dict of split to the list of its `LabeledImage`s.
        multilabel: bool, whether an image has any number of labels.
        box_format: one of `boxes.FORMATS`; None if no image has a box.
        box_units: `pixels` or `shares`.
        table: the `Table` that was read.
    """

    file: pathlib.Path
    root: pathlib.Path
    class_names: tuple[str, ...]
    splits: dict[str, list[LabeledImage]]
    multilabel: bool
    box_format: str | None
    box_units: str
    table: Table


def list_labels(file, *, validation_share=0.1, test_share=0.0, split_seed=0, max_unreadable=None, **given):
    """The `LabelsListing` of a file; arguments as in `LabelsFileOptions`.

    Splits that the file does not name are split off the training images as those of an image folder: class by class
    (with several labels: by the rarest of an image), at least one image if a class has two.

    Raises:
        ValueError: if the file is missing, has another format, lacks a column, names an unknown split, has no two
            classes, or boxes that do not fit their images.
        TooManyUnreadable: if more than `max_unreadable` lines give no image, or so many images are missing.
    """
    file = existing_table(file, example="TRAIN.csv")
    check_shares(validation_share, test_share)
    reading = _Reading(file, given)
    images, missing = reading.images()
    table = reading.table
    if not images:
        raise nothing_usable(table, "row of an image that is there and a label")
    box_format, units = check_boxes(images, reading.table, named=reading.named_format, typed=given.get("box_format"))
    check_masks(images, table)
    table.lost.check(max_unreadable, missing=missing)
    splits = {}
    for image in images:
        splits.setdefault(image.split, []).append(image)
    if "train" not in splits:
        raise ValueError(f"{file} must hold images to train on (split train). Received: {sorted(splits)}")
    shares = {"validation": validation_share, "test": test_share}
    cut_missing(splits, shares, lambda images, share, split: _cut(images, share, f"{split}/{split_seed}"))
    return LabelsListing(
        file=file,
        root=image_root(given.get("root"), file),
        class_names=_class_names(splits, reading),
        splits=splits,
        multilabel=reading.multilabel,
        box_format=box_format,
        box_units=units,
        table=table,
    )


class _Reading:
    """Reads the rows of one table into `LabeledImage`s."""

    def __init__(self, file, given):
        self.table = Table(file, known={*IMAGE, *LABEL, *LABELS, *SPLIT, *BOX, *MASK})
        self._given = given
        self._files = NamedFiles(image_root(given.get("root"), file))
        self._find_columns()

    def images(self):
        """(list of `LabeledImage`, list of the paths of missing images); what is unusable is recorded in the table."""
        images, missing, split_column = {}, {}, SplitColumn(self._split)
        rows = list(self._usable_rows(missing))
        self.multilabel, separator = self._find_labels(rows)
        repeated = 0
        for number, path, row, value, mask in rows:
            labels = self._labels(number, value, separator)
            boxes = self._boxes(number, row) if labels is not None else None
            if boxes is None:
                continue
            boxes = [(label, box) for box in boxes for label in (labels if len(labels) == 1 else [None])]
            if path not in images:
                split = split_column.of(row, f"{self.table.file.name}:{number}")
                images[path] = LabeledImage(
                    path=path, labels=labels, split=split, number=number, boxes=boxes, mask=mask
                )
                continue
            known = images[path]
            if (split := split_column.of(row, f"{self.table.file.name}:{number}")) != known.split:
                detail = f"{split}, but {known.split} in {self.table.lost.unit} {known.number}"
                self.table.lost.add(OTHER_SPLIT, number, key=self._split, detail=detail)
                continue
            if not self.multilabel and labels != known.labels:
                detail = f"{labels[0]}, but {known.labels[0]} in {self.table.lost.unit} {known.number}"
                self.table.lost.add(OTHER_LABEL, number, key=self.label, detail=f"{detail}{_SEVERAL}")
                continue
            known.labels = list(dict.fromkeys([*known.labels, *labels]))
            known.boxes += boxes
            known.mask = known.mask or mask
            repeated += 1
        self.table.notes += self._files.notes() + split_column.notes()
        if repeated:
            self.table.notes.append(f"rows that name an image of an earlier row: {repeated}")
        return list(images.values()), list(missing)

    def _find_columns(self):
        table, given = self.table, self._given

        def find(names, role):
            return find_column(table, names, given=given.get(f"{role}_column"), option=f"data.{role}_column")

        self._image = find(IMAGE, "image")
        several = given.get("multilabel") is True
        self.label = find([*LABELS, *LABEL] if several else [*LABEL, *LABELS], "label")
        if self._image is None or self.label is None or self._image == self.label:
            raise no_columns(
                table,
                "the columns 'image' and 'label' (data.image_column and data.label_column name others)",
                ["image", "label", "labels"],
            )
        used = (self._image, self.label)
        self._split = find_split_column(table, given=given.get("split_column"), used=used)
        self._mask = find(MASK, "mask")
        four = None if given.get("box_column") else box_rules.box_columns(table.columns)
        self.named_format, self._box = four or (None, [])
        typed = given.get("box_format")
        if four and typed not in (None, self.named_format):
            raise ValueError(
                f"data.box_format must be {self.named_format} or null with the columns {', '.join(self._box)} of "
                f"{table.file}. Received: {typed}"
            )
        box = None if four else find(BOX, "box")
        self._box = self._box or ([box] if box else [])
        if typed and not self._box:
            raise ValueError(f"data.box_format must be null: {table.file} has no column of boxes. Received: {typed}")
        found = {"image": self._image, "split": self._split, "mask": self._mask, "box": box}
        found["labels" if column_key(self.label) in LABELS else "label"] = self.label
        table.notes += column_notes(table, found)
        if four:
            table.notes.append(f"{table.file.name}: boxes from columns {', '.join(self._box)}")

    def _usable_rows(self, missing):
        """(number, path, row, cell of the label, path of the mask) of the rows whose image is there."""
        lost = self.table.lost
        for number, row in self.table.rows():
            name, mask = as_text(row.get(self._image, "")), as_text(row.get(self._mask, ""))
            value = row.get(self.label, "")
            if not name:
                detail = "empty" if name == "" else what_it_is(row[self._image])
                lost.add(NO_IMAGE, number, key=self._image, detail=detail)
            elif mask is None:
                lost.add(NOT_READABLE, number, key=self._mask, detail=what_it_is(row[self._mask]))
            elif any(map(is_broken, (name, mask, *(as_texts(value) or ())))):
                lost.add(NOT_UTF8, number, detail="half a character (a surrogate) or NUL")
            elif (path := find_image(self._files, lost, number, name, self._image, missing)) is not None:
                found = self._files.find(mask) if mask else None
                if mask and found is None:
                    lost.add(MISSING_MASK, number, key=self._mask, detail=self._files.why_missing(mask))
                else:
                    yield number, path, row, value, found

    def _find_labels(self, rows):
        """(whether images have several labels, what separates them in a text)."""
        values = [value for *_, value, _ in rows]
        # Where several rows name an image, each may have one label, whose words are separated by spaces.
        marks = _SEPARATORS if len({path for _, path, *_ in rows}) == len(rows) else _SEPARATORS.strip()
        typed, separator = self._given.get("multilabel"), self._given.get("label_separator")
        lists = any(isinstance(value, list) or (isinstance(value, str) and listed(value)) for value in values)
        texts = [value for value in values if isinstance(value, str) and not listed(value)]
        found = next((mark for mark in marks if any(mark in text for text in texts)), None)
        plural = found is not None and column_key(self.label) in LABELS
        several = typed if typed is not None else lists or plural or separator is not None
        if not several or separator is not None:
            return several, separator
        separator = found
        how = "in lists" if lists else f"separated by {separator!r}" if separator else "one in each row"
        self.table.notes.append(
            f"{self.table.file.name}: several labels per image from column '{self.label}', {how}"
            f"{'' if separator is None else ' (data.label_separator)'}"
        )
        return several, separator

    def _labels(self, number, value, separator):
        """The labels of a cell, each once; None if it has none or is unusable, which is recorded."""
        if self.multilabel:
            labels = as_texts(value, separators=separator or "")
        else:
            text = as_text(value)
            labels = text if text is None else [text]
        if labels is not None:  # two Unicode forms of one word look the same: they are one label
            labels = list(dict.fromkeys(unicodedata.normalize("NFC", label) for label in labels if label))
        if labels is None:
            self.table.lost.add(NOT_READABLE, number, key=self.label, detail=what_it_is(value) + _SEVERAL)
        elif not labels and not self.multilabel:
            self.table.lost.add(NO_LABEL, number, key=self.label, detail="empty")
            return None
        return labels

    def _boxes(self, number, row):
        """The boxes of a row as the table has them; None if they are unusable, which is recorded."""
        if len(self._box) == 4:
            cells = [row.get(column, "") for column in self._box]
            value = [] if all(cell == "" for cell in cells) else cells
        else:
            value = row.get(self._box[0], "") if self._box else ""
        boxes = box_rules.read_boxes(value)
        if boxes is None:
            self.table.lost.add(BAD_BOX, number, key=self._box[0], detail=f"no four numbers: {value!r}")
        return boxes


_SEVERAL = " (data.multilabel=true with task=multilabel takes several labels of an image)"


def _cut(images, share, seed):
    # Of several labels the rarest stands for the image, so that every split has it.
    counts = collections.Counter(label for image in images for label in image.labels)
    rows = [(image.path, min(image.labels, key=counts.__getitem__, default=""), image) for image in images]
    rest, cut = cut_by_class(rows, share, seed)
    return [row[2] for row in rest], [row[2] for row in cut]


def _class_names(splits, reading):
    """The labels of the training images, sorted. Raises ValueError if they cannot be classes."""
    table, rows = reading.table, len(splits["train"])
    names = {name for image in splits["train"] for name in image.labels}
    column = f"column '{reading.label}' of {table.file}"
    if len(names) < 2:
        raise ValueError(f"{column} must hold at least two labels to train on. Received: {sorted(names) or 'none'}")
    if len(names) > max(10, _LIKELY * rows):
        raise ValueError(
            f"{column} must hold labels, each of several images (data.label_column names another). Received: "
            f"{len(names)} values in {rows} rows, e.g. {', '.join(sorted(names)[:3])}"
        )
    for split, images in splits.items():
        unknown = {name: image for image in images for name in image.labels if name not in names}
        if unknown:
            first = next(iter(unknown))
            raise ValueError(
                f"Split '{split}' of {table.file} must have the labels of the training images. Received also: "
                f"{', '.join(sorted(unknown)[:5])} ({table.file.name}:{unknown[first].number})"
            )
    folded = {}
    for name in sorted(names):
        folded.setdefault(name.casefold(), []).append(name)
    alike = [" and ".join(same) for same in folded.values() if len(same) > 1]
    if alike:
        table.notes.append(
            f"{table.file.name}: labels that differ in upper and lower case only: {', '.join(alike[:5])}"
        )
    numeric = all(re.fullmatch(r"-?\d+(\.\d+)?", name) for name in names)
    return tuple(sorted(names, key=(lambda name: (float(name), name)) if numeric else None))
