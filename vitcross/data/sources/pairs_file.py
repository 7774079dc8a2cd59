"""Reads pairs of images and texts from a table (`table_rows.py`), without importing TensorFlow.

Each row is one pair. Its columns (keys in JSON) are `image`, a path relative to the file's folder, and `text`, or
`question` with `answer` (or `answers` of several annotators: a list, or separated by `|`). A list of texts is several
pairs. Optional: `split`, `category` (the class of the image) and `type` (of the question). Several rows may name one
image.
"""

import collections
import dataclasses
import os
import pathlib
import re
import unicodedata

from vitcross.data.sources.named_files import NamedFiles, find_image
from vitcross.data.sources.pair_source import Pair
from vitcross.data.sources.splits import cut_missing, draw
from vitcross.data.sources.table_columns import (
    ANSWER,
    ANSWERS,
    IMAGE,
    QUESTION,
    SPLIT,
    TEXT,
    SplitColumn,
    as_text,
    as_texts,
    column_notes,
    find_column,
    find_split_column,
    is_broken,
    no_columns,
    nothing_usable,
    what_it_is,
)
from vitcross.data.sources.table_rows import NOT_READABLE, NOT_UTF8, Table, existing_table, image_root

EMPTY_TEXT, NO_IMAGE, NO_ANSWER = "empty text", "no image named", "empty answer"
IN_TWO_SPLITS = "image of the training split"
# Keys of `PairsOptions` that `list_pairs` takes besides the shares.
PAIRS_KEYS = ("root", "image_column", "text_column", "split_column", "max_unreadable")
_CATEGORY, _TYPE = ["category"], ["type", "question_type"]
_KNOWN = {*IMAGE, *TEXT, *QUESTION, *ANSWER, *ANSWERS, *SPLIT, *_CATEGORY, *_TYPE}
_NUMBERED = re.compile(r"(caption|description|sentence|text)[ _-]?\d+", re.IGNORECASE)
_ONE_TYPE = "question"  # the type of questions without one


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairsListing:
    """Contents of a file of pairs.

    Attributes:
        file: path.
        images: list of distinct paths.
        splits: dict of split to a list of `Pair`, whose images are positions in `images`.
        class_names: tuple of str, the sorted categories or answers of the training pairs; () if there are none.
        missing: list of paths of missing images.
        table: the `Table` that was read.
    """

    file: pathlib.Path
    images: list[str]
    splits: dict[str, list[Pair]]
    class_names: tuple[str, ...]
    missing: list[str]
    table: Table


def list_pairs(file, *, validation_share=0.1, test_share=0.0, split_seed=0, max_unreadable=None, problems, **columns):
    """The `PairsListing` of a file; other arguments as in `PairsOptions`.

    Splits that the file does not name are split off the training pairs image by image: all texts of an image stay
    together, and the choice depends only on the seed and the image's path.

    Args:
        max_unreadable: int or None, the largest number of lines that may give no pair; missing images are counted
            by themselves.
        problems: `TextProblems`, where lost lines, and pairs of an image that is trained on too, are recorded as
            `<file>:<line>`.
        **columns: `root`, `image_column`, `text_column`, `split_column`.

    Raises:
        ValueError: if the file is missing, has another format, lacks a column, names an unknown split, or leaves no
            pair for training or validation.
        TooManyUnreadable: if more lines are lost.
    """
    file = existing_table(file, example="PAIRS.jsonl")
    shares = {"validation": validation_share, "test": test_share}
    if not all(0 <= share < 1 for share in shares.values()) or sum(shares.values()) >= 1:
        raise ValueError(
            "validation_share and test_share must be in [0, 1), their sum below 1. "
            f"Received: {validation_share} and {test_share}"
        )
    splits, images, missing, table = _pairs(file, columns)
    table.lost.check(max_unreadable, missing=missing)
    problems.add_logged(table.lost.names)
    splits = _completed(
        splits, images, shares=shares, seed=split_seed, table=table, folder=columns.get("root") or file.parent
    )
    _note_shared_images(splits, problems)
    labels = {pair.label for pair in splits["train"]} - {None}
    class_names = tuple(sorted(labels))
    return PairsListing(file=file, images=images, splits=splits, class_names=class_names, missing=missing, table=table)


def _pairs(file, options):
    """dict of split (default `train`) to its `Pair`s, the images, the missing images and the `Table`."""
    table = Table(file, known=_KNOWN)
    columns = _columns(table, options)
    splits, images, missing = {}, {}, {}
    files = NamedFiles(image_root(options.get("root"), file))
    split_column = SplitColumn(columns.split)
    for number, row in table.rows():
        name = as_text(row.get(columns.image, ""))
        made = _row_pairs(table, columns, number, name, row)
        if not made:
            continue
        path = find_image(files, table.lost, number, name, columns.image, missing)
        if path is not None:
            image = images.setdefault(path, len(images))
            split = splits.setdefault(split_column.of(row, made[0].name), [])
            split.extend(pair._replace(image=image) for pair in made)
    if not splits:
        raise nothing_usable(table, "pair of an image that is there and a text")
    table.notes += files.notes() + split_column.notes()
    return splits, list(images), list(missing), table


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Columns:
    """Names of columns in the file; None where it has none."""

    image: str
    text: str | None
    texts: tuple[str, ...]  # numbered columns of texts: caption_1, caption_2, ...
    question: str | None
    answer: str | None
    answers: str | None
    split: str | None
    category: str | None
    type: str | None


