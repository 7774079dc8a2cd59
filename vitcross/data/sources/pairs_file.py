"""Reads pairs of images and texts from a CSV or JSONL file, without importing TensorFlow.

Each line is one pair. Its columns (keys in JSONL) are `image`, a path relative to the file's folder, and `text`, or
`question` with `answer` (or `answers` of several annotators: a list in JSONL, separated by `|` in CSV). Optional:
`split`, `category` (the class of the image) and `type` (of the question). Several lines may name one image.
"""

import collections
import csv
import dataclasses
import hashlib
import io
import json
import logging
import os
import pathlib

from vitcross.data.sources.pair_source import Pair

logger = logging.getLogger(__name__)

SPLIT_NAMES = {"train": ("train", "training"), "validation": ("validation", "val", "valid"), "test": ("test",)}
NOT_UTF8, NOT_READABLE, EMPTY_TEXT = "not UTF-8", "not a line of the format", "empty text"
NO_IMAGE, MISSING_IMAGE, IN_TWO_SPLITS = "no image named", "missing image", "image of the training split"
NO_ANSWER = "empty answer"
_TEXT_COLUMNS = ("image", "text", "question", "answer", "split", "category", "type")
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
    """

    file: pathlib.Path
    images: list[str]
    splits: dict[str, list[Pair]]
    class_names: tuple[str, ...]
    missing: list[str]


def list_pairs(file, *, validation_share=0.1, test_share=0.0, split_seed=0, problems):
    """The `PairsListing` of a file; other arguments as in `PairsOptions`.

    Unusable lines are skipped and recorded in `problems` (`TextProblems`) as `<file>:<line>`. Splits that the file does
    not name are split off the training pairs image by image: all texts of an image stay together, and the choice
    depends only on the seed and the image's path.

    Raises:
        ValueError: if the file is missing, has another format, lacks a column, names an unknown split, or leaves no
            pair for training or validation.
    """
    file = _existing(file)
    shares = {"validation": validation_share, "test": test_share}
    if not all(0 <= share < 1 for share in shares.values()) or sum(shares.values()) >= 1:
        raise ValueError(
            "validation_share and test_share must be in [0, 1), their sum below 1. "
            f"Received: {validation_share} and {test_share}"
        )
    pairs, images, missing = _pairs(file, problems)
    if not pairs:
        found = "; ".join(f"{kind}: {len(names)}" for kind, names in problems.names.items())
        raise ValueError(
            f"data.file must hold at least one pair of an image that is there and a text. Received: {file} ({found})"
        )
    splits = _completed(pairs, images, shares=shares, seed=split_seed, file=file)
    _note_shared_images(splits, problems)
    labels = {pair.label for pair in splits["train"]} - {None}
    return PairsListing(file=file, images=images, splits=splits, class_names=tuple(sorted(labels)), missing=missing)


def _pairs(file, problems):
    """dict of split (default `train`) to its `Pair`s, the images, and the missing images."""
    splits, images, missing = {}, {}, {}
    for name, row in _rows(file, problems):
        pair = _pair(name, row, problems)
        if pair is None:
            continue
        path = os.path.normpath(file.parent / row["image"])
        if path in missing or (path not in images and not os.path.isfile(path)):
            missing[path] = None
            problems.add(MISSING_IMAGE, name)
            continue
        pair = pair._replace(image=images.setdefault(path, len(images)))
        splits.setdefault(_split(name, row.get("split")), []).append(pair)
    return splits, list(images), list(missing)


def _existing(file):
    if file is None:
        raise ValueError("data.file must name a file of pairs (data.file=PAIRS.jsonl). Received: null")
    file = pathlib.Path(file).expanduser()
    if not file.is_file():
        raise ValueError(f"data.file must be an existing file. Received: {file}")
    if file.suffix.lower() not in (".csv", ".jsonl"):
        raise ValueError(f"data.file must end in .csv or .jsonl. Received: {file}")
    return file


def _rows(file, problems):
    """List of (name, dict of str) of the usable lines; checks that the required columns exist."""
    content = file.read_bytes().removeprefix(b"\xef\xbb\xbf")
    rows = list((_csv_rows if file.suffix.lower() == ".csv" else _json_rows)(file, content, problems))
    columns = dict.fromkeys(key for _, row in rows for key in row)
    has_question, has_answer = "question" in columns, bool({"answer", "answers"} & columns.keys())
    if "image" not in columns or ("text" in columns) == has_question or (has_question and not has_answer):
        raise ValueError(
            f"{file} must have the columns 'image' and 'text', or 'question' with 'answer' or 'answers'. "
            f"Received: {list(columns) or 'no line'}"
        )
    return rows


def _csv_rows(file, content, problems):
    # Invalid UTF-8 becomes surrogates, which no valid text contains, so that it is found after unquoting.
    text = content.decode("utf-8", "surrogateescape")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = None
    while True:
        name = f"{file.name}:{reader.line_num + 1}"
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error:
            problems.add(NOT_READABLE, name)
            continue
        if not values:
            continue
        if any("\udc80" <= letter <= "\udcff" for value in values for letter in value):
            problems.add(NOT_UTF8, name)
        elif header is None:
            header = [value.strip() for value in values]
        elif len(values) != len(header):
            problems.add(NOT_READABLE, name)
        else:
            row = dict(zip(header, (value.strip() for value in values), strict=True))
            if "answers" in row:
                row["answers"] = [answer.strip() for answer in row["answers"].split("|")]
            yield name, row


def _json_rows(file, content, problems):
    for number, line in enumerate(content.split(b"\n"), 1):
        name = f"{file.name}:{number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError:
            problems.add(NOT_UTF8, name)
            continue
        except ValueError:
            row = None
        if isinstance(row, dict):
            row = {key: value for key, value in row.items() if value is not None}
        if not isinstance(row, dict) or not all(_is_value(key, value) for key, value in row.items()):
            problems.add(NOT_READABLE, name)
            continue
        yield name, {key: value.strip() if isinstance(value, str) else value for key, value in row.items()}


def _is_value(key, value):
    if key == "answers":
        return isinstance(value, list) and all(isinstance(answer, str) for answer in value)
    return key not in _TEXT_COLUMNS or isinstance(value, str)


def _pair(name, row, problems):
    """The `Pair` of a line, with its image not yet set; None if the line is unusable."""
    is_question = "question" in row
    text = row.get("question" if is_question else "text", "")
    answers = row.get("answers", [row.get("answer", "")]) if is_question else ()
    answers = tuple(answer.strip().lower() for answer in answers if answer.strip())
    problem = None
    if not row.get("image"):
        problem = NO_IMAGE
    elif not text.strip():
        problem = EMPTY_TEXT
    elif is_question and not answers:
        problem = NO_ANSWER
    elif any(
        _is_broken(value) for value in (row["image"], text, *answers, row.get("category", ""), row.get("type", ""))
    ):
        problem = NOT_UTF8
    if problem is not None:
        problems.add(problem, name)
        return None
    if is_question:
        label = collections.Counter(answers).most_common(1)[0][0]  # the first of equally frequent answers
        return Pair(
            image=-1, text=text, label=label, question_type=row.get("type") or _ONE_TYPE, answers=answers, name=name
        )
    return Pair(image=-1, text=text, label=row.get("category") or None, name=name)


def _is_broken(text):
    """Whether a text contains half a surrogate pair (valid in JSON, not in UTF-8) or NUL (invalid in a path)."""
    return "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text)


def _split(name, value):
    if not value:
        return "train"
    for split, names in SPLIT_NAMES.items():
        if value.lower() in names:
            return split
    known = ", ".join(known for names in SPLIT_NAMES.values() for known in names)
    raise ValueError(f"split must be one of {known}. Received: {value!r} ({name})")


def _completed(splits, images, *, shares, seed, file):
    """All splits: those that the file does not name are split off the training pairs."""
    if "train" not in splits:
        raise ValueError(f"{file} must hold pairs to train on (split train). Received: {sorted(splits)}")
    named = set(splits)
    for split, share in shares.items():
        if split not in named and share:
            taken = shares["validation"] if split == "test" and "validation" not in named else 0
            names = {k: os.path.relpath(images[k], file.parent) for k in {pair.image for pair in splits["train"]}}
            cut = _cut(names, share / (1 - taken), f"{split}/{seed}")
            splits[split] = [pair for pair in splits["train"] if pair.image in cut]
            splits["train"] = [pair for pair in splits["train"] if pair.image not in cut]
    if "validation" not in splits:
        if "test" not in splits:
            raise ValueError(f"validation_share must be > 0: {file} holds training pairs only. Received: 0")
        logger.info("%s: the test pairs also serve for validation (data.validation_share=0)", file)
        splits["validation"] = splits["test"]
    empty = [split for split, pairs in splits.items() if not pairs]
    if empty:
        raise ValueError(f"{file} must hold images for each split. Received none for: {', '.join(empty)}")
    return splits


def _cut(names, share, seed):
    """Positions of `share` of the images, at least one and never all; `names` is a dict of position to path."""
    number = min(max(1, round(share * len(names))), len(names) - 1)
    ranked = sorted(names, key=lambda k: hashlib.sha256(f"{seed}/{names[k]}".encode()).digest())
    return set(ranked[:number])


def _note_shared_images(splits, problems):
    trained = {pair.image for pair in splits["train"]}
    others = {id(pairs): pairs for split, pairs in splits.items() if split != "train"}
    for pairs in others.values():
        for pair in pairs:
            if pair.image in trained:
                problems.add(IN_TWO_SPLITS, pair.name)
