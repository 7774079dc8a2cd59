"""Draws what the pooling of a text reads: every head of the last layer against the words of the text.

Shape legend: W rows of one table (words and special tokens), N heads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps.methods.words import pooled_text_rows
from vitcross.attention_maps.sheets import color_maps, drawing, render
from vitcross.attention_maps.sheets.cell_table import letter_color
from vitcross.attention_maps.sheets.drawing import BAR_ROOM, INK, MUTED, NAMES_OBJECT, Canvas
from vitcross.attention_maps.sheets.sheet import Sheet
from vitcross.attention_maps.sheets.sheet_layout import SheetLayout

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord
    from vitcross.attention_maps.sheets.sheet_layout import Style

CELL, CELL_HEIGHT = 36, 21
LABEL_ROOM = 120
HEADER, BLOCK_GAP = 46, 34
READS = {
    "eos": "the row of the last token, [EOS], in the last self-attention layer",
    "gap": "the mean over the rows of all tokens in the last self-attention layer",
    "map": "the row of the attention pooling",
}


def text_sheet(record: AttentionRecord, style: Style) -> Sheet:
    """Shares of the words, by head and on average; the sub-words of a word are summed, so that a column sums to 1."""
    sheet = SheetLayout(record, style)
    tables = [_table(record, i, rows_NT) for i, rows_NT in enumerate(pooled_text_rows(record))]
    heads = tables[0][1].shape[1] - 1
    block_width = LABEL_ROOM + CELL * (heads + 1) + 8 + 10 + BAR_ROOM
    heights = [HEADER + CELL_HEIGHT * len(tables[i][1]) + BLOCK_GAP for i in sheet.examples]
    most = -(-len(heights) // 2) if len(heights) > 3 else None
    corners, *size = sheet.blocks(heights, block_width, BLOCK_GAP, most)
    lines = [
        f"Step {record.step}. What the text's pooling reads: {READS[record.text.pooling]}; columns: heads, then their "
        "mean.",
        "The sub-words of a word are summed: a column sums to 1. A text shares one scale, whose top is at its bar.",
    ]
    title = "Words that the text's embedding reads"
    canvas, top = sheet.canvas(title, lines, *size, outlined=False)
    for i, (x, y) in enumerate(corners):
        _draw(canvas, f"{i + 1}.  {record.text.texts[i].text}", *tables[i], x, top + y, block_width, style.color_map)
    return Sheet(image=canvas.array(), title=title, caption=" ".join(lines))


def _table(record: AttentionRecord, example: int, rows_NT: np.ndarray):
    """`(labels, shares (W, N + 1))`: (text, color) of every word and special token in reading order."""
    text = record.text.texts[example]
    inside = {position for word in text.words for position in word.tokens}
    entries = [
        (word.tokens, word.text, INK if boxes is None else NAMES_OBJECT)
        for word, boxes in zip(text.words, text.word_boxes, strict=True)
    ]
    entries += [((p,), token.text, MUTED) for p, token in enumerate(text.tokens) if p not in inside]
    entries.sort(key=lambda entry: entry[0])
    shares = np.stack([rows_NT[:, list(positions)].sum(axis=1) for positions, *_ in entries])
    return [entry[1:] for entry in entries], np.concatenate([shares, shares.mean(axis=1, keepdims=True)], axis=1)


def _draw(canvas: Canvas, heading: str, labels, shares, x: int, y: int, width: int, color_map: str) -> None:
    canvas.text(x, y, heading, size=14, width=width - 10)
    y += HEADER
    vmax = render.scale_top(shares)
    colors = color_maps.colors(shares, color_map, 0.0, vmax)
    left, last = x + LABEL_ROOM, shares.shape[1] - 1
    for k in range(last + 1):
        name = "mean" if k == last else str(k)
        canvas.text(left + k * CELL + 8 * (k == last) + CELL / 2, y - 6, name, size=12, fill=MUTED, anchor="ms")
    canvas.text(left - 8, y - 6, "head", size=12, fill=MUTED, anchor="rs")
    for row, (name, color) in enumerate(labels):
        middle = y + CELL_HEIGHT * (row + 0.5)
        canvas.text(left - 8, middle, drawing.shorten(name, 13, LABEL_ROOM - 12), fill=color, anchor="rm")
        for k in range(last + 1):
            at = left + k * CELL + 8 * (k == last)
            cell = tuple(int(c) for c in colors[row, k])
            canvas.draw.rectangle(
                (at, y + row * CELL_HEIGHT, at + CELL - 2, y + (row + 1) * CELL_HEIGHT - 2), fill=cell
            )
        text = f"{100 * shares[row, last]:.0f}%"
        canvas.text(at + CELL / 2 - 1, middle, text, size=11, fill=letter_color(cell), anchor="mm")
    bar = left + (last + 1) * CELL + 18
    canvas.color_bar(bar, y, CELL_HEIGHT * len(labels) - 2, vmin=0.0, vmax=vmax, color_map=color_map)
