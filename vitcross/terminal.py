"""Words on their way to a terminal: names of files, classes and runs, captions, and what others' errors say, are texts
of strangers, and none of them may drive it. Imports nothing, so that every room can use it.
"""

import logging
import sys


def printable(text, encoding="utf-8"):
    """`text` in one line that cannot drive a terminal, and that a stream of this encoding takes.

    Control characters (escape sequences begin with one), line ends, tabs, marks that reverse the reading direction and
    undecodable bytes of file names become `?`.
    """
    text = "".join(character if character.isprintable() else "?" for character in str(text))
    return text.encode(encoding or "utf-8", "replace").decode(encoding or "utf-8")


def printable_lines(text, encoding="utf-8"):
    """`text` of several lines; all but the first are indented: a line end in a name begins no line of ours."""
    first, *rest = [printable(line, encoding) for line in str(text).splitlines() or [""]]
    return "\n".join([first, *(line if line.startswith("  ") else f"  {line}" for line in rest)])


def printable_rows(rows):
    """A dict of name to value as lines of two aligned columns, each in one line."""
    return "\n".join(f"{name:<12}{printable(value)}" for name, value in rows.items())


def say(*lines, file=None):
    """Print lines, each in one line, at once."""
    file = file or sys.stdout
    for line in lines:
        print(printable(line, getattr(file, "encoding", None)), file=file, flush=True)


class PlainLines(logging.Formatter):
    """A record of a log as one line."""

    def __init__(self):
        super().__init__("%(message)s")

    def format(self, record):
        return printable(super().format(record))
