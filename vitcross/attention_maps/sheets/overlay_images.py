"""Prepares the plain images of a capture and what a dashboard draws over them: levels of every map, and boxes.

Shape legend: h w pixels.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vitcross.attention_maps.methods.rollout import methods_of, read_map
from vitcross.attention_maps.records.record import prediction
from vitcross.attention_maps.sheets import render
from vitcross.attention_maps.sheets.overlay_masks import LEVELS, level_mask
from vitcross.attention_maps.sheets.trust_table import reasons
from vitcross.png import encode_png

if TYPE_CHECKING:
    from vitcross.attention_maps.records.probe_text import ProbeText
    from vitcross.attention_maps.records.record import AttentionRecord

SMALLEST_SIDE = 256  # images are enlarged by the largest whole factor that keeps the longer side within it


class OverlayImage(NamedTuple):
    """One plain image as PNG bytes; its caption; method -> (h, w) uint8, the level of every pixel; layer -> boxes."""

    png: bytes
    caption: str
    masks: dict[str, np.ndarray]
    boxes: dict[str, list[tuple]]


class OverlayImages:
    """The images of one record, each made on access.

    All have one size and the same layers, so that one switch of a dashboard controls them all.

    Attributes:
        methods: names of the maps.
        levels: level -> its name; level 0 is not part of a mask.
        layers: layer -> for every image a list of boxes `(y_min, x_min, y_max, x_max, label)`, as shares of the image:
            the object that decides the label, or those of all labels (`truth`), a planted mark that gives it away
            (`mark`), and what the words of a text name (`words`).
    """

    levels = LEVELS

    def __init__(self, record: AttentionRecord):
        self._record, self.methods = record, methods_of(record)
        self.layers: dict[str, list[list[tuple]]] = {}
        if record.boxes is not None:
            self.layers["truth"] = [
                [(*map(float, box), _truth(record, i))] if box.any() else [] for i, box in enumerate(record.boxes)
            ]
        if record.mark_boxes is not None:
            self.layers["mark"] = [[(*map(float, box), "mark")] if box.any() else [] for box in record.mark_boxes]
        if record.label_part is not None and record.label_part.boxes:
            self.layers["truth"] = [
                [(*map(float, box), record.class_name(k)) for k, boxes in each.items() for box in boxes]
                for each in record.label_part.boxes
            ]
        if record.text is not None and record.text.words_have_boxes:
            self.layers["words"] = [_boxes_of_words(text) for text in record.text.texts]

    def __len__(self):
        return len(self._record.images)

    def __getitem__(self, example: int) -> OverlayImage:
        record = self._record
        height, width = record.images.shape[1:3]
        factor = max(1, SMALLEST_SIDE // max(height, width))
        size = (height * factor, width * factor)
        grids = {method: maps[example] for method, maps in self._maps.items()}
        return OverlayImage(
            png=encode_png(render.resize(render.to_rgb(record.images[example]), size)),
            caption=image_caption(record, example),
            masks={m: level_mask(grid, (height, width), record.patch_size, size) for m, grid in grids.items()},
            boxes={layer: boxes[example] for layer, boxes in self.layers.items()},
        )

    @functools.cached_property
    def _maps(self):
        return {method: self._record.token_layout.to_grid(read_map(self._record, method)) for method in self.methods}


def image_caption(record: AttentionRecord, example: int) -> str:
    """Number, prediction, ground truth, explained target, and trust: on this image and over all measured examples."""
    text, truth, _ = prediction(record, example)
    parts = [f"{example + 1}. {text}" + (f" ({truth})" if truth else "")]
    if record.targets:
        parts.append(f"explained: {record.targets[example]}")
    trust = record.trust
    if trust is not None:
        here = [f"{method} {rows[example].words}" for method, rows in trust.probes.items() if example < len(rows)]
        parts += [f"this image: {', '.join(here)}"] if here else []
        means = [f"{method} {row.words}" for method, row in trust.fidelity.items()]
        parts += [f"over {trust.source}: {', '.join(means)}"] if means else []
        parts += [sentence.removesuffix(".") for sentence in reasons(trust.fidelity, str)]
    return f"{'. '.join(parts)}. Step {record.step}."


def _truth(record: AttentionRecord, example: int) -> str:
    if record.labels is not None and record.labels[example] >= 0 and record.class_names:
        return record.class_name(int(record.labels[example]))
    return record.targets[example] if record.targets else "object"


def _boxes_of_words(text: ProbeText) -> list[tuple]:
    """One box for every distinct object, labeled with the words that name it."""
    words: dict[tuple, list[str]] = {}
    for word, boxes in zip(text.words, text.word_boxes, strict=True):
        for box in () if boxes is None else boxes:
            words.setdefault(tuple(map(float, box)), []).append(word.text)
    return [(*box, " ".join(names)) for box, names in words.items()]
