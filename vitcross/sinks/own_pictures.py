"""What `evaluate.py` does with own pictures: says what the model sees in them, and shows where it looks.

Results go to files and to a sink; what is shown on the console is returned as text.
"""

from pathlib import Path

import numpy as np

from vitcross import atomic_files
from vitcross.attention_maps.probe_text import own_text
from vitcross.data.unreadable import UnreadableImage
from vitcross.sinks.console_text import printable
from vitcross.sinks.evaluation_files import csv_text
from vitcross.sinks.evaluation_report import write_maps
from vitcross.tasks import own_input

PER_SHEET = 16  # pictures on one sheet of maps
MOST_UPLOADED = 20  # sheets of own pictures that go to a sink; all are in the folder


def report_pictures(
    task, paths, *, preprocess, class_names, folder, sink, step, text=None, tokenizer=None, max_length=None, style=None
):
    """Say what the task sees in own pictures, and where it looks: `predictions.csv`, and maps of every picture, a sheet
    for each `PER_SHEET` of them. The first sheets go to the sink too.

    Args:
        text: str or None: what a contrastive model compares the pictures with, the question to answer, or a caption to
            score; a captioner writes its own where there is none.
        tokenizer, max_length: of the run, for models of texts.

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
        images = np.stack(list(readable.values()))
        texts = own_input.own_texts(task, images, text)
        batch = own_input.own_batch(images, len(names), texts, tokenizer, max_length)
        columns, found, words = own_input.own_predictions(task, batch, texts, class_names)
        media = write_maps(
            task.network,
            batch,
            folder=folder / "attention" / f"pictures_{start + 1:05d}",
            step=step,
            class_names=class_names,
            style=style,
            texts=None if texts is None else [own_text(tokenizer, t, max_length=max_length) for t in texts],
            says=lambda _, words=words: [(what, "", None) for what in words],
        )
        if start < PER_SHEET * MOST_UPLOADED:
            sink.media(step, media)
        names, lines, said = [*names, *readable], lines + found, said + words
    if not names:
        raise ValueError(f"none of the {len(paths)} pictures could be read, the first: {unreadable[0]}")
    rows = [[name, *line] for name, line in zip(names, lines, strict=True)]
    atomic_files.write_text(folder / "predictions.csv", csv_text(["example", *columns], rows))
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
