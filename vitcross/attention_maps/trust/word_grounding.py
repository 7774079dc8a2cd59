"""Measures whether the map of a word points at what the word names, for every word with known boxes.

Shape legend: W words of one example, N heads, P patches, K boxes of one word.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from vitcross.attention_maps.methods.words import token_word_maps, word_maps, word_similarity_maps
from vitcross.attention_maps.records.record import AttentionRecord
from vitcross.attention_maps.trust.grounding import boxes_to_patches, mean_of_rows, measure

SIMILARITY = "similarity"


def grounding_maps(record: AttentionRecord) -> dict[str, list[np.ndarray]]:
    """layer -> for every example (W, P), the maps to measure: the mean over heads of each cross-attention layer
    (`block_00`, ...); `relevance` and `rollout` where the record holds token maps; for a dual encoder `similarity`,
    with negative cosines set to 0."""
    maps = {
        address.split("/")[-2]: [m.mean(axis=1) for m in word_maps(record, address)]
        for address in record.cross_attention
    }
    if record.text.word_similarity is not None:
        maps[SIMILARITY] = [np.maximum(m, 0.0) for m in word_similarity_maps(record)]
    return maps | {method: token_word_maps(record, method) for method in record.text.token_maps}


def word_measurements(record: AttentionRecord, seed: int = 0) -> dict[str, np.ndarray]:
    """layer -> (words, 4): `grounding.MEASURES` of every word that has boxes, in the order of the examples.

    Words whose boxes cover half of no patch are left out. Ties between maxima are broken by `seed` and the example's
    index, so that the size of portions does not matter.
    """
    maps = grounding_maps(record)
    found = {layer: [] for layer in maps}
    for example, text in enumerate(record.text.texts):
        for w, boxes in enumerate(text.word_boxes):
            mask = None if boxes is None else boxes_to_patches(record, boxes)
            if mask is None or not mask.any():
                continue
            # Images from outside the data set have the index -1, and a seed must not be negative.
            word_seed = [seed, int(record.example_index[example]) + 1, w]
            for layer, rows in found.items():
                grid = record.token_layout.to_grid(maps[layer][example][w])
                rows.append(measure(grid, mask, word_seed))
    return {layer: np.array(rows, np.float64).reshape(-1, 4) for layer, rows in found.items()}


def word_grounding(records: AttentionRecord | Iterable[AttentionRecord], seed: int = 0) -> dict:
    """How well the maps of words point at what they name, mean over all words that have boxes.

    Args:
        records: AttentionRecord with texts, or several of one model: portions of one set of examples.
        seed: int, breaks ties between maxima.

    Returns:
        layer or method (`block_00`, ..., `relevance`, `rollout`, or `similarity`) -> dict of floats: `pointing`,
        `energy`, `lift` (1 for a uniform map), `chance` (the pointing game of a random patch) and `words`, how many
        were measured. Empty where no word has a usable box.
    """
    records = [records] if isinstance(records, AttentionRecord) else records
    return mean_of_words([word_measurements(record, seed) for record in records])


def mean_of_words(portions: list[dict]) -> dict[str, dict]:
    """As `word_grounding`, from the results of `word_measurements` for several portions."""
    layers = {layer: np.concatenate([p[layer] for p in portions]) for layer in (portions[0] if portions else ())}
    return {layer: mean_of_rows(rows) | {"words": len(rows)} for layer, rows in layers.items() if len(rows)}


def best_layer(grounding: dict) -> str:
    """A caption that names the layer with the largest lift of a `word_grounding`; empty where there is none."""
    known = {layer: row for layer, row in grounding.items() if np.isfinite(row["lift"])}
    if not known:
        return ""
    layer = max(known, key=lambda name: known[name]["lift"])
    row = known[layer]
    return (
        f"Best on the boxes of {row['words']} words: {layer.replace('_', ' ')}, lift {row['lift']:.2f} (1: knows "
        f"nothing), pointing {row['pointing']:.0%} (chance {row['chance']:.0%})."
    )
