"""Finds the columns of a table by their names, and reads cells: what stands in a text column becomes text.

Other tools call the same columns by other names; what was found under another name is told.
"""

import ast
import json
import os
import re

from vitcross.data.sources.image_rules import image_endings
from vitcross.data.sources.splits import SPLIT_NAMES
from vitcross.typos import did_you_mean, nearest_names

# What a column may be called, the best name first; case, spaces, `-` and `_` do not matter.
IMAGE = ["image", "image_path", "image_file", "image_name", "image_filename", "img", "img_path", "img_file", "img_name"]
IMAGE += ["file_name", "file_path", "path", "file", "photo", "picture", "image_id", "img_id", "id"]
TEXT = ["text", "caption", "captions", "texts", "description", "sentence", "sentences", "comment", "alt_text"]
QUESTION, ANSWER, ANSWERS = ["question"], ["answer"], ["answers"]
LABEL = ["label", "class", "category", "target", "class_name", "label_name", "category_name", "species", "breed"]
LABEL += ["diagnosis", "class_id", "label_id", "category_id", "y"]
LABELS = ["labels", "classes", "categories", "tags", "targets", "attributes"]
SPLIT = ["split", "subset", "partition", "usage"]
BOX = ["box", "bbox", "boxes", "bboxes", "bounding_box", "bounding_boxes"]
MASK = ["mask", "mask_path", "mask_file", "mask_name", "segmentation", "segmentation_mask"]
# Other words for a split, in lower case.
SPLIT_WORDS = {
    "train": (*SPLIT_NAMES["train"], "trn"),
    "validation": (*SPLIT_NAMES["validation"], "development", "publictest"),
    "test": (*SPLIT_NAMES["test"], "tst", "privatetest"),
}
_MOST_NAMED = 20  # columns that a message lists
_BROKEN = re.compile("[\0\ud800-\udfff]")


def find_column(table, names, *, given=None, option=None):
    """The name of a column as the table has it, or None.

    Args:
        table: `Table`.
        names: list of str, what it may be called, the best first.
        given: str or None, the name that the user typed.
        option: str, the key that it was typed for.

    Raises:
        ValueError: if there is no column `given`.
    """
    if given is not None:
        if given not in table.columns:
            raise ValueError(
                f"{option} must be a column of {table.file}: {', '.join(table.columns) or 'none'}."
                f"{did_you_mean(given, table.columns)} Received: {given!r}"
            )
        return given
    by_key = {}
    for column in table.columns:
        by_key.setdefault(column_key(column), column)
    return next((by_key[column_key(name)] for name in names if column_key(name) in by_key), None)


def find_split_column(table, *, given=None, used=()):
    """The name of the column that says which split a row belongs to, or None: the one that is `given`, else by its
    name, else one that holds nothing but words for splits; `used` are columns that mean something else."""
    named = find_column(table, SPLIT, given=given, option="data.split_column")
    words = {word for words in SPLIT_WORDS.values() for word in words}

    def holds_splits(column):
        cells = [row.get(column, "") for row in table.first_rows]
        return any(cells) and all(
            cell == "" or as_text(cell) is not None and split_key(cell) in words for cell in cells
        )

    others = (column for column in table.columns if column not in used and holds_splits(column))
    return named or next(others, None)


def split_key(cell):
    """A cell as the words of `SPLIT_WORDS` are written."""
    return re.sub(r"[\s_-]", "", as_text(cell).lower())


def column_notes(table, found):
    """What to tell of columns with other names than expected: a list of str; `found` is a dict of expected name to
    name."""
    other = [f"{expected} from column '{name}'" for expected, name in found.items() if name not in (None, expected)]
    return [f"{table.file.name}: {', '.join(other)}"] if other else []


def no_columns(table, expected, names):
    """The ValueError for a table that lacks columns; `expected` says which it must have, `names` are theirs."""
    more = f" and {len(table.columns) - _MOST_NAMED} more" if len(table.columns) > _MOST_NAMED else ""
    received = f"{list(table.columns[:_MOST_NAMED])}{more}" if table.columns else "no line"
    alike = {
        column: nearest_names(column, names, most=1, cutoff=0.75) for column in table.columns if column not in names
    }
    if any(alike.values()):
        received += "; " + ", ".join(f"'{column}' looks like '{near[0]}'" for column, near in alike.items() if near)
    if table.delimiter and any(os.path.splitext(name)[1].lower() in image_endings() for name in table.columns):
        received += ": the first line must be a header, the names of the columns"
    lost = [table.lost.summary(), *table.lost.first_lines()] if len(table.lost) else []
    return ValueError("\n".join([f"{table.file} must have {expected}. Received: {received}", *lost]))


def nothing_usable(table, expected):
    """The ValueError for a table without a usable row; `expected` says what it must hold one of."""
    received = f"{table.file} ({table.lost.summary() or 'no row below the header'})"
    return ValueError(
        "\n".join([f"data.file must hold at least one {expected}. Received: {received}", *table.lost.first_lines()])
    )


def as_text(value):
    """A cell as text: JSON's numbers, `true` and `false` as they are written; None for a list or an object."""
    if isinstance(value, str):
        return value
    return None if isinstance(value, (list, dict)) else json.dumps(value)


def as_texts(value, *, separators=""):
    """A cell as a list of texts: a list, a text that is one (`["a", "b"]`), or what stands between `separators`.

    None for an object, or a list that holds one.
    """
    if isinstance(value, str):
        value = listed(value) or (re.split(f"[{re.escape(separators)}]", value) if separators else [value])
    values = [as_text(item) for item in (value if isinstance(value, list) else [value])]
    return None if None in values else [text.strip() for text in values]


def listed(text):
    """The list that a text is in JSON or Python, or None."""
    if not (text.startswith("[") and text.endswith("]")):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, list):
            return value
    return None


def what_it_is(value):
    """Words for a cell that is no text."""
    if isinstance(value, list):
        return "a list of objects" if any(isinstance(item, dict) for item in value) else f"a list of {len(value)}"
    return "an object" if isinstance(value, dict) else "no text"


def is_broken(text):
    """Whether a text contains half a surrogate pair (valid in JSON, not in UTF-8) or NUL (invalid in a path)."""
    return _BROKEN.search(text) is not None


class SplitColumn:
    """Reads the column that names the split of a row; an empty cell is `train`.

    Args:
        column: str or None, its name in the table.
    """

    def __init__(self, column):
        self.column = column
        self._known = {word: split for split, words in SPLIT_WORDS.items() for word in words}
        self._other = {}

    def of(self, row, name):
        """The split of a row, `name` in messages. Raises ValueError for a word that names none."""
        value = as_text(row.get(self.column) or "")
        word = "train" if value == "" else split_key(value or "a list")
        if word not in self._known:
            raise ValueError(
                f"split must be one of {', '.join(self._known)}. Received: {value!r} ({name}), column '{self.column}' "
                "(data.split_column names another)"
            )
        split = self._known[word]
        if word not in (split, ""):
            self._other[value] = split
        return split

    def notes(self):
        """The words that were read as another one: a list of str."""
        words = ", ".join(f"'{word}' is {split}" for word, split in self._other.items())
        return [f"in column '{self.column}' {words}"] if words else []


def column_key(name):
    return re.sub(r"[\s_-]", "", name.casefold())
