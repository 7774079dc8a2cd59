"""Reduces a capture to what the viewer keeps: read-out rows and words without weights, at most a few hundred KB.

Shape legend: B batch, T image tokens, P patches.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps.methods.rollout import methods_of
from vitcross.attention_maps.methods.statistics import artifact_patches
from vitcross.attention_maps.records.record import prediction
from vitcross.attention_maps.viewer.rows import Rows
from vitcross.attention_maps.viewer.tables import read_out_rows, word_shares

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CompactCapture:
    """A capture without its weights.

    Fields:
        step: int, optimizer steps taken.
        example_index: tuple of B ints.
        rows: for every example name -> Rows (`tables.read_out_rows`).
        facts: for every example a JSON-ready dict: prediction, target, outlined patches, shares of words.
        trust: JSON-ready dict of the TrustReport, or None.
    """

    step: int
    example_index: tuple[int, ...]
    rows: tuple[dict[str, Rows], ...]
    facts: tuple[dict, ...]
    trust: dict | None
    packed: dict[int, list] = dataclasses.field(default_factory=dict)  # tier -> blocks, deflated once


def compact(record: AttentionRecord) -> CompactCapture:
    """The compact form of a capture."""
    artifacts = artifact_patches(record.token_norms, record.token_layout)
    shares = {} if record.text is None else word_shares(record)
    facts = tuple(
        {
            "prediction": list(prediction(record, b)),
            "target": record.targets[b] if record.targets else "",
            "artifacts": np.flatnonzero(artifacts[b]).tolist(),
            "shares": {name: table[b] for name, table in shares.items()},
            **({} if record.label_part is None else {"labels": _labels(record, b)}),
        }
        for b in range(len(record.images))
    )
    return CompactCapture(
        step=int(record.step),
        example_index=tuple(int(i) for i in record.example_index),
        rows=tuple(read_out_rows(record)),
        facts=facts,
        trust=record.trust and plain(record.trust.to_json()),
    )


def _labels(record: AttentionRecord, b: int) -> list[list]:
    """[name, probability, whether it is there or None, whether it is predicted] of each label that has a map."""
    part, row = record.label_part, record.probabilities[b]
    return [
        [
            record.class_name(k),
            plain(float(row[k])),
            None if part.present is None else bool(part.present[b, k]),
            bool(row[k] >= part.threshold),
        ]
        for k in part.labels_shown(b)
    ]


def describe(record: AttentionRecord) -> dict:
    """The properties that all captures of a run share, JSON-ready: grid, layers, heads, text tower."""
    layout = record.token_layout
    layers = [
        {"key": f"layer/{i}", "name": f"layer {i}", "heads": int(w.shape[1])}
        for i, w in enumerate(record.self_attention.values())
    ]
    if record.pooling == "map":
        layers.append({"key": "pool", "name": "attention pooling", "heads": int(record.pooling_weights.shape[1])})
    return {
        "grid": [layout.grid_height, layout.grid_width],
        "prefix": layout.num_prefix_tokens,
        "size": [int(side) for side in record.images.shape[1:3]],
        "patch": [int(side) for side in record.patch_size],
        "pooling": record.pooling,
        "text": record.text and {"predicts_next": bool(record.text.predicts_next)},
        "layers": layers,
        "cross": [
            {"key": f"cross/{i}", "name": f"cross-attention layer {i}", "heads": int(w.shape[1])}
            for i, w in enumerate(record.cross_attention.values())
        ],
        # Composed through both towers, unlike maps from the weights of the image tower.
        "composed": [m for m in ("raw", "rollout") if m in record.maps],
        "methods": list(methods_of(record)),
        "multilabel": record.label_part is not None,
    }


def example_facts(record: AttentionRecord, b: int) -> dict:
    """The properties of an example that are equal in all captures, JSON-ready, without its image."""
    facts = {
        "index": int(record.example_index[b]),
        "name": record.image_names[b] if record.image_names else "",
        "box": None if record.boxes is None else plain(record.boxes[b].tolist()),
        "mark": None if record.mark_boxes is None else plain(record.mark_boxes[b].tolist()),
    }
    if record.label_part is not None and record.label_part.boxes:
        boxes = record.label_part.boxes[b]
        facts["label_boxes"] = {record.class_name(k): plain(each.tolist()) for k, each in boxes.items()}
    if record.text is not None:
        text = record.text.texts[b]
        facts["text"] = text.text
        facts["words"] = [
            [word.text, int(word.start), int(word.end), None if boxes is None else plain(boxes.tolist())]
            for word, boxes in zip(text.words, text.word_boxes, strict=True)
        ]
    return facts


def plain(value):
    """JSON-ready: floats with five significant digits, None for what is not finite."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value
