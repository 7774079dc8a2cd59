"""Draws all maps of one capture as thumbnails in one image, a regular grid of which a page shows single cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vitcross.attention_maps.sheets import render
from vitcross.attention_maps.sheets.methods_sheet import method_maps
from vitcross.attention_maps.sheets.sheet_layout import SheetLayout, Style
from vitcross.metric_keys import METHODS
from vitcross.png import encode_png

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord

LONGEST = 128  # of one cell, in pixels


class Thumbnails(NamedTuple):
    """The image as PNG bytes, and its grid: `columns` (`"image"` and each method -> title), `rows`, and the `width` and
    `height` of a cell in pixels."""

    png: bytes
    grid: dict


def thumbnails(record: AttentionRecord, style: Style | None = None) -> Thumbnails:
    """Each image, and beside it the map of each method with its color scale of the methods sheet."""
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
    columns = {"image": "Image", **{method: METHODS[method] for method in maps}}
    grid = {"columns": columns, "rows": len(rows), "height": size[0], "width": size[1]}
    return Thumbnails(encode_png(pixels), grid)
