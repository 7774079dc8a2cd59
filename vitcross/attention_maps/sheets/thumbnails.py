"""All maps of one capture as one small image, a regular grid: a page shows any cell of it, and there is one file."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps.methods.rollout import NAMES
from vitcross.attention_maps.sheets import render
from vitcross.attention_maps.sheets.methods_sheet import method_maps
from vitcross.attention_maps.sheets.sheet_layout import SheetLayout, Style
from vitcross.png import encode_png

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord

LONGEST = 128  # of one cell, in pixels


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thumbnails:
    """A grid of `rows` probes by `columns`, cells of `width` x `height` pixels, as PNG bytes; the columns are the image
    and then the methods, key -> the name that is shown."""

    png: bytes
    columns: dict[str, str]
    rows: int
    width: int
    height: int


def thumbnails(record: AttentionRecord, style: Style | None = None) -> Thumbnails:
    """Each image, and beside it each method on the color scale that it has in the sheet of methods.

    Args:
        record: AttentionRecord.
        style: Style; None for the default.
    """
    sheet = SheetLayout(record, style or Style(), record.target_boxes)
    size = render.panel_size(record.images.shape[1:3], LONGEST)
    maps = method_maps(record)
    rows = [
        [
            sheet.pixels(i, size),
            *(sheet.with_boxes(sheet.overlay(i, maps_BP[i], top, size), i) for maps_BP, top in maps.values()),
        ]
        for i in sheet.examples
    ]
    pixels = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    columns = {"image": "Image", **{method: NAMES[method] for method in maps}}
    return Thumbnails(png=encode_png(pixels), columns=columns, rows=len(rows), height=size[0], width=size[1])
