"""Draws the importance of heads: tables layer x head of the gradient at a head's gate and of the effect of closing it.

Shape legend: L layers, N heads.
"""

from __future__ import annotations

from vitcross.attention_maps.sheets import drawing
from vitcross.attention_maps.sheets.cell_table import CELL_HEIGHT, draw_cells, label_columns, label_rows
from vitcross.attention_maps.sheets.drawing import BAR_ROOM, INK, MARGIN, MUTED, Canvas
from vitcross.attention_maps.sheets.render import scale_top
from vitcross.attention_maps.sheets.sheet import Sheet
from vitcross.attention_maps.trust.head_importance import HeadImportance

CELL, LABEL_ROOM, TABLE_GAP, HEAD_ROOM = 58, 74, 56, 52
TABLES = (("importance", "by the gradient"), ("drop", "effect of closing the head"))
LINES = (
    "Left: importance of each head by the gradient of the loss; a layer has length 1 (Michel et al. 2019).",
    "Right: by how much the probability of the answer drops when that head alone is closed; negative: it rises.",
)


def head_sheet(heads: HeadImportance, color_map: str = "viridis") -> Sheet:
    """Both tables of every kind of layer, and above them the rank correlation between the two."""
    columns = max(table.shape[1] for table in heads.importance.values())
    width = MARGIN * 2 + 2 * (LABEL_ROOM + columns * CELL) + TABLE_GAP + BAR_ROOM
    top = drawing.heading_height(len(LINES))
    heights = [HEAD_ROOM + len(table) * CELL_HEIGHT + 40 for table in heads.importance.values()]
    canvas = Canvas(width=max(width, 860), height=top + sum(heights) + MARGIN)
    title = "Which heads does the model use?"
    canvas.heading(title, list(LINES), max(width, 860) - 2 * MARGIN)
    words = []
    for kind, height in zip(heads.importance, heights, strict=True):
        words.append(_kind_words(heads, kind))
        canvas.text(MARGIN, top, words[-1], fill=INK, width=max(width, 860) - 2 * MARGIN)
        for place, (name, meaning) in enumerate(TABLES):
            left = MARGIN + LABEL_ROOM + place * (LABEL_ROOM + columns * CELL + TABLE_GAP)
            table = getattr(heads, name).get(kind)
            if table is not None:
                _table(canvas, left, top + HEAD_ROOM, table, f"{name}: {meaning}", color_map)
        top += height
    return Sheet(image=canvas.array(), title=title, caption=f"{' '.join(LINES)} {' '.join(words)}")


def _kind_words(heads: HeadImportance, kind: str) -> str:
    agreement = heads.agreement.get(kind)
    name = kind.replace("_", " ").replace("/", ", ")
    return f"{name.capitalize()}." if agreement is None else f"{name.capitalize()}: rank correlation {agreement:+.2f}."


def _table(canvas: Canvas, left: int, top: int, table, title: str, color_map: str) -> None:
    canvas.text(left, top - 24, title, size=12, fill=MUTED)
    draw_cells(canvas, (left, top), table, (CELL, CELL_HEIGHT), vmax=scale_top(table), color_map=color_map)
    label_rows(canvas, (left, top), [f"layer {layer}" for layer in range(len(table))], CELL_HEIGHT)
    heads = [f"head {head}" for head in range(table.shape[1])]
    label_columns(canvas, (left, top + len(table) * CELL_HEIGHT + 6), heads, CELL)
