"""Tells how large the splits of a data set are, how often a run passes over it, and where it is too small to measure.

K classes.
"""

import numpy as np

from vitcross.data.sources.source import Source

FEW = 30  # examples for validation, below which one of them moves a rate by more than 3 points
_MOST_READ = 60_000  # examples whose labels are read from their records; sources that know them have no limit


def data_rows(data, *, total_steps):
    """Name to text of what is said of data (`ImageData`) before training: dict of str."""
    rows = {split: split_text(data.source(split)) for split in data.splits}
    what = "pairs" if data.tokenizer is not None else "images"
    passes = total_steps * data.batch_size / data.options.augmentation.repeats / len(data.train)
    times = f"{passes:,.0f}" if passes >= 10 else f"{passes:.2g}"
    rows["length"] = f"{total_steps:,} steps of {data.batch_size} are {times} passes over {len(data.train):,} {what}"
    if (number := len(data.validation)) < FEW:
        rows["warning"] = (
            f"{number} {what} for validation are few: each is {100 / number:.1f} percentage points of accuracy, or of "
            "any other rate"
        )
    return rows


def split_text(source):
    """Images, texts, classes, smallest and largest class of a `Source`: str."""
    images = getattr(source, "images", source)
    text = f"{len(images):,} images"
    if images is not source:
        text = f"{len(source):,} texts of {text}"
    counts = _counts(source)
    if counts is None or not counts.any():
        return text
    held = np.flatnonzero(counts)
    least, most = held[counts[held].argmin()], held[counts[held].argmax()]
    of = "" if len(held) == len(counts) else f"{len(held):,} of "
    text += f", {of}{len(counts):,} {'labels' if source.multilabel else 'classes'}"
    if len(held) == 1:
        return f"{text}: {counts[least]:,} ({source.class_names[least]})"
    if counts[least] == counts[most]:
        return f"{text} of {counts[least]:,} each"
    return (
        f"{text}: from {counts[least]:,} ({source.class_names[least]}) to {counts[most]:,} ({source.class_names[most]})"
    )


def _counts(source):
    """(K,) examples of each class, or None where there are no classes or labels would have to be read for too long."""
    known = type(source).labels is not Source.labels
    if not source.class_names or not (known or len(source) <= _MOST_READ):
        return None
    labels = source.labels()
    if source.multilabel:
        return labels.sum(axis=0).astype(np.int64)
    return np.bincount(labels[labels >= 0], minlength=len(source.class_names))
