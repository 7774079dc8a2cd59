"""Reads the rows of a table (CSV, TSV, JSON lines, a JSON array), finding its encoding and delimiter.

A line that cannot be read costs no other line: reading resumes at the line after the one where a quotation mark opens
that is never closed. What is lost is counted in lines (`lost_lines.py`).
"""

import codecs
import collections
import csv
import itertools
import json
import logging
import re
from pathlib import Path

from vitcross.data.sources.lost_lines import LostLines
from vitcross.paths import typed_path

logger = logging.getLogger(__name__)

NOT_UTF8, NOT_READABLE = "not UTF-8", "not a line of the format"
_LINES = (".jsonl", ".ndjson")
_JSON = (*_LINES, ".json")
SUFFIXES = (".csv", ".tsv", ".txt", *_JSON)
_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
_BYTE_ORDER_MARKS = {  # UTF-32 first: its mark begins with that of UTF-16
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_PEEKED = 1000  # rows that are read at once; the keys of JSON in them are the columns
_SURROGATE = re.compile("[\ud800-\udfff]")


class Table:
    """A table whose rows are read one after the other.

    Args:
        file: pathlib.Path, an existing file with one of `SUFFIXES`.
        known: names of columns that are expected; they decide between delimiters. Lower case.

    Attributes:
        file: the path.
        delimiter: str between two cells, None for JSON.
        columns: tuple of str, the header, or the keys of the first rows of JSON.
        first_rows: list of the first rows.
        lost: `LostLines`; complete once `rows` has been read to its end.
        notes: list of str, what was found and deserves to be told.

    Raises:
        ValueError: if the file is empty, has no header, or is a JSON object.
    """

    def __init__(self, file, *, known=()):
        self.file, self.delimiter = file, None
        text, self._encoding = _decoded(file.read_bytes())
        self._clean = not _SURROGATE.search(text)
        items = _json_items(file, text)
        self.lost = LostLines(file, unit="line" if items is None else "item")
        if items is not None:
            rows = self._checked(enumerate(items, 1))
        elif file.suffix.lower() in _JSON or text.lstrip()[:1] == "{":
            rows = self._checked(self._json_lines(text.split("\n")))
        else:
            rows = self._delimited(text, known)
        rows = iter(rows)
        first = list(itertools.islice(rows, _PEEKED))
        if self.delimiter is None:
            self.columns = tuple(dict.fromkeys(key for _, row in first for key in row))
        self.first_rows = [row for _, row in first]
        self._rows = itertools.chain(first, rows)
        self.notes = self._notes()

    def rows(self):
        """Iterates once over (number, row): the number of the row's first line (of the item in a JSON array), and a
        dict of column to cell, a stripped str, or in JSON any value but null."""
        return self._rows

    def _notes(self):
        guessed = (
            " (a guess: it is not UTF-8; save it as UTF-8 if letters are wrong)" if self._encoding == "cp1252" else ""
        )
        notes = [] if self._encoding == "utf-8" else [f"encoded in {self._encoding}{guessed}"]
        usual = "\t" if self.file.suffix.lower() == ".tsv" else ","
        if self.delimiter not in (None, usual):
            notes.append(f"{_DELIMITERS[self.delimiter]} between cells")
        return [f"{self.file.name}: {', '.join(notes)}"] if notes else []

    def _json_lines(self, lines):
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            if not self._clean and _SURROGATE.search(line):
                self.lost.add(NOT_UTF8, number, detail="bytes that are not UTF-8")
                continue
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                self.lost.add(NOT_READABLE, number, detail=f"not JSON ({error})")

    def _checked(self, numbered):
        for number, row in numbered:
            if isinstance(row, dict):
                yield number, {key.strip(): _stripped(value) for key, value in row.items() if not _is_missing(value)}
            else:
                self.lost.add(NOT_READABLE, number, detail=f"not a JSON object of names and values: {row!r}")

    def _delimited(self, text, known):
        lines = (text if "\n" in text else text.replace("\r", "\n")).split("\n")
        start = next((k for k, line in enumerate(lines) if line.strip()), None)
        if start is None:
            raise ValueError(f"data.file must hold a header and rows. Received: {self.file}, which is empty")
        said = re.fullmatch(r"sep=(.)\r?", lines[start])  # Excel's first line, which names the delimiter
        self.delimiter = said[1] if said and said[1] in _DELIMITERS else _delimiter(lines[start], self.file, known)
        records = _Records(lines, self.delimiter, start + bool(said), self.lost)
        header = next(records, None)
        if header is None:
            raise ValueError(f"data.file must begin with a header. Received: {self.file}: {lines[start].strip()!r}")
        self.columns = tuple(cell.strip() for cell in header[1])
        twice = [name for name, count in collections.Counter(self.columns).items() if name and count > 1]
        if twice:
            raise ValueError(f"data.file must name each column once. Received: {self.file} with two of '{twice[0]}'")
        records.header = self.columns
        return self._cells(records)

    def _cells(self, records):
        for number, cells in records:
            if not self._clean and any(map(_SURROGATE.search, cells)):
                self.lost.add(NOT_UTF8, number, records.position, detail="bytes that are not UTF-8")
            else:
                yield number, dict(zip(self.columns, map(str.strip, cells), strict=True))


class _Records:
    """The records of delimited text, each with the number of its first line: iterates over (number, cells)."""

    def __init__(self, lines, delimiter, position, lost):
        self.position = position  # lines read so far
        self.header = None
        self._lines, self._delimiter, self._lost = lines, delimiter, lost
        self._reader = csv.reader(self._next_lines(), delimiter=delimiter, strict=True)

    def __iter__(self):
        return self

    def __next__(self):
        while True:
            start = self.position
            try:
                cells = next(self._reader)
            except csv.Error as error:
                self._lose(start, _csv_reason(error, self._lines[start], self.position - start))
                continue
            if self.position - start > 1 and self._swallows_rows(start):
                self._lose(start, "a quotation mark opens that is not closed in its row")
            elif any(map(str.strip, cells)) and self._has_every_cell(start, cells):
                return start + 1, cells

    def _has_every_cell(self, start, cells):
        """Whether a record has as many cells as the header; empty ones at its end are removed."""
        if self.header is None:
            return True
        wanted = len(self.header)
        while len(cells) > wanted and not cells[-1].strip():
            cells.pop()
        if len(cells) == wanted:
            return True
        more = (
            f" (a cell that holds {_DELIMITERS[self._delimiter]} needs quotation marks)" if len(cells) > wanted else ""
        )
        detail = f"{len(cells)} cells where the header has {wanted}{more}"
        self._lost.add(NOT_READABLE, start + 1, self.position, detail=detail)
        return False

    def _next_lines(self):
        while self.position < len(self._lines):
            self.position += 1
            yield self._lines[self.position - 1] + "\n"

    def _lose(self, start, detail):
        """One line is lost, and the lines behind it are read again."""
        self._lost.add(NOT_READABLE, start + 1, detail=detail)
        self.position = start + 1
        self._reader = csv.reader(self._next_lines(), delimiter=self._delimiter, strict=True)

    def _swallows_rows(self, start):
        """Whether lines within a record look like rows of their own: as many cells, and a first one of the same shape,
        e.g. `img_02.jpg` after `img_01.jpg`. A text of several lines has no such lines."""
        if self.header is None:
            return False
        first, *within = self._lines[start : self.position]
        shape = _shape(first.split(self._delimiter)[0])
        own = (line.split(self._delimiter) for line in within)
        return any(len(cells) >= len(self.header) > 1 and shape and _shape(cells[0]) == shape for cells in own)


def tell(table):
    """Logs the notes of a table and the lines that it lost."""
    for note in table.notes:
        logger.info("%s", note)
    table.lost.log()


def existing_table(file, *, example):
    """The path of a table that the user typed as `data.file`; `example` is shown where none was.

    Raises:
        ValueError: if there is no such file or it has another format.
    """
    if file is None:
        raise ValueError(f"data.file must name a file (data.file={example}). Received: null")
    path = Path(typed_path(file))
    if not path.is_file():
        raise ValueError(f"data.file must be an existing file. Received: {path}")
    if path.suffix.lower() not in SUFFIXES:
        hint = {".parquet": ": data=huggingface reads Parquet", ".arrow": ": data=huggingface reads Arrow"}
        hint |= dict.fromkeys((".xlsx", ".xls", ".ods"), ": save the sheet as CSV")
        hint = hint.get(path.suffix.lower(), "")
        raise ValueError(f"data.file must end in {', '.join(SUFFIXES)}{hint}. Received: {path}")
    return path


def image_root(root, file):
    """The folder that names of images are relative to: `data.root`, or the folder of the file where that is null."""
    if root is None:
        return file.parent
    folder = Path(typed_path(root))
    if not folder.is_dir():
        raise ValueError(f"data.root must be an existing folder. Received: {folder}")
    return folder


def _decoded(content):
    """(text, encoding). Bytes that are not valid in UTF-8 become surrogates, so that only their lines are lost."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return content[len(mark) :].decode(
                encoding, "surrogateescape" if encoding == "utf-8" else "replace"
            ), encoding
    start = content[:1000]
    if len(start) > 1 and start.count(0) > len(start) // 4:  # ASCII in UTF-16 without a mark: every second byte is zero
        encoding = "utf-16-le" if start[1::2].count(0) > start[::2].count(0) else "utf-16-be"
        return content.decode(encoding, "replace"), encoding
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        text = content.decode("utf-8", "surrogateescape")
    # One valid letter outside ASCII shows that the file is UTF-8 with damage.
    if all("\udc80" <= letter <= "\udcff" for letter in re.findall("[^\0-\x7f]", text)):
        try:
            return content.decode("cp1252"), "cp1252"
        except UnicodeDecodeError:
            pass
    return text, "utf-8"


def _json_items(file, text):
    """The items of a JSON array; None for another file."""
    start = text.lstrip()[:1]
    if start != "[" and not (start == "{" and file.suffix.lower() == ".json"):
        return None
    try:
        items = json.loads(text)
    except (ValueError, RecursionError) as error:
        if start == "{" or file.suffix.lower() in _LINES:  # objects line by line
            return None
        raise ValueError(f"data.file must be valid JSON. Received: {file} ({error})") from None
    if isinstance(items, dict) and any(isinstance(value, (list, dict)) for value in items.values()):
        raise ValueError(
            "data.file must hold a list of objects, one for each row, or one object in each line. "
            f"Received: {file}, one object with the keys {', '.join(list(items)[:8])}"
        )
    return items if isinstance(items, list) else [items]


def _delimiter(line, file, known):
    """The delimiter of a header: the one that finds most of the known columns, then most columns."""
    preferred = "\t" if file.suffix.lower() == ".tsv" else ","

    def score(delimiter):
        cells = [cell.strip().strip('"').lower() for cell in line.split(delimiter)]
        return sum(cell in known for cell in cells), len(cells), delimiter == preferred

    return max(_DELIMITERS, key=score)


def _csv_reason(error, line, lines):
    if '\\"' in line:
        return 'a quotation mark in a cell must be doubled ("") instead of written \\"'
    if lines > 1 or "unexpected end" in str(error):
        return "a quotation mark opens that is not closed in its row"
    return (
        f"a cell goes on behind its closing quotation mark ({error})" if "expected after" in str(error) else str(error)
    )


def _shape(cell):
    """The form of a file's name: letters and digits without their number; empty for a name of letters alone."""
    shape = re.sub(r"\d+", "0", re.sub(r"[^\W\d_]+", "a", cell.strip().strip('"')))
    return "" if shape == "a" else shape


def _is_missing(value):
    return value is None or value != value  # NaN, which pandas writes


def _stripped(value):
    return value.strip() if isinstance(value, str) else value
