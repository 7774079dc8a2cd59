"""Writes what the model predicts for the user's images, and shows where it looks.

Results go to files and to a sink; the text for the console is returned.
"""

import dataclasses
import functools
from pathlib import Path

import numpy as np

from vitcross import atomic_files
from vitcross.attention_maps.capture.capture import Capture
from vitcross.attention_maps.records.label_part import ProbeLabels
from vitcross.attention_maps.records.probe_text import text_from_user
from vitcross.attention_maps.trust.unlabeled_checks import UnlabeledChecks
from vitcross.data.problems import UnreadableImage
from vitcross.evaluation.split_report import write_maps
from vitcross.pages.csv_text import csv_text
from vitcross.tasks.image_query import Answer
from vitcross.terminal import printable

PER_SHEET = 16  # images on one sheet of maps
MOST_UPLOADED = 20  # sheets of the user's images that go to a sink; all are in the folder
MOST_NAMED = 10  # images that one note names


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Group:
    """The images of one sheet: number of its first path, the readable paths, and their predictions. `answer.batch`
    is without pixels, which are read again for the maps: of many images they would not fit into memory."""

    start: int
    paths: list
    answer: Answer


def report_images(task, paths, query, *, preprocess, folder, sink, step, style=None):
    """Write `predictions.csv` for the user's images and maps of every image, a sheet for each `PER_SHEET` of them. The
    first sheets go to the sink too.

    Args:
        query: `vitcross.tasks.image_query.ImageQuery`.

    Returns:
        `(names, words, unreadable, notes)`: of each readable image its path and what the model predicts; of each
        unreadable one its message; lines about the maps.

    Raises:
        ValueError: where no image could be read, or none has the requested target; the predictions are
            written before.
    """
    folder = Path(folder)
    groups, unreadable = _answer(task, paths, query, preprocess)
    if not groups:
        raise ValueError(f"none of the {len(paths)} images could be read, the first: {unreadable[0]}")
    names = [str(path) for group in groups for path in group.paths]
    lines = [line for group in groups for line in group.answer.lines]
    rows = [[name, *line] for name, line in zip(names, lines, strict=True)]
    columns = ["example", *groups[0].answer.columns]
    atomic_files.write_text(folder / "predictions.csv", csv_text(columns, rows))
    targets, notes = _targets(task.network, groups, query)
    # Made once, so that groups of one size compile once.
    capture, checks = (
        Capture(task.network, explain=True),
        UnlabeledChecks(task.network, query.class_names, groups[0].answer.choices),
    )
    for group, target in zip(groups, targets, strict=True):
        images = np.stack([preprocess(path) for path in group.paths])
        media, _ = write_maps(
            task.network,
            {"images": images, **group.answer.batch},
            folder=folder / "attention" / f"images_{group.start + 1:05d}",
            step=step,
            class_names=query.class_names,
            style=style,
            texts=_texts(group, query),
            describe_predictions=lambda _, lines=group.answer.words: lines,
            labels=ProbeLabels(threshold=lambda: task.threshold) if task.network.multilabel else None,
            target=target,
            checks=functools.partial(checks, target=target),
            capture=capture,
        )
        if group.start < PER_SHEET * MOST_UPLOADED:
            sink.media(step, media)
    return names, [text for group in groups for text in group.answer.words], unreadable, notes


def _answer(task, paths, query, preprocess):
    """What is predicted for all readable images, as groups, and messages of the others."""
    groups, unreadable, first = [], [], 0
    for start in range(0, len(paths), PER_SHEET):
        readable = _read(paths[start : start + PER_SHEET], preprocess, unreadable)
        if not readable:
            continue
        choices = groups[0].answer.choices if groups else None
        found = task.answer_images(np.stack(list(readable.values())), query, first=first, choices=choices)
        batch = {key: array for key, array in found.batch.items() if key != "images"}
        groups.append(_Group(start=start, paths=list(readable), answer=dataclasses.replace(found, batch=batch)))
        first += len(readable)
    return groups, unreadable


def _read(paths, preprocess, unreadable):
    """Readable images by path; messages of the others are appended to `unreadable`."""
    readable = {}
    for path in paths:
        try:
            readable[path] = preprocess(path)
        except UnreadableImage as error:
            unreadable.append(str(error))
    return readable


def _texts(group, query):
    """The texts beside the images of a group as the maps need them; None for images alone."""
    if group.answer.texts is None:
        return None
    return [text_from_user(query.tokenizer, text, max_length=query.max_length) for text in group.answer.texts]


def _targets(network, groups, query):
    """What the maps of every group explain, and notes. Not every generated caption has the requested
    word."""
    paths = [path for group in groups for path in group.paths]
    if query.target is None or network.words is None:
        return [query.target] * len(groups), []
    found = network.possible_targets(query.target, [text for group in groups for text in _texts(group, query)])
    without = [Path(path).name for path, here in zip(paths, found, strict=True) if here is None]
    if not without:
        return [query.target] * len(groups), []
    each = iter(found)
    targets = [[next(each) for _ in group.paths] for group in groups]
    more = f" and {len(without) - MOST_NAMED} more" if len(without) > MOST_NAMED else ""
    return targets, [
        f"no word {query.target!r} in the caption of {len(without)} of {len(paths)} images: their longest word is "
        f"explained ({', '.join(without[:MOST_NAMED])}{more})"
    ]


def image_lines(names, words, unreadable, notes=(), text=None):
    """Predictions for the user's images as lines for the console: image, what the model says, and notes."""
    width = max(len(printable(Path(name).name)) for name in names)
    about = f" and the text {printable(text)!r}" if text else ""
    rows = [
        f"  {printable(Path(name).name):<{width}}  {printable(what)}" for name, what in zip(names, words, strict=True)
    ]
    problems = [f"  not readable, left out: {printable(message)}" for message in unreadable]
    return [f"{len(names)} images{about}", *rows, *problems, *(f"  {printable(note)}" for note in notes)]
