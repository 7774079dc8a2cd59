"""Draws the sheets of one capture: probe images, raw attention, every head, every layer, and all methods.

Of an image-text model it also draws the sheets of words (`word_sheets.py`, `matrix_sheet.py`, `text_sheet.py`).

Shape legend: B batch, N heads, L blocks, P patches; h w pixels of a panel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vitcross import metric_keys as keys
from vitcross.attention_maps.methods import rollout
from vitcross.attention_maps.records.record import captions
from vitcross.attention_maps.sheets import render
from vitcross.attention_maps.sheets.drawing import BAR_ROOM, GAP, MARGIN, MUTED, Canvas
from vitcross.attention_maps.sheets.labels_sheet import labels_sheet
from vitcross.attention_maps.sheets.matrix_sheet import matrix_sheet
from vitcross.attention_maps.sheets.methods_sheet import methods_sheet
from vitcross.attention_maps.sheets.sheet import Sheet
from vitcross.attention_maps.sheets.sheet_layout import TEXT_ROOM, SheetLayout, Style
from vitcross.attention_maps.sheets.text_sheet import text_sheet
from vitcross.attention_maps.sheets.word_sheets import relevance_sheet, similarity_sheet, words_sheet
from vitcross.pages.numbers import number, percent

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord

MOST_LINES = 5  # of a prediction, and as many of the ground truth
READS = {
    "cls": "what the class token attends to",
    "gap": "what patches attend to, mean over all of them (no single row is the answer)",
    "map": "what the pooling's query attends to",
}


def probe_sheet(record: AttentionRecord, style: Style) -> Sheet:
    """The images as the model sees them, with prediction, truth and, where known, the object's box."""
    sheet = SheetLayout(record, style)
    columns = min(4, len(sheet.examples))
    h, w = sheet.size(columns)
    # A prediction may be several sentences; a class fits on one line.
    several = bool(record.predictions) or record.label_part is not None
    most = MOST_LINES if several else 1
    counts = [len(sheet.prediction_lines(i, w, most) + sheet.name_lines(i, w)) for i in sheet.examples]
    text_room = max(TEXT_ROOM, 10 + 18 * max(counts, default=0))
    step_x, step_y = max(w, 120) + 2 * GAP, h + text_room + GAP
    rows = -(-len(sheet.examples) // columns)
    what = "its predictions, and their texts" if record.predictions else "its prediction and probability"
    lines = [f"Step {record.step}. The pixels as the model sees them, {what}."]
    if sheet.object_line:
        lines.append(f"{sheet.object_line}: the object that decides the label. The model never sees it.")
    if record.mark_boxes is not None and record.mark_boxes.any():
        lines.append("Dashed box: a planted mark that gives the label away, to test whether the model relies on it.")
    title = "Probe images"
    canvas, top = sheet.canvas(title, lines, 2 * MARGIN + columns * step_x, rows * step_y)
    for i in sheet.examples:
        sheet.image(canvas, MARGIN + i % columns * step_x, top + i // columns * step_y, i, (h, w), most, named=True)
    return Sheet(image=canvas.array(), title=title, caption=f"Step {record.step}. " + "; ".join(captions(record)))


def overlay_sheet(record: AttentionRecord, style: Style) -> Sheet:
    """Image and raw attention of the last layer, mean over heads, side by side; a row has one color scale."""
    sheet = SheetLayout(record, style)
    pairs = min(4, len(sheet.examples))
    h, w = sheet.size(2 * pairs, BAR_ROOM + pairs * GAP)
    step_x, step_y = 2 * w + 3 * GAP, h + TEXT_ROOM + GAP
    rows = -(-len(sheet.examples) // pairs)
    maps, masses = rollout.raw_map(record), rollout.raw_prefix_mass(record)
    tops = [render.scale_top(maps[row * pairs : (row + 1) * pairs]) for row in range(rows)]
    title = "Attention pooling, mean over heads" if record.pooling == "map" else "Last layer, mean over heads"
    lines = [f"Step {record.step}. Color: {READS[record.pooling]}.", sheet.scale()]
    canvas, top = sheet.canvas(title, lines, 2 * MARGIN + pairs * step_x + BAR_ROOM, rows * step_y)
    for i in sheet.examples:
        x, y = MARGIN + i % pairs * step_x, top + i // pairs * step_y
        sheet.image(canvas, x, y, i, (h, w))
        canvas.paste(x + w + GAP // 2, y, sheet.overlay(i, maps[i], tops[i // pairs], (h, w)))
        if record.token_layout.num_prefix_tokens:
            note = f"prefix tokens {percent(masses[i])}"
            canvas.text(x + w + GAP // 2, y + h + 6, note, fill=MUTED, width=w)
    for row in range(rows):
        _bar(canvas, MARGIN + pairs * step_x, top + row * step_y, h, tops[row], sheet)
    caption = f"{' '.join(lines)} Brightest, by row: {', '.join(map(number, tops))}. "
    # The sheet has a single scale only where it has one row.
    vmax = tops[0] if rows == 1 else None
    return Sheet(image=canvas.array(), title=title, caption=caption + "; ".join(captions(record)), vmin=0.0, vmax=vmax)


def heads_sheet(record: AttentionRecord, style: Style) -> Sheet:
    """Every head of the last layer (or of the attention pooling); a row is one image with its own color scale."""
    sheet = SheetLayout(record, style)
    rows_BNT = rollout.raw_rows(record)
    layout = record.token_layout
    title = "Attention pooling, every head" if record.pooling == "map" else "Last layer, every head"
    return _rows_sheet(
        sheet,
        title=title,
        line=f"Step {record.step}. Color: {READS[record.pooling]}.",
        columns=[f"head {n}" for n in range(rows_BNT.shape[1])],
        maps_BKP=layout.patches(rows_BNT),
        masses_BK=layout.prefix(rows_BNT).sum(axis=-1),
    )


def layers_sheet(record: AttentionRecord, style: Style) -> Sheet:
    """The mean over heads of every layer, then the attention pooling, then rollout."""
    sheet = SheetLayout(record, style)
    layout = record.token_layout
    rows_BKT = rollout.layer_rows(record).mean(axis=2).transpose(1, 0, 2)
    columns = [f"layer {layer}" for layer in range(rows_BKT.shape[1])]
    if record.pooling == "map":
        rows_BKT = np.concatenate([rows_BKT, rollout.raw_rows(record).mean(axis=1)[:, None]], axis=1)
        columns.append("pooling")
    reads = READS["gap" if record.pooling == "map" else record.pooling].split(" (")[0]
    return _rows_sheet(
        sheet,
        title="Every layer, mean over heads, then rollout",
        line=f"Step {record.step}. Layers: {reads}. Rollout: attention followed through all layers.",
        columns=[*columns, "rollout"],
        maps_BKP=np.concatenate([layout.patches(rows_BKT), rollout.rollout_map(record)[:, None]], axis=1),
        masses_BK=layout.prefix(rows_BKT).sum(axis=-1),
    )


def _rows_sheet(sheet: SheetLayout, *, title, line, columns, maps_BKP, masses_BK) -> Sheet:
    h, w = sheet.size(1 + len(columns), BAR_ROOM + GAP)
    step_x, step_y, header = w + GAP, h + TEXT_ROOM + GAP, 22
    lines = [line, sheet.scale()]
    width = 2 * MARGIN + (1 + len(columns)) * step_x + GAP + BAR_ROOM
    canvas, top = sheet.canvas(title, lines, width, header + len(sheet.examples) * step_y)
    left = MARGIN + step_x + GAP
    for k, name in enumerate(columns):
        canvas.text(left + k * step_x, top, name if w >= 60 else name.split()[-1], fill=MUTED, width=w)
    tops = [render.scale_top(maps_BKP[i]) for i in sheet.examples]
    for i in sheet.examples:
        y = top + header + i * step_y
        sheet.image(canvas, MARGIN, y, i, (h, w))
        for k in range(len(columns)):
            canvas.paste(left + k * step_x, y, sheet.overlay(i, maps_BKP[i, k], tops[i], (h, w)))
            if sheet.record.token_layout.num_prefix_tokens and k < masses_BK.shape[1]:
                note = f"prefix {percent(masses_BK[i, k])}"
                canvas.text(left + k * step_x, y + h + 6, note, size=12, fill=MUTED, width=w)
        _bar(canvas, left + len(columns) * step_x, y, h, tops[i], sheet)
    numbers = ", ".join(f"{i + 1}: {number(tops[i])}" for i in sheet.examples)
    caption = f"{line} {sheet.scale()} Brightest, by row: {numbers}."
    return Sheet(image=canvas.array(), title=title, caption=caption)


def _bar(canvas: Canvas, x: int, y: int, height: int, vmax: float, sheet: SheetLayout) -> None:
    canvas.color_bar(x, y, height, vmin=0.0, vmax=vmax, color_map=sheet.style.color_map, mark=sheet.uniform)


def sheets(record: AttentionRecord, style: Style | None = None, note: str = "") -> dict[str, Sheet]:
    """All sheets of one capture, by their keys in the dashboard.

    Args:
        record: AttentionRecord.
        style: Style; None for the default.
        note: str, how well the maps of words are grounded, printed on the sheets of words.
    """
    style = style or Style()
    found = {keys.PROBE: probe_sheet(record, style), keys.OVERLAY: overlay_sheet(record, style)}
    # Without maps that need the model, it would repeat the other sheets.
    if record.maps:
        found[keys.METHODS_SHEET] = methods_sheet(record, style)
    if record.label_part is not None and record.label_part.maps is not None:
        found[keys.LABELS] = labels_sheet(record, style)
    found[keys.HEADS] = heads_sheet(record, style)
    found[keys.LAYERS] = layers_sheet(record, style)
    return found if record.text is None else found | _text_sheets(record, style, note)


def _text_sheets(record: AttentionRecord, style: Style, note: str) -> dict[str, Sheet]:
    """The sheets of a text tower, as far as the record has their data."""
    found, text = {}, record.text
    if text.cross_attention:
        found[keys.WORDS] = words_sheet(record, style, note)
        found[keys.MATRIX] = matrix_sheet(record, style, note)
    if text.token_maps:
        found[keys.WORD_RELEVANCE] = relevance_sheet(record, style)
    if text.word_similarity is not None:
        found[keys.SIMILARITY] = similarity_sheet(record, style, note)
    if text.pooling is not None:
        found[keys.TEXT] = text_sheet(record, style)
    return found
