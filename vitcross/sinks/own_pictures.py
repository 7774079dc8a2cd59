"""What `evaluate.py` does with own pictures: says what the model sees in them, and shows where it looks.

Results go to files and to a sink; what is shown on the console is returned as text.
"""

from pathlib import Path

import numpy as np

from vitcross import atomic_files
from vitcross.attention_maps.own_checks import OwnChecks
from vitcross.attention_maps.probe_text import own_text
from vitcross.data.unreadable import UnreadableImage
from vitcross.sinks.console_text import printable
from vitcross.sinks.evaluation_files import csv_text
from vitcross.sinks.evaluation_report import write_maps
from vitcross.tasks.own_input import answer

PER_SHEET = 16  # pictures on one sheet of maps
MOST_UPLOADED = 20  # sheets of own pictures that go to a sink; all are in the folder


def report_pictures(task, paths, wish, *, preprocess, folder, sink, step, style=None):
    """Say what the task sees in own pictures, and where it looks: `predictions.csv`, and maps of every picture, a sheet
    for each `PER_SHEET` of them. The first sheets go to the sink too.

    Args:
        wish: `vitcross.tasks.own_input.Wish`.

    Returns:
        `(names, said, unreadable)`: of each readable picture its path and what the model says; of each unreadable one
        its message.

    Raises:
        ValueError: where no picture could be read.
    """
    folder, names, lines, said, unreadable = Path(folder), [], [], [], []
    for start in range(0, len(paths), PER_SHEET):
        readable = _read(paths[start : start + PER_SHEET], preprocess, unreadable)
        if not readable:
            continue
        found = answer(task, np.stack(list(readable.values())), wish, first=len(names))
        where = folder / "attention" / f"pictures_{start + 1:05d}"
        texts = None
        if found.texts is not None:
            texts = [own_text(wish.tokenizer, text, max_length=wish.max_length) for text in found.texts]
        says = [(what, "", None) for what in found.said]
        media, _ = write_maps(
            task.network,
            found.batch,
            folder=where,
            step=step,
            class_names=wish.class_names,
            style=style,
            texts=texts,
            says=lambda _, s=says: s,
            target=wish.target,
            checks=OwnChecks(task.network, wish.target, wish.class_names),
        )
        if start < PER_SHEET * MOST_UPLOADED:
            sink.media(step, media)
        names, lines, said = [*names, *readable], lines + found.lines, said + found.said
    if not names:
        raise ValueError(f"none of the {len(paths)} pictures could be read, the first: {unreadable[0]}")
    rows = [[name, *line] for name, line in zip(names, lines, strict=True)]
    atomic_files.write_text(folder / "predictions.csv", csv_text(["example", *found.columns], rows))
    return names, said, unreadable


def _read(paths, preprocess, unreadable):
    """Readable pictures by path; messages of the others are appended to `unreadable`."""
    readable = {}
    for path in paths:
        try:
            readable[str(path)] = preprocess(path)
        except UnreadableImage as error:
            unreadable.append(str(error))
    return readable


def picture_lines(names, said, unreadable, text=None):
    """Predictions of own pictures as lines for the console: picture, and what the model says."""
    width = max(len(printable(Path(name).name)) for name in names)
    about = f" and the text {printable(text)!r}" if text else ""
    rows = [
        f"  {printable(Path(name).name):<{width}}  {printable(what)}" for name, what in zip(names, said, strict=True)
    ]
    problems = [f"  not readable, left out: {printable(message)}" for message in unreadable]
    return [f"{len(names)} pictures{about}", *rows, *problems]
