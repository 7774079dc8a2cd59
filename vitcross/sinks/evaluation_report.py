"""What `evaluate.py` does with a trained task: measure a split, or say what it sees in own pictures.

Results go to files and to a sink; what is shown on the console is returned as text.
"""

from pathlib import Path

import numpy as np

from vitcross import atomic_files
from vitcross.attention_maps.capture import capture
from vitcross.attention_maps.media import AttentionMedia, file_name
from vitcross.attention_maps.sheets import sheets
from vitcross.data.unreadable import UnreadableImage
from vitcross.evaluation import predict_all
from vitcross.sinks.console_text import printable, table
from vitcross.sinks.evaluation_files import predictions_csv, write_evaluation

RECORD_MEGABYTES = 64  # of weights in one record.npz, before compression
PER_SHEET = 16  # pictures on one sheet of maps
MOST_UPLOADED = 20  # sheets of own pictures that go to a sink; all are in the folder


def report_split(task, data, *, split, folder, sink, step, batch_size, limit=None, num_probes=8, style=None):
    """Measure one split: metrics, confusion matrix, predictions and attention maps into `folder`.

    Returns:
        dict, the report of the task (`task.report`).
    """
    folder = Path(folder)
    try:
        rows = predict_all(task, data.evaluation_batches(split, batch_size=batch_size, limit=limit))
    except Exception as error:
        raise data.unreadable.behind(error) from None
    report = task.report(rows, data.class_names) | {"unreadable_pictures": len(data.unreadable)}
    source = data.source(split)
    names = [source.example_name(int(index)) for index in rows["index"]]
    confusion = write_evaluation(folder, report=report, rows=rows, names=names)
    probes = rows["index"][np.linspace(0, len(names) - 1, min(num_probes, len(names))).round().astype(int)]
    batch = data.examples(split, probes)
    pictures = write_maps(
        task.network, batch, folder=folder / "attention", step=step, class_names=data.class_names, style=style
    )
    if confusion is not None:
        pictures.sheets["evaluation/confusion_matrix"] = confusion
    scalars = {f"evaluation/{split}/{key}": value for key, value in report.items() if isinstance(value, (int, float))}
    sink.scalars(step, scalars)
    sink.media(step, pictures)
    return report


def write_maps(network, batch, *, folder, step, class_names, style=None):
    """Capture a batch and write its sheets and its record into a folder. Returns the `AttentionMedia`."""
    record = capture(network, batch, step=step, class_names=class_names)
    media = AttentionMedia(record=record, sheets=sheets(record, style))
    for key, sheet in media.sheets.items():
        atomic_files.write_bytes(Path(folder) / file_name(key), sheet.png)
    record.within(RECORD_MEGABYTES).save(Path(folder) / "record.npz")
    return media


def report_pictures(task, paths, *, preprocess, class_names, folder, sink, step, style=None):
    """Say what the task sees in own pictures, and where it looks: `predictions.csv`, and maps of every picture, a sheet
    for each `PER_SHEET` of them. The first sheets go to the sink too.

    Returns:
        `(lines, unreadable)`: per readable picture (path, prediction, probability, second, its probability); per
        unreadable one its message.

    Raises:
        ValueError: where no picture could be read.
    """
    folder, names, probabilities, unreadable = Path(folder), [], [], []
    for start in range(0, len(paths), PER_SHEET):
        readable = _read(paths[start : start + PER_SHEET], preprocess, unreadable)
        if not readable:
            continue
        images = np.stack(list(readable.values()))
        batch = {"images": images, "index": np.arange(len(names), len(names) + len(images))}
        where = folder / "attention" / f"pictures_{start + 1:05d}"
        media = write_maps(task.network, batch, folder=where, step=step, class_names=class_names, style=style)
        if start < PER_SHEET * MOST_UPLOADED:
            sink.media(step, media)
        names += readable
        probabilities.append(task.probabilities(images))
    if not names:
        raise ValueError(f"none of the {len(paths)} pictures could be read, the first: {unreadable[0]}")
    rows = {"probabilities": np.concatenate(probabilities)}
    atomic_files.write_text(folder / "predictions.csv", predictions_csv(rows, names, class_names))
    lines = []
    for name, row in zip(names, rows["probabilities"], strict=True):
        first, second = np.argsort(-row)[:2]
        lines.append((name, class_names[first], float(row[first]), class_names[second], float(row[second])))
    return lines, unreadable


def _read(paths, preprocess, unreadable):
    """Readable pictures by path; messages of the others are appended to `unreadable`."""
    readable = {}
    for path in paths:
        try:
            readable[str(path)] = preprocess(path)
        except UnreadableImage as error:
            unreadable.append(str(error))
    return readable


def split_lines(report, split):
    """The report of a split as lines for the console."""
    rows = {
        "pictures": report["examples"],
        "unreadable pictures": report["unreadable_pictures"] or None,
        **{
            key: report[key]
            for key in ("loss", "accuracy", "top5_accuracy", "expected_calibration_error")
            if key in report
        },
        **{key: value for key, value in report.items() if key.startswith("accuracy/")},
        **{f"accuracy of {name}": value for name, value in report["accuracy_per_class"].items() if value is not None},
    }
    return [f"{split} split", *table(rows)]


def picture_lines(lines, unreadable):
    """Predictions of own pictures as lines for the console: picture, prediction, second."""
    width = max(len(printable(Path(name).name)) for name, *_ in lines)
    rows = [
        f"  {printable(Path(name).name):<{width}}  {first} {share:.1%}  (then {second} {second_share:.1%})"
        for name, first, share, second, second_share in lines
    ]
    problems = [f"  not readable, left out: {printable(message)}" for message in unreadable]
    return [f"{len(lines)} pictures", *rows, *problems]
