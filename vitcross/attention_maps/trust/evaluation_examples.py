"""Keeps what evaluating maps needs of each example: maps and masks, not weights, which take tens of megabytes each.

Shape legend: B examples, P patches, K boxes of one example; masks are grids (grid_height, grid_width).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps.methods.rollout import read_map
from vitcross.attention_maps.records.probe_text import NO_BOXES
from vitcross.attention_maps.trust.grounding import boxes_to_patches, mask_to_patches, mean_of_rows, measure
from vitcross.attention_maps.trust.word_grounding import word_measurements

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord
    from vitcross.layers.token_layout import TokenLayout


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """The maps and masks of some examples, or of a portion of them.

    Fields:
        maps: dict method -> (B, P).
        masks: list of B masks, the patches of what is explained; None where that is unknown or covers half of no patch.
        marks: likewise, of a planted mark.
        words: list of the results of `word_measurements`, one per portion; empty where no word has boxes.
        indices: (B,) int, positions of the examples in their split.
        layout: TokenLayout.
    """

    maps: dict[str, np.ndarray]
    masks: list[np.ndarray | None]
    marks: list[np.ndarray | None]
    words: list[dict]
    indices: np.ndarray
    layout: TokenLayout

    @classmethod
    def joined(cls, portions: list[Examples]) -> Examples:
        """Concatenates portions."""
        return cls(
            maps={m: np.concatenate([part.maps[m] for part in portions]) for m in portions[0].maps},
            masks=[mask for part in portions for mask in part.masks],
            marks=[mask for part in portions for mask in part.marks],
            words=[found for part in portions for found in part.words],
            indices=np.concatenate([part.indices for part in portions]),
            layout=portions[0].layout,
        )


def examples_of(record: AttentionRecord, methods, *, with_words: bool = False) -> Examples:
    """The examples of a record: its maps by `methods`, its masks, and with `with_words` the measures of its words."""
    none = [NO_BOXES] * len(record.images)
    marks = none if record.mark_boxes is None else list(record.mark_boxes[:, None])
    return Examples(
        maps={method: read_map(record, method) for method in methods},
        masks=[_object(record, i, boxes) for i, boxes in enumerate(explained_boxes(record))],
        marks=[_mask(record, boxes) for boxes in marks],
        words=[word_measurements(record)] if with_words else [],
        indices=record.example_index,
        layout=record.token_layout,
    )


def explained_boxes(record: AttentionRecord) -> list[np.ndarray]:
    """The boxes (K, 4) that the map of each example should point at.

    They are those of the object that decides the class, of all objects of the explained label, of what the explained
    word of a caption names, or of everything that a question or a matching text names.
    """
    none = [NO_BOXES] * len(record.images)
    if record.label_part is not None:
        return record.target_boxes or none
    if record.text is None:
        return none if record.boxes is None else list(record.boxes[:, None])
    if record.text.predicts_next:
        return record.target_boxes or none
    return [text.boxes for text in record.text.texts]


def ground(examples: Examples, maps: dict[str, np.ndarray], masks) -> dict[str, dict]:
    """method -> `pointing`, `energy`, `lift`, `chance`, mean over the examples that have a mask; {} without any.

    Ties between maxima are broken by the example's index, independently of the other examples.
    """
    known = [row for row, mask in enumerate(masks) if mask is not None]
    if not known:
        return {}
    grids = {method: examples.layout.to_grid(array) for method, array in maps.items()}
    # Images from outside the data set have the index -1, and a seed must not be negative.
    seeds = examples.indices + 1
    return {
        method: mean_of_rows([measure(grid[row], masks[row], [0, int(seeds[row])]) for row in known])
        for method, grid in grids.items()
    }


def _object(record: AttentionRecord, example: int, boxes) -> np.ndarray | None:
    """The patches of what is explained: by the object's mask where that is known, else by its boxes."""
    if record.masks is None or not record.masks[example].any():
        return _mask(record, boxes)
    mask = mask_to_patches(record.masks[example], record.token_layout.grid, record.patch_size)
    return mask if mask.any() else None


def _mask(record: AttentionRecord, boxes) -> np.ndarray | None:
    mask = boxes_to_patches(record, boxes)
    return mask if mask.any() else None
