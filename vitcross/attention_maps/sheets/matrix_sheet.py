"""Draws the matrix behind the maps of words: every sub-word token against every patch, in both directions.

A bright column on the left is a patch that all tokens read alike (a sink); a column on the right shows which words
attend to a patch.

Shape legend: T tokens with a row, S image tokens, P patches, W columns drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps.methods.rollout import divide
from vitcross.attention_maps.methods.words import token_rows
from vitcross.attention_maps.sheets import color_maps, drawing, render
from vitcross.attention_maps.sheets.drawing import BAR_ROOM, INK, MUTED, NAMES_OBJECT, Canvas
from vitcross.attention_maps.sheets.sheet import Sheet
from vitcross.attention_maps.sheets.sheet_layout import SheetLayout

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord
    from vitcross.attention_maps.sheets.sheet_layout import Style

CELL_HEIGHT = 17
LABEL_ROOM = 104
WIDEST_CELL, USUAL_WIDTH, WIDEST = 10, 400, 1000
HEADER, AXIS = 48, 26  # room above and below a matrix
BLOCK_GAP = 30


def matrix_sheet(record: AttentionRecord, style: Style, note: str = "") -> Sheet:
    """Tokens against patches, mean over heads of the last cross-attention layer: what a token attends to, and the share
    of each token in the attention that a patch receives."""
    sheet = SheetLayout(record, style)
    layout = record.token_layout
    merged = -(-layout.num_patches // WIDEST)
    columns = -(-layout.num_patches // merged)
    cell = int(np.clip(USUAL_WIDTH // columns, 1, WIDEST_CELL))
    width = cell * columns
    prefix = 12 * layout.num_prefix_tokens
    block_width = LABEL_ROOM + prefix + 2 * (width + 14 + BAR_ROOM)
    blocks = [_tokens(record, i) for i in sheet.examples]
    heights = [HEADER + CELL_HEIGHT * len(rows) + AXIS + BLOCK_GAP for _, rows in blocks]
    lines = _lines(record, sheet, merged)
    corners, *size = sheet.blocks(heights, block_width, BLOCK_GAP)
    title = "Every token against every patch"
    canvas, top = sheet.canvas(title, lines, *size, outlined=False)
    for i, ((labels, rows), (x, y)) in enumerate(zip(blocks, corners, strict=True)):
        y += top
        canvas.text(x, y, f"{i + 1}.  {record.text.texts[i].text}", size=14, width=block_width - BAR_ROOM)
        _labels(canvas, x, y + HEADER, labels)
        _draw(canvas, record, style, rows, x + LABEL_ROOM, y + HEADER, width, merged)
    return Sheet(image=canvas.array(), title=title, caption=" ".join(filter(None, [*lines, note])))


def _lines(record: AttentionRecord, sheet: SheetLayout, merged: int) -> list[str]:
    layer = list(record.cross_attention)[-1]
    row = "the row that predicts it" if record.text.predicts_next else "its own row"
    several = f" A column is the mean of {merged} neighboring patches." if merged > 1 else ""
    prefix = " The separate columns on its left are prefix tokens." if record.token_layout.num_prefix_tokens else ""
    return [
        f"Step {record.step}. {layer}, mean over heads. One line per sub-word token ({row}), one column per patch, "
        f"row by row of the image.{several}",
        f"Left: what a token attends to.{prefix} A bright column: a patch that every token reads.",
        "Right: how the attention that a patch receives divides among the tokens; its columns sum to 1. "
        f"{sheet.style.color_map.capitalize()}, darkest = 0, top at each bar.",
    ]


def _tokens(record: AttentionRecord, example: int):
    """`(labels, rows)` of every token that has a row: (text, is in a word, names an object), and rows (T, S)."""
    text, places = record.text.texts[example], token_rows(record)
    layer = list(record.cross_attention.values())[-1][example].mean(axis=0, dtype=np.float64)
    of_word = {position: w for w, word in enumerate(text.words) for position in word.tokens}
    labels, rows = [], []
    for position, token in enumerate(text.tokens):
        if places[position] < 0:
            continue
        word = of_word.get(position)
        labels.append((token.text, word is not None, word is not None and text.word_boxes[word] is not None))
        rows.append(layer[places[position]])
    return labels, np.stack(rows)


def _labels(canvas: Canvas, x: int, y: int, labels) -> None:
    for k, (name, inside, named) in enumerate(labels):
        color = NAMES_OBJECT if named else INK if inside else MUTED
        text = drawing.shorten(name, 13, LABEL_ROOM - 10)
        canvas.text(x + LABEL_ROOM - 8, y + CELL_HEIGHT * (k + 0.5), text, fill=color, anchor="rm")


def _draw(canvas: Canvas, record, style, rows_TS, x: int, y: int, width: int, merged: int) -> None:
    """Prefix columns, then the matrix in both directions, each with its color bar and axis."""
    layout = record.token_layout
    patches, prefix = layout.patches(rows_TS), layout.prefix(rows_TS)
    top = render.scale_top(rows_TS)
    if layout.num_prefix_tokens:
        strip = 12 * layout.num_prefix_tokens - 4
        _matrix(canvas, x, y, prefix, strip, top, style.color_map)
        x += strip + 4
    shares = divide(patches, patches.sum(axis=0, keepdims=True))
    for k, (matrix, vmax, title) in enumerate(
        ((patches, top, "token to patches"), (shares, render.scale_top(shares), "patch to tokens"))
    ):
        left = x + k * (width + 14 + BAR_ROOM)
        canvas.text(left, y - 20, title, size=12, fill=MUTED)
        _matrix(canvas, left, y, _merge(matrix, merged), width, vmax, style.color_map)
        _axis(canvas, left, y + CELL_HEIGHT * len(matrix), width, layout)
        height = max(CELL_HEIGHT * len(matrix), 40)
        canvas.color_bar(left + width + 14, y, height, vmin=0.0, vmax=vmax, color_map=style.color_map)


def _merge(matrix_TP: np.ndarray, merged: int) -> np.ndarray:
    if merged == 1:
        return matrix_TP
    starts = np.arange(0, matrix_TP.shape[1], merged)
    return np.add.reduceat(matrix_TP, starts, axis=1) / np.diff(np.append(starts, matrix_TP.shape[1]))


def _matrix(canvas: Canvas, x: int, y: int, values, width: int, vmax: float, color_map: str) -> None:
    colors = color_maps.colors(values, color_map, 0.0, vmax)
    canvas.paste(x, y, render.resize(colors, (CELL_HEIGHT * len(values), width)))


def _axis(canvas: Canvas, x: int, y: int, width: int, layout) -> None:
    """A tick where each row of the image's grid begins."""
    free = x - 1.0
    for row in range(layout.grid_height):
        at = x + width * row / layout.grid_height
        canvas.draw.line((at, y + 2, at, y + 7), fill=MUTED)
        label = f"row {row}" if row == 0 else str(row)
        if at > free:
            canvas.text(at + 2, y + 8, label, size=11, fill=MUTED)
            free = at + drawing.text_width(label, 11) + 8
