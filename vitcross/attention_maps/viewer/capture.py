"""One capture as the viewer keeps it: read-out rows and words, without the weights. A few hundred KB at most.

Shape legend: B batch, T image tokens, P patches.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps.methods.rollout import methods_of
from vitcross.attention_maps.methods.statistics import artifact_patches
from vitcross.attention_maps.records.record import verdict
from vitcross.attention_maps.records.text_record import ImageTextRecord
from vitcross.attention_maps.viewer.rows import Rows
from vitcross.attention_maps.viewer.tables import image_of, read_out_rows, word_shares

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CompactCapture:
    """What stays of a capture when its weights are gone.

    Fields:
        step: int, optimizer steps taken.
        example_index: tuple of B ints.
        rows: for every example name -> Rows (`tables.read_out_rows`).
        facts: for every example a JSON-ready dict: what the model says, the target, outlined patches, shares of words.
        trust: JSON-ready dict of the TrustReport, or None.
    """

    step: int
    example_index: tuple[int, ...]
    rows: tuple[dict[str, Rows], ...]
    facts: tuple[dict, ...]
    trust: dict | None
    packed: dict[int, list] = dataclasses.field(default_factory=dict)  # tier -> blocks, deflated once


def compact(record: AttentionRecord | ImageTextRecord) -> CompactCapture:
    """The compact form of a capture."""
    image = image_of(record)
    artifacts = artifact_patches(image.token_norms, image.token_layout)
    shares = word_shares(record) if isinstance(record, ImageTextRecord) else {}
    facts = tuple(
        {
            "says": list(verdict(record, b)),
            "target": image.targets[b] if image.targets else "",
            "artifacts": np.flatnonzero(artifacts[b]).tolist(),
            "shares": {name: table[b] for name, table in shares.items()},
        }
        for b in range(len(record.images))
    )
    return CompactCapture(
        step=int(record.step),
        example_index=tuple(int(i) for i in image.example_index),
        rows=tuple(read_out_rows(record)),
        facts=facts,
        trust=image.trust and plain(image.trust.to_json()),
    )


def describe(record: AttentionRecord | ImageTextRecord) -> dict:
    """What all captures of a run share, JSON-ready: grid, layers, heads, kind of model."""
    image = image_of(record)
    layout = image.token_layout
    layers = [
        {"key": f"layer/{i}", "name": f"layer {i}", "heads": int(w.shape[1])}
        for i, w in enumerate(image.self_attention.values())
    ]
    if image.pooling == "map":
        layers.append({"key": "pool", "name": "attention pooling", "heads": int(image.pooling_weights.shape[1])})
    cross = record.cross_attention if isinstance(record, ImageTextRecord) else {}
    return {
        "grid": [layout.grid_height, layout.grid_width],
        "prefix": layout.num_prefix_tokens,
        "size": [int(side) for side in image.images.shape[1:3]],
        "patch": [int(side) for side in image.patch_size],
        "pooling": image.pooling,
        "kind": kind_of(record),
        "layers": layers,
        "cross": [
            {"key": f"cross/{i}", "name": f"cross-attention layer {i}", "heads": int(w.shape[1])}
            for i, w in enumerate(cross.values())
        ],
        # Composed through both towers, they are more than what the image tower's weights alone say.
        "composed": [m for m in ("raw", "rollout") if m in image.maps],
        "methods": list(methods_of(image)),
    }


def kind_of(record: AttentionRecord | ImageTextRecord) -> str:
    """`"classifier"`, `"captioner"`, `"questions"` or `"dual"`."""
    if not isinstance(record, ImageTextRecord):
        return "classifier"
    if not record.cross_attention:
        return "dual"
    return "captioner" if record.predicts_next else "questions"


def example_facts(record: AttentionRecord | ImageTextRecord, b: int) -> dict:
    """What stays the same of an example in all captures, JSON-ready, without its image."""
    image = image_of(record)
    facts = {
        "index": int(image.example_index[b]),
        "box": None if image.boxes is None else plain(image.boxes[b].tolist()),
        "mark": None if image.mark_boxes is None else plain(image.mark_boxes[b].tolist()),
    }
    if isinstance(record, ImageTextRecord):
        text = record.texts[b]
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
