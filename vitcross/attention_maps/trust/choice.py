"""Chooses the examples that maps are measured on: of the split that is shown, and of training where it is too small."""

from __future__ import annotations

import numpy as np

from vitcross.attention_maps.records.label_part import ProbeLabels, labels_of
from vitcross.attention_maps.records.probe_text import probe_texts
from vitcross.attention_maps.trust.checks import MapEvaluator

# Examples that are measured at least, where so many are wanted and exist: a verdict needs 8 with something to explain.
ENOUGH = 32


def choose_examples(split: str, others, shown, num_training: int, wanted: int, seed: int = 0) -> dict[str, np.ndarray]:
    """split -> positions in it of the examples to measure, ascending; empty where none are wanted.

    They are examples that captures do not show. Where there are fewer than `ENOUGH` of those, shown ones are measured
    too, and where that is not enough, training examples.

    Args:
        split: str, the one of `others` and `shown`.
        others: (n,) int, positions of the examples that are not shown, the most wanted first.
        shown: (m,) int, positions of those that are.
        num_training: int, size of the training split; 0: none of it may be used.
        wanted: int, how many to measure at most.
        seed: int, of the choice among training examples.
    """
    enough = min(wanted, ENOUGH)
    others = np.asarray(others, np.int64)[:wanted]
    found = np.concatenate([others, np.asarray(shown, np.int64)[: max(0, enough - len(others))]])
    chosen = {split: np.sort(found)}
    if len(found) < enough and split != "train":
        count = min(enough - len(found), num_training)
        chosen["train"] = np.sort(np.random.default_rng(seed).choice(num_training, count, replace=False))
    return {name: positions for name, positions in chosen.items() if len(positions)}


def evaluator_of(network, data, chosen: dict[str, np.ndarray], **options) -> MapEvaluator | None:
    """Measures maps on the chosen examples of some data; None without any.

    Args:
        network: built model.
        data: `vitcross.data.image_data.ImageData`.
        chosen: split -> positions in it.
        options: further arguments of `MapEvaluator`.
    """
    if not chosen:
        return None
    batches = [data.examples(split, positions) for split, positions in chosen.items()]
    has_texts = data.tokenizer is not None
    texts = [text for split, rows in chosen.items() for text in (probe_texts(data, split, rows) if has_texts else ())]
    return MapEvaluator(
        network,
        _joined(batches),
        texts=texts or None,
        labels=ProbeLabels.joined([labels_of(data, split, rows) for split, rows in chosen.items()]),
        splits=np.repeat(list(chosen), [len(positions) for positions in chosen.values()]),
        class_names=data.class_names,
        **options,
    )


def _joined(batches: list[dict]) -> dict[str, np.ndarray]:
    """One batch of several, with the keys of the first.

    A box that another split does not know has no area there; answers of annotators, which no map needs, are left out
    where splits have different numbers of them.
    """
    joined = {}
    for key, first in batches[0].items():
        arrays = [b.get(key, np.zeros((len(b["valid"]), *first.shape[1:]), first.dtype)) for b in batches]
        if len({array.shape[1:] for array in arrays}) == 1:
            joined[key] = np.concatenate(arrays)
    return joined
