"""Some examples of a record, in a given order: what two runs have in common."""

from __future__ import annotations

import dataclasses

from vitcross.attention_maps.records.record import AttentionRecord
from vitcross.attention_maps.records.text_record import ImageTextRecord, image_of


def select_examples(record, last, rows: list[int]):
    """The record of the examples that stand in `rows` of `last`, another capture of the same run; None where this
    capture has none of them."""
    image, wanted = image_of(record), image_of(last)
    if len(image.example_index) != len(wanted.example_index) or (image.example_index != wanted.example_index).any():
        known = {int(index): row for row, index in enumerate(image.example_index)}
        rows = [known[index] for index in (int(wanted.example_index[row]) for row in rows) if index in known]
    return take(record, rows) if rows else None


def take(record: AttentionRecord | ImageTextRecord, rows: list[int]) -> AttentionRecord | ImageTextRecord:
    """The record of the examples `rows`, in this order."""
    if isinstance(record, ImageTextRecord):
        arrays = ("padding_mask", "text_similarity", "word_similarity")
        changes = {"image": take(record.image, rows), "texts": _pick(record.texts, rows)}
        fields = ("weights", "token_maps", "text_maps")
    else:
        arrays = ("images", "labels", "probabilities", "example_index", "boxes", "mark_boxes", "token_norms")
        changes = {"targets": _pick(record.targets, rows), "verdicts": _pick(record.verdicts, rows)}
        changes["trust"] = record.trust and _take_trust(record.trust, rows)
        fields = ("weights", "maps")
    for name in arrays:
        array = getattr(record, name)
        changes[name] = None if array is None else array[rows]
    for field in fields:
        changes[field] = {key: array[rows] for key, array in getattr(record, field).items()}
    return dataclasses.replace(record, **changes)


def _pick(values: tuple, rows: list[int]) -> tuple:
    return tuple(values[row] for row in rows) if values else ()


def _take_trust(report, rows: list[int]):
    probes = {method: _pick(found, rows) for method, found in report.probes.items()}
    return dataclasses.replace(report, probes=probes)
