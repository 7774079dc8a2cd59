"""All maps of one capture as one small image, a regular grid: a page shows any cell of it, and there is one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps.sheets import render
from vitcross.attention_maps.sheets.methods_sheet import method_maps
from vitcross.attention_maps.sheets.sheet_layout import SheetLayout, Style

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord

LONGEST = 128  # of one cell, in pixels


def thumbnails(record: AttentionRecord, style: Style | None = None) -> tuple[np.ndarray, tuple[str, ...], int]:
    """Rows: probes; columns: the image, then each method on the color scale that it has in the sheet of methods.

    Args:
        record: AttentionRecord.
        style: Style; None for the default.

    Returns:
        `(pixels, columns, rows)`: (rows * h, len(columns) * w, 3) uint8, the names of the columns ("image", then
        methods), and the number of rows.
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
    return np.concatenate([np.concatenate(row, axis=1) for row in rows]), ("image", *maps), len(rows)
