"""Evaluates a split: metrics, predictions, and maps of some of its examples.

Results go to files and to a sink; the text for the console is returned.
"""

from pathlib import Path

import numpy as np

from vitcross import atomic_files, metric_keys
from vitcross.attention_maps.capture.capture import Capture
from vitcross.attention_maps.records.probe_text import texts_of
from vitcross.attention_maps.sheets.head_sheet import head_sheet
from vitcross.attention_maps.sheets.media import AttentionMedia, file_name
from vitcross.attention_maps.sheets.sheets import Style, sheets
from vitcross.attention_maps.sheets.trust_sheet import trust_sheet
from vitcross.attention_maps.trust.checks import MapEvaluation
from vitcross.attention_maps.trust.choice import choose_examples, evaluator_of
from vitcross.attention_maps.viewer import Viewer
from vitcross.evaluation.files import write_evaluation
from vitcross.pages.json_text import to_json
from vitcross.sinks.console import table
from vitcross.tasks.evaluation import predict_all

RECORD_MEGABYTES = 64  # of weights in one record.npz, before compression


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
    style=None,
    seed=0,
):
    """Measure one split: metrics, confusion matrix, predictions and attention maps into `folder`.

    Args:
        num_trust: int, on how many examples it is measured whether the maps can be trusted, of this split and, where it
            is small, of training (`choose_examples`); 0: not at all.
        templates: sequence of str, sentences for zero-shot classification where a contrastive model's data has classes.
        seed: int, of the run; the untrained model that maps are compared with has another one.

    Returns:
        `(report, evaluation)`: dict of the task (`task.report`), and `TrustEvaluation` or None.
    """
    folder = Path(folder)
    try:
        rows = predict_all(task, data.evaluation_batches(split, batch_size=batch_size, limit=limit))
    except Exception as error:
        raise data.unreadable.root_cause(error) from None
    references, source = data.references(split), data.source(split)
    report = task.report(rows, data.class_names, references) | {"unreadable_images": len(data.unreadable)}
    if hasattr(task, "zero_shot") and templates and data.num_classes:
        report |= task.zero_shot(rows, data.tokenizer, data.class_names, templates)
    columns, lines = task.predictions(rows, data.class_names, references)
    names = [source.example_name(int(index)) for index in rows["index"]]
    lines = [[name, *line] for name, line in zip(names, lines, strict=True)]
    figures = write_evaluation(folder, report=report, predictions=(["example", *columns], lines))
    probes = spread(rows["index"], num_probes)
    # A split that only `limit` makes small is not filled up.
    num_training = len(data.train) if limit is None else 0
    others = spread(np.setdiff1d(rows["index"], probes), num_trust)
    measured = choose_examples(split, others, probes, num_training, num_trust, seed)
    images, found = write_maps(
        task.network,
        data.examples(split, probes),
        folder=folder / "attention",
        step=step,
        class_names=data.class_names,
        style=style,
        checks=evaluator_of(task.network, data, measured, portion=len(probes), seed=seed),
        **texts_of(task, data, split, probes),
    )
    if found.evaluation is not None:
        atomic_files.write_text(folder / "trust.json", to_json(found.evaluation.to_json(), indent=1) + "\n")
    images.sheets.update(figures)
    numbers = {key: value for key, value in report.items() if isinstance(value, (int, float))} | found.scalars
    sink.scalars(step, {metric_keys.evaluation(split, key): value for key, value in numbers.items()})
    sink.media(step, images)
    return report, found.evaluation


def spread(indices, count):
    """`count` of the indices, evenly spread; all where there are no more."""
    return indices[np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int)]


def write_maps(
    network,
    batch,
    *,
    folder,
    step,
    class_names,
    style=None,
    texts=None,
    describe_predictions=None,
    labels=None,
    target=None,
    checks=None,
    capture=None,
):
    """Capture and explain a batch; write its sheets, its record and its viewer into a folder.

    Args:
        texts, describe_predictions, labels, target: as of calling `vitcross.attention_maps.capture.capture.Capture`.
        checks: callable as `MapEvaluator`, what is measured of the maps, or None.
        capture: `Capture` of the network made with `explain=True`, which compiles once for several batches; None: a
            new one.

    Returns:
        `(AttentionMedia, MapEvaluation)`.
    """
    capture, folder, style = capture or Capture(network, explain=True), Path(folder), style or Style()
    options = {"texts": texts, "describe_predictions": describe_predictions, "labels": labels, "target": target}
    record = capture(batch, step=step, class_names=class_names, **options)
    found = MapEvaluation(record=record, scalars={})
    if checks is not None:
        found = checks(record, batch, capture, step=step, trust=True, exact=True)
    images = sheets(found.record, style, found.note)
    if found.evaluation is not None:
        images[metric_keys.TRUST_SHEET] = trust_sheet(found.evaluation)
        images[metric_keys.TRUST_BLURRED] = trust_sheet(found.evaluation, blurred=True)
        images[metric_keys.HEAD_IMPORTANCE] = head_sheet(found.evaluation.heads, style.color_map)
    for key, sheet in images.items():
        atomic_files.write_bytes(folder / file_name(key), sheet.png)
    found.record.within(RECORD_MEGABYTES).save(folder / "record.npz")
    viewer = Viewer(title=str(folder), color_map=style.color_map)
    viewer.add(found.record)
    page = viewer.html()
    atomic_files.write_text(folder / "viewer.html", page)
    return AttentionMedia(record=found.record, sheets=images, viewer=page, color_map=style.color_map), found


def split_lines(report, split, evaluation=None):
    """The report of a split as lines for the console, and what was measured of its maps (`TrustEvaluation`)."""
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
    return [f"{split} split", *table(rows), *(trust_lines(evaluation.report) if evaluation else ())]


def trust_lines(report):
    """Whether the maps can be trusted, as lines for the console."""
    keys = (
        *(metric_keys.trust("raw", part) for part in ("gap", "gap_share")),
        metric_keys.grounding("raw", "pointing"),
    )
    gap, share_of, pointing = (metric_keys.lookup(key).title.lower() for key in keys)
    lines = [f"maps, measured on {report.source}; {report.explainable} have something to explain"]
    for method, row in report.fidelity.items():
        share = "" if row.gap_share is None else f", {share_of} {row.gap_share:.0%}"
        known = report.grounding.get(method)
        where = f"; {pointing} {known['pointing']:.0%} (chance {known['chance']:.0%})" if known else ""
        lines.append(f"  {metric_keys.METHODS[method]:<14}  {row.full_words}: {gap} {row.gap_words(3)}{share}{where}")
    return lines