def _columns(table, options):
    def find(names, role=None):
        key = f"{role}_column"
        return find_column(table, names, given=options.get(key), option=f"data.{key}")

    question, text = find(QUESTION), find(TEXT, "text")
    if question is not None and options.get("text_column") is None and "text" not in table.columns:
        text = None  # a description beside the question
    numbered = () if text or question else tuple(filter(_NUMBERED.fullmatch, table.columns))
    text = text or next(iter(numbered), None)
    columns = _Columns(
        image=find(IMAGE, "image"),
        text=text,
        texts=numbered,
        question=question,
        answer=find(ANSWER),
        answers=find(ANSWERS),
        split=None,
        category=find(_CATEGORY),
        type=find(_TYPE),
    )
    has_answer = columns.answer is not None or columns.answers is not None
    if columns.image is None or (text is None) == (question is None) or (question is not None and not has_answer):
        raise no_columns(
            table,
            "the columns 'image' and 'text', or 'question' with 'answer' or 'answers' "
            "(data.image_column and data.text_column name others)",
            ["image", "text", *QUESTION, *ANSWER, *ANSWERS],
        )
    used = {name for name in dataclasses.astuple(columns) if isinstance(name, str)} | set(numbered)
    split = find_split_column(table, given=options.get("split_column"), used=used)
    columns = dataclasses.replace(columns, split=split)
    roles = ("image", "text", "split", "category", "type")
    named = {role: getattr(columns, role) for role in roles}
    if numbered:
        named["text"] = "', '".join(numbered)
    table.notes += column_notes(table, named)
    return columns


def _row_pairs(table, columns, number, image, row):
    """The `Pair`s of a row, with their image not yet set; [] if it is unusable, which is recorded."""

    def lose(reason, key, detail):
        table.lost.add(reason, number, key=key, detail=detail)
        return []

    if not image:
        return lose(NO_IMAGE, columns.image, "empty" if image == "" else what_it_is(row[columns.image]))
    name = f"{table.file.name}:{number}"
    category, kind = (as_text(row.get(column, "")) for column in (columns.category, columns.type))
    category = category and unicodedata.normalize("NFC", category)
    if columns.question is None:
        cells = [row[column] for column in columns.texts if row.get(column, "") != ""]
        texts, answers = as_texts(cells if columns.texts else row.get(columns.text, "")), ()
        asked = columns.text
    else:
        asked, question = columns.question, as_text(row.get(columns.question, ""))
        texts, answers = question and [question], _answers(table, columns, row)
    if None in (texts, answers, category, kind):
        named = {asked: texts, columns.answers or columns.answer: answers, columns.category: category}
        key = next((column for column, value in named.items() if value is None), columns.type)
        return lose(NOT_READABLE, key, what_it_is(row[key]))
    used = [text for text in texts or () if text.strip()]
    if not used or len(used) < len(texts):
        lose(EMPTY_TEXT, asked, "empty" if not used else f"{len(texts) - len(used)} of {len(texts)} are empty")
        if not used:
            return []
    if columns.question is not None and not answers:
        return lose(NO_ANSWER, columns.answers or columns.answer, "empty")
    if any(map(is_broken, (image, *used, *answers, category, kind))):
        return lose(NOT_UTF8, None, "half a character (a surrogate) or NUL")
    if columns.question is not None:
        label = collections.Counter(answers).most_common(1)[0][0]  # the first of equally frequent answers
        return [
            Pair(image=-1, text=text, label=label, question_type=kind or _ONE_TYPE, answers=answers, name=name)
            for text in used
        ]
    return [Pair(image=-1, text=text, label=category or None, name=name) for text in used]


def _answers(table, columns, row):
    """The answers of a row in lower case: tuple of str; None if they are no texts."""
    column = columns.answer if row.get(columns.answers) is None else columns.answers
    separators = "" if column == columns.answer else ";" if table.delimiter == "|" else "|"
    answers = as_texts(row.get(column, ""), separators=separators)
    return answers and tuple(unicodedata.normalize("NFC", answer.lower()) for answer in answers if answer)


def _completed(splits, images, *, shares, seed, table, folder):
    """All splits: those that the file does not name are split off the training pairs."""
    file = table.file
    if "train" not in splits:
        raise ValueError(f"{file} must hold pairs to train on (split train). Received: {sorted(splits)}")

    def cut(pairs, share, split):
        chosen = draw(
            {pair.image for pair in pairs},
            share,
            lambda k: f"{split}/{seed}/{os.path.relpath(images[k], folder)}".encode(),
        )
        return [pair for pair in pairs if pair.image not in chosen], [pair for pair in pairs if pair.image in chosen]

    cut_missing(splits, shares, cut)
    if "validation" not in splits:
        if "test" not in splits:
            raise ValueError(f"validation_share must be > 0: {file} holds training pairs only. Received: 0")
        table.notes.append(f"{file.name}: the test pairs also serve for validation (data.validation_share=0)")
        splits["validation"] = splits["test"]
    empty = [split for split, pairs in splits.items() if not pairs]
    if empty:
        raise ValueError(f"{file} must hold images for each split. Received none for: {', '.join(empty)}")
    return splits


def _note_shared_images(splits, problems):
    trained = {pair.image for pair in splits["train"]}
    others = {id(pairs): pairs for split, pairs in splits.items() if split != "train"}
    for pairs in others.values():
        for pair in pairs:
            if pair.image in trained:
                problems.add(IN_TWO_SPLITS, pair.name)
