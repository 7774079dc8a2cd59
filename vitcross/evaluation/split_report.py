"""Evaluates a split: metrics and predictions first, then maps of some examples, then the check of the maps, which takes
most of the time.

Each part is printed and written before the next one begins; numbers and maps go to a sink too.
"""

import dataclasses
from pathlib import Path

import numpy as np

from vitcross import atomic_files, metric_keys
from vitcross.attention_maps.capture.capture import Capture
from vitcross.attention_maps.records.probe_text import texts_of
from vitcross.attention_maps.trust.checks import MapEvaluation
from vitcross.attention_maps.trust.choice import choose_examples, evaluator_of
from vitcross.evaluation.file_names import short_names
from vitcross.evaluation.files import write_evaluation
from vitcross.evaluation.map_files import COARSE_STEPS, VIEWER, write_maps
from vitcross.evaluation.progress import Progress, keeping
from vitcross.pages.json_text import to_json
from vitcross.sinks.console import table
from vitcross.tasks.contrastive import Contrastive
from vitcross.tasks.evaluation import predict_all
from vitcross.terminal import say


def report_split(
    task,
    data,
    *,
    split,
    folder,
    sink,
    step,
    batch_size,
    limit=None,
    num_probes=8,
    num_trust=0,
    templates=(),
    exact=True,
    title="",
    style=None,
    seed=0,
):
    """Measure one split: metrics, confusion matrix, predictions and attention maps into `folder`.

    Args:
        num_trust: int, on how many examples it is measured whether the maps can be trusted, of this split and, where it
            is small, of training (`choose_examples`); 0: not at all.
        templates: sequence of str, sentences for zero-shot classification where a contrastive model's data has classes.
        exact: bool, the check of the maps has a step for every patch; else `COARSE_STEPS`.
        title: str, heading of the viewer.
        seed: int, of the run; the untrained model that maps are compared with has another one.

    Returns:
        path of the page, the viewer.

    Raises:
        KeyboardInterrupt: Ctrl-C, with a note of what is kept.
    """
    folder = Path(folder)
    indices, report, figures = _measure(task, data, split, folder, batch_size, limit, templates)
    say(*split_lines(report, split))
    probes = spread(indices, num_probes)
    # A split that only `limit` makes small is not filled up with training examples.
    num_training, others = len(data.train) if limit is None else 0, spread(np.setdiff1d(indices, probes), num_trust)
    measured = choose_examples(split, others, probes, num_training, num_trust, seed)
    maps, look = folder / "attention", {"title": title, "style": style}
    with keeping(f"Metrics and predictions are kept: {folder}"):
        capture = Capture(task.network, explain=True)
        found, batch = _capture(capture, task, data, split, probes, step)
        media = write_maps(found, maps, **look)
    say(f"maps  {maps / VIEWER}")
    with keeping(f"Metrics, predictions and maps are kept; the page says that they were not checked: {maps / VIEWER}"):
        if measured:
            options = {"portion": len(probes), "seed": seed, "num_steps": None if exact else COARSE_STEPS}
            with Progress("checking the maps") as progress:
                checks = evaluator_of(task.network, data, measured, progress=progress, **options)
                found = checks(found.record, batch, capture, step=step, trust=True, exact=True)
            media = write_maps(found, maps, **look)
            atomic_files.write_text(folder / "trust.json", to_json(found.evaluation.to_json(), indent=1) + "\n")
            say(*trust_lines(found.evaluation.report))
    media.sheets.update(figures)
    numbers = {key: value for key, value in report.items() if isinstance(value, (int, float))} | found.scalars
    sink.scalars(step, {metric_keys.evaluation(split, key): value for key, value in numbers.items()})
    sink.media(step, media)
    return maps / VIEWER


def _measure(task, data, split, folder, batch_size, limit, templates):
    """`(indices, report, figures)`: the readable examples, the dict of `task.report`, and the sheets of
    `write_evaluation`; metrics and predictions are written."""
    source, references = data.source(split), data.references(split)
    batches = data.evaluation_batches(split, batch_size=batch_size, limit=limit)
    count = -(-min(limit or len(source), len(source)) // batch_size)
    try:
        with Progress(f"measuring the {split} split") as progress:
            rows = predict_all(task, progress.over(batches, count))
    except Exception as error:
        raise data.unreadable.root_cause(error) from None
    report = task.report(rows, data.class_names, references) | {"unreadable_images": len(data.unreadable)}
    if isinstance(task, Contrastive) and data.num_classes:
        report |= task.zero_shot(rows, data.tokenizer, data.class_names, templates)
    columns, lines = task.predictions(rows, data.class_names, references)
    names = short_names([source.example_name(int(index)) for index in rows["index"]])
    lines = [[name, *line] for name, line in zip(names, lines, strict=True)]
    return rows["index"], report, write_evaluation(folder, report=report, predictions=(["example", *columns], lines))


def spread(indices, count):
    """`count` of the indices, evenly spread; all where there are no more."""
    return indices[np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int)]


def _capture(capture, task, data, split, probes, step):
    """`(MapEvaluation, batch)` of the examples that are shown, not checked yet."""
    batch, source = data.examples(split, probes), data.source(split)
    record = capture(batch, step=step, class_names=data.class_names, **texts_of(task, data, split, probes))
    names = short_names([source.example_name(int(index)) for index in record.example_index])
    return MapEvaluation(record=dataclasses.replace(record, image_names=tuple(names)), scalars={}), batch


def split_lines(report, split):
    """The report of a split as lines for the console."""
    hidden = ("examples", "unreadable_images", "accuracy_per_class", "confusion_matrix", "class_names")
    rows = {
        "examples": report["examples"],
        "unreadable images": report["unreadable_images"] or None,
        **{key: value for key, value in report.items() if key not in hidden and isinstance(value, (int, float))},
        **{
            f"accuracy of {name}": value
            for name, value in report.get("accuracy_per_class", {}).items()
            if value is not None
        },
        **{
            f"average precision of {name}": "undefined: no image has it" if value is None else value
            for name, value in report.get("average_precision_per_label", {}).items()
        },
    }
    return [f"{split} split", *table(rows)]


def trust_lines(report):
    """Whether the maps can be trusted, as lines for the console."""
    keys = (
        *(metric_keys.trust("raw", part) for part in ("gap", "gap_share")),
        metric_keys.grounding("raw", "pointing"),
    )
    gap, share_of, pointing = (metric_keys.lookup(key).title.lower() for key in keys)
    have = "has" if report.explainable == 1 else "have"
    lines = [f"maps, measured on {report.source}; {report.explainable} {have} something to explain"]
    for method, row in report.fidelity.items():
        share = "" if row.gap_share is None else f", {share_of} {row.gap_share:.0%}"
        known = report.grounding.get(method)
        where = f"; {pointing} {known['pointing']:.0%} (chance {known['chance']:.0%})" if known else ""
        lines.append(f"  {metric_keys.METHODS[method]:<14}  {row.full_words}: {gap} {row.gap_words(3)}{share}{where}")
    return lines
