"""All maps of one capture as one small picture, a regular grid: a page shows any cell of it, and there is one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps.records.text_record import ImageTextRecord, target_boxes
from vitcross.attention_maps.sheets import render
from vitcross.attention_maps.sheets.methods_sheet import method_maps
from vitcross.attention_maps.sheets.sheet_layout import Painter, Style

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord

LONGEST = 128  # of one cell, in pixels


def thumbnails(
    record: AttentionRecord | ImageTextRecord, style: Style | None = None
) -> tuple[np.ndarray, tuple[str, ...], int]:
    """Rows: probes; columns: the picture, then each method on the colour scale that it has in the sheet of methods.

    Args:
        record: AttentionRecord or ImageTextRecord.
        style: Style; None for the default.

    Returns:
        `(pixels, columns, rows)`: (rows * h, len(columns) * w, 3) uint8, the names of the columns ("picture", then
        methods), and the number of rows.
    """
    image = record.image if isinstance(record, ImageTextRecord) else record
    painter = Painter(image, style or Style(), target_boxes(record) if image is not record and image.targets else None)
    size = render.panel_size(image.images.shape[1:3], LONGEST)
    maps = method_maps(image)
    rows = [
        [
            painter.pixels(i, size),
            *(painter.with_boxes(painter.overlay(i, maps_BP[i], top, size), i) for maps_BP, top in maps.values()),
        ]
        for i in painter.examples
    ]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows]), ("picture", *maps), len(rows)
