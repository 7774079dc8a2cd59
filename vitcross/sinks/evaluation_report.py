"""What `evaluate.py` does with a split: metrics, predictions, and maps of some of its examples.

Results go to files and to a sink; what is shown on the console is returned as text.
"""

from pathlib import Path

import numpy as np

from vitcross import atomic_files
from vitcross.attention_maps.capture import capture
from vitcross.attention_maps.media import AttentionMedia, file_name
from vitcross.attention_maps.probe_text import texts_of
from vitcross.attention_maps.sheets import sheets
from vitcross.evaluation import predict_all
from vitcross.sinks.console_text import table
from vitcross.sinks.evaluation_files import write_evaluation

RECORD_MEGABYTES = 64  # of weights in one record.npz, before compression


def report_split(
    task, data, *, split, folder, sink, step, batch_size, limit=None, num_probes=8, templates=(), style=None
):
    """Measure one split: metrics, confusion matrix, predictions and attention maps into `folder`.

    Args:
        templates: sequence of str, sentences for zero-shot classification where a contrastive model's data has classes.

    Returns:
        dict, the report of the task (`task.report`).
    """
    folder = Path(folder)
    try:
        rows = predict_all(task, data.evaluation_batches(split, batch_size=batch_size, limit=limit))
    except Exception as error:
        raise data.unreadable.behind(error) from None
    references, source = data.references(split), data.source(split)
    report = task.report(rows, data.class_names, references) | {"unreadable_pictures": len(data.unreadable)}
    if hasattr(task, "zero_shot") and templates and data.num_classes:
        report |= task.zero_shot(rows, data.tokenizer, data.class_names, templates)
    columns, lines = task.predictions(rows, data.class_names, references)
    names = [source.example_name(int(index)) for index in rows["index"]]
    lines = [[name, *line] for name, line in zip(names, lines, strict=True)]
    confusion = write_evaluation(folder, report=report, predictions=(["example", *columns], lines))
    probes = rows["index"][np.linspace(0, len(names) - 1, min(num_probes, len(names))).round().astype(int)]
    pictures = write_maps(
        task.network,
        data.examples(split, probes),
        folder=folder / "attention",
        step=step,
        class_names=data.class_names,
        style=style,
        **texts_of(task, data, split, probes),
    )
    if confusion is not None:
        pictures.sheets["evaluation/confusion_matrix"] = confusion
    scalars = {f"evaluation/{split}/{key}": value for key, value in report.items() if isinstance(value, (int, float))}
    sink.scalars(step, scalars)
    sink.media(step, pictures)
    return report


def write_maps(network, batch, *, folder, step, class_names, style=None, texts=None, says=None):
    """Capture a batch and write its sheets and its record into a folder. Returns the `AttentionMedia`.

    Args:
        texts, says: of an image-text model (`vitcross.attention_maps.capture.Capture`).
    """
    record = capture(network, batch, step=step, class_names=class_names, texts=texts, says=says)
    media = AttentionMedia(record=record, sheets=sheets(record, style))
    for key, sheet in media.sheets.items():
        atomic_files.write_bytes(Path(folder) / file_name(key), sheet.png)
    record.within(RECORD_MEGABYTES).save(Path(folder) / "record.npz")
    return media


def split_lines(report, split):
    """The report of a split as lines for the console."""
    hidden = ("examples", "unreadable_pictures", "accuracy_per_class", "confusion_matrix", "class_names")
    rows = {
        "examples": report["examples"],
        "unreadable pictures": report["unreadable_pictures"] or None,
        **{key: value for key, value in report.items() if key not in hidden and isinstance(value, (int, float))},
        **{
            f"accuracy of {name}": value
            for name, value in report.get("accuracy_per_class", {}).items()
            if value is not None
        },
    }
    return [f"{split} split", *table(rows)]
