"""Makes sources of a Hugging Face data set: opens it, finds splits and columns, and tells what was found."""

import logging

import numpy as np

from vitcross.data.sources.huggingface import HuggingFaceSource, ImageColumn
from vitcross.data.sources.huggingface_columns import find_columns, kind_of
from vitcross.data.sources.huggingface_equal_images import first_equal
from vitcross.data.sources.huggingface_labels import (
    UNKNOWN,
    SeveralLabels,
    class_names_of,
    foreign_values,
    label_numbers,
)
from vitcross.data.sources.huggingface_open import find_place, look, open_splits
from vitcross.data.sources.huggingface_pairs import Answers, ArrowPairSource, TextColumn
from vitcross.data.sources.huggingface_splits import columns_of, cut, instructions, split_expressions
from vitcross.data.sources.pairs_file import EMPTY_TEXT, NO_ANSWER

logger = logging.getLogger(__name__)


def check(options, reads):
    """Checks what was typed against the names of the splits and columns, without preparing the set.

    Args:
        options: `HuggingFaceOptions` or those of texts.
        reads: `labels`, `several labels`, `captions` or `questions`.

    Returns:
        The number of its classes, or None if they have no names or do not matter.

    Raises:
        ValueError, ConnectionError: as `HuggingFaceSet`.
    """
    place = find_place(options.name, options.root)
    names, features = look(place, config_name=options.config_name, revision=options.revision)
    split_expressions(names, typed=_typed_splits(options))
    label = find_columns(features, reads=reads, named=_named_columns(options)).label
    named = label is not None and kind_of(features[label])[0] == "class"
    return len(class_names_of(None, features[label])) if named else None


class HuggingFaceSet:
    """An opened data set: its splits as Arrow columns.

    Args:
        options, reads: as in `check`.

    Attributes:
        name: str, its short name.
        columns: `Columns`, the names of the columns.
        features: `datasets.Features`.
        splits: dict of `train`, `validation` and `test` to a dict of column name to a `pyarrow.ChunkedArray`; without
            `validation` where the data has no such split.

    Raises:
        ValueError: if it cannot be opened, or a split or column does not exist.
        ConnectionError: if it is neither in the cache nor can be fetched.
    """

    def __init__(self, options, reads):
        self._options, self._place = options, find_place(options.name, options.root)
        self.name = self._place.name
        opened = open_splits(self._place, config_name=options.config_name, revision=options.revision)
        self.features = next(iter(opened.values())).features
        self.columns = find_columns(self.features, reads=reads, named=_named_columns(options))
        sizes = {name: len(split) for name, split in opened.items()}
        expressions = split_expressions(list(sizes), typed=_typed_splits(options))
        needed = [name for name in vars(self.columns).values() if name is not None]
        self.splits = {}
        for split, expression in expressions.items():
            parts = instructions(expression, sizes, key=f"data.{split}_split")
            self.splits[split] = columns_of(opened, parts, needed)
        self._tell(expressions, sizes)

    def images(self, split):
        """The `ImageColumn` of a split."""
        column = ImageColumn(self.splits[split][self.columns.image], folder=self._place.folder)
        first = column.path(0) if len(column) else None
        if first is not None and first.startswith(("http://", "https://")) and isinstance(column.content(0), str):
            raise ValueError(
                f"data.image_column must hold images or paths of files, none are fetched from addresses. Received: "
                f"{self.columns.image} with {first}"
            )
        return column

    def cut_validation(self, groups):
        """Which of the training examples are cut off for validation, told; None where the data has such a split.

        `groups` (n,) are the classes, of each of which a share is cut off.
        """
        if "validation" in self.splits:
            return None
        share = self._options.validation_share
        logger.info("%s: no split for validation, %g %% of the training split is cut off", self.name, 100 * share)
        return cut(groups, share, self._options.split_seed)

    def _tell(self, expressions, sizes):
        found = ", ".join(f"{split} is '{expression}'" for split, expression in expressions.items())
        unused = [name for name in sizes if not any(name in expression for expression in expressions.values())]
        where = "on the Hub" if self._place.folder is None else f"in {self._place.folder}"
        logger.info("%s %s: %s; %s", self.name, where, self.columns.told(), found)
        if unused:
            logger.info(
                "%s: not used: the split %s", self.name, ", ".join(f"{name} ({sizes[name]})" for name in unused)
            )


def labeled_sources(options):
    """dict of split to the `HuggingFaceSource` of an image classification set, and its name."""
    opened = HuggingFaceSet(options, "several labels" if options.multilabel else "labels")
    label, feature = opened.columns.label, opened.features[opened.columns.label]
    class_names = class_names_of(opened.splits["train"][label], feature)
    if len(class_names) < 2:
        raise ValueError(f"data.label_column must hold at least two classes. Received: {label} with {class_names}")
    rows, labels = {}, {}
    for split, columns in opened.splits.items():
        foreign = foreign_values(columns[label], feature, class_names)
        if foreign:
            raise ValueError(
                f"the split of data.{split}_split must hold the classes of the training split. Received also in "
                f"{label}: {', '.join(foreign)}"
            )
        read = SeveralLabels if options.multilabel else label_numbers
        labels[split] = read(columns[label], feature, class_names)
        rows[split] = None if options.multilabel else _with_label(opened.name, split, labels[split])
    if "validation" not in opened.splits:
        _cut_rows(opened, rows, labels["train"])
    return opened.name, {
        split: HuggingFaceSource(
            name=f"{opened.name}/{split}",
            images=opened.images(split if split in opened.splits else "train"),
            rows=chosen,
            labels=labels.get(split, labels["train"]),
            class_names=class_names,
            channels=options.channels,
        )
        for split, chosen in rows.items()
    }


