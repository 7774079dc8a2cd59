"""Adds to a record what needs more than its weights: relevance for a target, and where the text reads the image the
raw map and the rollout through both towers.

Shape legend: B batch, K classes or answers.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps.methods.cross_rollout import cross_raw_map, cross_rollout_map, token_rollout_maps

if TYPE_CHECKING:
    from vitcross.attention_maps.capture.relevance import RelevanceExplainer, RelevanceMaps
    from vitcross.attention_maps.records.record import AttentionRecord
    from vitcross.attention_maps.records.text_record import ImageTextRecord


def explain_rows(
    explainer: RelevanceExplainer, batch, keep, target=None, *, every_token: bool = True, **known
) -> tuple[RelevanceMaps, tuple[str, ...]]:
    """Relevance of the rows `keep` (bool (B,)) of a batch, and what it explains in words.

    The whole batch is explained: its shape is the one that is compiled.

    Args:
        target: `wanted` of `choose_target`, for every row of the batch.
        every_token: as of `RelevanceExplainer.explain`.
        **known: what `choose_target` takes to choose: `logits`, `class_names`, `texts`.
    """
    target, names = explainer.model.choose_target(target, size=len(keep), **known)
    found = explainer.explain(batch, target, every_token=every_token)
    kept = {name: None if array is None else array[keep] for name, array in vars(found).items()}
    return type(found)(**kept), tuple(name for name, here in zip(names, keep, strict=True) if here)


def with_relevance(record: AttentionRecord, found: RelevanceMaps, targets: tuple[str, ...]) -> AttentionRecord:
    """The record with `maps["relevance"]` and `targets`."""
    return dataclasses.replace(record, maps={**record.maps, "relevance": found.image}, targets=targets)


def with_pair_maps(record: ImageTextRecord, found: RelevanceMaps, targets: tuple[str, ...]) -> ImageTextRecord:
    """The record with `image.maps` relevance and, where the text reads the image, raw and rollout through both
    towers; `image.targets`, `text_maps` and, where there are any, `token_maps` of relevance and rollout."""
    image = with_relevance(record.image, found, targets)
    # Those of a dual encoder are its image tower's own, which are read from the weights.
    if record.cross_attention:
        composed = {"raw": cross_raw_map(record, found.target), "rollout": cross_rollout_map(record, found.target)}
        image = dataclasses.replace(image, maps=_float32(composed) | image.maps)
    tokens = {}
    if found.tokens is not None:
        tokens = {"relevance": found.tokens} | _float32({"rollout": token_rollout_maps(record)})
    return dataclasses.replace(record, image=image, token_maps=tokens, text_maps={"relevance": found.text})


def _float32(maps: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {method: array.astype(np.float32) for method, array in maps.items()}
