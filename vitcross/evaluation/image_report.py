"""Reports what the model predicts for the user's images and where it looks: predictions at once, then maps, then the
check of the maps, which takes most of the time.

Each part is printed and written before the next one begins.
"""

import dataclasses
from pathlib import Path

import numpy as np

from vitcross import atomic_files
from vitcross.attention_maps.records.label_part import ProbeLabels
from vitcross.data.problems import UnreadableImage
from vitcross.data.sources.image_rules import as_text
from vitcross.evaluation import image_group
from vitcross.evaluation.file_names import short_names
from vitcross.evaluation.image_group import Group
from vitcross.evaluation.image_maps import ImageMaps
from vitcross.evaluation.progress import Progress, keeping
from vitcross.evaluation.split_report import trust_lines
from vitcross.metric_keys import METHODS
from vitcross.pages.csv_text import csv_text
from vitcross.terminal import printable, say

MOST_NAMED = 10  # images that one note names


def report_images(task, paths, query, *, preprocess, make_folder, sink, step, exact=False, title="", style=None):
    """Print and write the predictions for the user's images, then the maps of every image, then the check of the maps.
    The first sheets of maps go to the sink too.

    Args:
        paths: list of different paths.
        query: `vitcross.tasks.image_query.ImageQuery`.
        preprocess: callable, path -> (H, W, C) float32 in [-1, 1]; it raises UnreadableImage.
        make_folder: callable without arguments that makes the folder of the results and returns its path; it is called
            once there is a prediction.
        exact: bool, as of `ImageMaps.check`.
        title: str, heading of the pages.

    Returns:
        path of the page.

    Raises:
        ValueError: where no image could be read, or none has the requested target; the predictions are
            written before.
        KeyboardInterrupt: Ctrl-C, with a note of what is kept.
    """
    groups, unreadable = _answer(task, paths, query, preprocess)
    if not groups:
        raise ValueError(f"none of the {len(paths)} images could be read, the first: {unreadable[0]}")
    folder = Path(make_folder())
    predictions = folder / "predictions.csv"
    _write_predictions(predictions, groups)
    say(*image_lines(groups, unreadable, query.text), f"predictions  {predictions}")
    say(*(f"  {note}" for note in _choose_targets(task.network, groups, query)))
    labels = ProbeLabels(threshold=lambda: task.threshold) if task.network.multilabel else None
    options = {"folder": folder, "step": step, "title": title, "labels": labels, "style": style}
    maps = ImageMaps(task.network, groups, query, preprocess=preprocess, **options)
    with keeping(f"The predictions are kept: {predictions}"):
        maps.write()
    say(f"maps         {maps.page}")
    with keeping(f"Predictions and maps are kept; maps that were not checked say so: {maps.page}"):
        maps.check(sink, exact=exact)
    _write_predictions(predictions, groups)
    for group in groups:
        # Of many images the numbers of each are on the page and in the table.
        say(*([str(group.viewer.parent), *trust_lines(group.report)] if len(groups) > 1 else check_lines(group)))
    return maps.page


def _answer(task, paths, query, preprocess):
    """What is predicted for all readable images, as groups, and messages of the others."""
    groups, unreadable, first, size = [], [], 0, image_group.PER_SHEET
    with Progress("predicting") as progress:
        for start in range(0, len(paths), size):
            readable = _read(paths[start : start + size], preprocess, unreadable)
            if readable:
                choices = groups[0].answer.choices if groups else None
                found = task.answer_images(np.stack(list(readable.values())), query, first=first, choices=choices)
                batch = {key: array for key, array in found.batch.items() if key != "images"}
                answer = dataclasses.replace(found, batch=batch)
                groups.append(Group(start=start, paths=list(readable), answer=answer))
                first += len(readable)
            progress(min(1, (start + size) / len(paths)))
    names = iter(short_names([as_text(path) for group in groups for path in group.paths]))
    for group in groups:
        group.names = [next(names) for _ in group.paths]
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


def _write_predictions(path, groups):
    """A line for each image: its prediction, and the gaps of its maps once all were checked."""
    columns, checked = ["example", *groups[0].answer.columns], all(group.report for group in groups)
    rows = [
        [name, *line, *(probes[method].gap if method in probes else "" for method in METHODS if checked)]
        for group in groups
        for name, line, probes in zip(group.names, group.answer.lines, group.probes(), strict=True)
    ]
    columns += [f"gap_{method}" for method in METHODS if checked]
    atomic_files.write_text(path, csv_text(columns, rows))


def _choose_targets(network, groups, query):
    """Gives every group what its maps explain; returns notes, since not every caption has the requested word."""
    for group in groups:
        group.target = query.target
    if query.target is None or network.words is None:
        return []
    names = [name for group in groups for name in group.names]
    found = network.possible_targets(query.target, [text for group in groups for text in group.texts(query)])
    without = [name for name, here in zip(names, found, strict=True) if here is None]
    if not without:
        return []
    each = iter(found)
    for group in groups:
        group.target = [next(each) for _ in group.paths]
    return [
        f"no word {query.target!r} in the caption of {len(without)} of {len(names)} images: their longest word is "
        f"explained ({_first_of(without)})"
    ]


def image_lines(groups, unreadable, text=None):
    """Predictions for the user's images as lines for the console, then the images that could not be read."""
    names = [printable(name) for group in groups for name in group.names]
    words = [printable(said) for group in groups for said in group.answer.words]
    width = max(map(len, names))
    about = f" and the text {printable(text)!r}" if text else ""
    rows = [f"  {name:<{width}}  {said}" for name, said in zip(names, words, strict=True)]
    problems = [f"  not readable, left out: {message}" for message in unreadable[:MOST_NAMED]]
    if len(unreadable) > MOST_NAMED:
        problems.append(f"  and {len(unreadable) - MOST_NAMED} more")
    lost = f", {len(unreadable)} not readable" if unreadable else ""
    return [f"{len(names)} image{'s' if len(names) > 1 else ''}{about}{lost}", *rows, *problems]


def check_lines(group):
    """What was measured of the maps of a group as lines for the console: verdicts, and the gaps of every image."""
    titles = [METHODS[method].lower() for method in group.report.probes]
    names = [printable(name) for name in group.names]
    width = max(map(len, [*names, head := "gap of each image"]))
    lines = [f"  {head:<{width}}  {'  '.join(titles)}"]
    for name, probes in zip(names, group.probes(), strict=True):
        known = any(probe.explainable for probe in probes.values())
        gaps = [f"{probe.gap:>+{len(title)}.2f}" for title, probe in zip(titles, probes.values(), strict=True)]
        lines.append(f"  {name:<{width}}  {'  '.join(gaps) if known else 'nothing to explain'}")
    return [*trust_lines(group.report), *lines]


def _first_of(names):
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"