def _with_label(name, split, labels):
    """The rows that have a label, told if some have none; None: all."""
    missing = int((labels == UNKNOWN).sum())
    if not missing:
        return None
    if missing == len(labels):
        raise ValueError(
            f"the split of data.{split}_split must hold labels. Received: {name} with none in its {missing} rows "
            f"(data.{split}_split names another)"
        )
    logger.warning("%s/%s: %d of %d rows have no label and are left out", name, split, missing, len(labels))
    return np.flatnonzero(labels != UNKNOWN).astype(np.uint32)


def _cut_rows(opened, rows, labels):
    """Moves rows of `train` to `validation`: of each class, where an image has one."""
    known = np.arange(len(labels), dtype=np.uint32) if rows["train"] is None else rows["train"]
    groups = np.zeros(len(known), np.int64) if isinstance(labels, SeveralLabels) else labels[known]
    moved = opened.cut_validation(groups)
    rows["train"], rows["validation"] = known[~moved], known[moved]


def _typed_splits(options):
    return {split: getattr(options, f"{split}_split") for split in ("train", "validation", "test")}


def _named_columns(options):
    return {kind: getattr(options, f"{kind}_column", None) for kind in ("image", "label", "text", "answer")}


def text_sources(options, reads, problems):
    """`(name, dict of split to ArrowPairSource)` of captions or questions.

    Unusable texts are recorded in `problems` (`TextProblems`). Rows with equal images count as one image, so that a
    validation split that is cut off has images of its own.
    """
    opened = HuggingFaceSet(options, reads)
    splits = {split: _Pairs(opened, split, reads, problems) for split in opened.splits}
    class_names, labels = _text_classes(opened, splits)
    chosen = {split: np.arange(len(pairs.at)) for split, pairs in splits.items()}
    if "validation" not in splits:
        images, image_of = np.unique(splits["train"].image_rows, return_inverse=True)
        moved = opened.cut_validation(np.zeros(len(images), np.int64))[image_of]
        chosen["train"], chosen["validation"] = np.flatnonzero(~moved), np.flatnonzero(moved)
    sources = {}
    for split, indices in chosen.items():
        pairs = splits.get(split, splits["train"])
        sources[split] = ArrowPairSource(
            name=f"{opened.name}/{split}",
            images=HuggingFaceSource(name=f"{opened.name}/{split}", images=pairs.images, channels=options.channels),
            texts=pairs.texts,
            at=pairs.at[indices],
            image_rows=pairs.image_rows[indices],
            labels=labels.get(split, labels["train"])[indices],
            class_names=class_names,
            answers=pairs.answers,
        )
    return opened.name, sources


class _Pairs:
    """The usable pairs of a split: positions of texts `at`, and `rows` and `image_rows` of each."""

    def __init__(self, opened, split, reads, problems):
        columns, names, features = opened.splits[split], opened.columns, opened.features
        self.images = opened.images(split)
        self.texts = TextColumn(columns[names.text], features[names.text])
        self.at, self.answers = self.texts.usable, None
        if len(self.at) < len(self.texts):
            empty = len(self.texts) - len(self.at)
            problems.add(EMPTY_TEXT, f"{opened.name}/{split}: {empty} of {len(self.texts)} texts")
        if reads == "questions":
            self.answers = Answers(columns[names.answer], features[names.answer])
            self.most_frequent = self.answers.most_frequent()
            answered = np.array([answer is not None for answer in self.most_frequent])[self.texts.row(self.at)]
            if not answered.all():
                problems.add(NO_ANSWER, f"{opened.name}/{split}: {int((~answered).sum())} of {len(self.at)} questions")
            self.at = self.at[answered]
        if not len(self.at):
            raise ValueError(f"data.{split}_split must hold texts. Received: {opened.name} with none in '{names.text}'")
        self.rows = self.texts.row(self.at)
        equal = first_equal(columns[names.image])
        self.image_rows = self.rows if equal is None else equal[self.rows]


def _text_classes(opened, splits):
    """Class names, and for each split the label of each pair (n,) int32: of the image, or its most frequent answer."""
    label = opened.columns.label
    if label is not None:
        feature, train = opened.features[label], opened.splits["train"][label]
        names = class_names_of(train, feature)
        numbers = {split: label_numbers(opened.splits[split][label], feature, names) for split in splits}
        return names, {split: numbers[split][pairs.rows] for split, pairs in splits.items()}
    if splits["train"].answers is None:
        return (), {split: np.full(len(pairs.at), UNKNOWN, np.int32) for split, pairs in splits.items()}
    names = tuple(sorted({answer for answer in splits["train"].most_frequent if answer is not None}))
    number = {name: k for k, name in enumerate(names)}
    labels = {}
    for split, pairs in splits.items():
        of_row = np.array([number.get(answer, UNKNOWN) for answer in pairs.most_frequent], np.int32)
        labels[split] = of_row[pairs.rows]
    return names, labels
