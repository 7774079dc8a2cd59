"""Draws a map for each word: cross-attention, relevance, or the cosines of a dual encoder.

There is one block per probe: the prediction, the image, then a panel for every word in reading order. Where several
methods are shown, each has a block.

Shape legend: W words of one example, N heads, P patches; h w pixels of a panel.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps.methods.words import token_word_maps, word_maps, word_prefix_mass, word_similarity_maps
from vitcross.attention_maps.sheets import drawing, render
from vitcross.attention_maps.sheets.drawing import BAR_ROOM, GAP, INK, MARGIN, MUTED, NAMES_OBJECT, Canvas
from vitcross.attention_maps.sheets.sheet import Sheet
from vitcross.attention_maps.sheets.sheet_layout import MAX_WIDTH, SMALLEST_PANEL, SheetLayout
from vitcross.metric_keys import METHODS
from vitcross.pages.numbers import number, percent

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord
    from vitcross.attention_maps.sheets.sheet_layout import Style

LONGEST_PANEL = 128  # of words there are many
MOST_COLUMNS = 12
MOST_WORDS = 48  # of one probe; the record holds them all
LABEL, NOTE = 22, 26  # room above and below a panel
LINE = 20
BLOCK_GAP = 26


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Panel:
    """One map of one word, or of the whole text."""

    label: str
    patches: np.ndarray  # (P,)
    note: str
    vmax: float
    boxes: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Block:
    """The panels of one probe, and the top of the color scale of its words.

    `method` is printed above the image where the sheet has several; `follows`: the block above shows the same probe.
    """

    example: int
    panels: list[_Panel]
    vmax: float
    left_out: int
    method: str = ""
    follows: bool = False


def words_sheet(record: AttentionRecord, style: Style, note: str = "") -> Sheet:
    """What each word attends to, mean over heads of the last cross-attention layer; a probe has one color scale."""
    sheet = SheetLayout(record, style)
    maps = [m.mean(axis=1) for m in word_maps(record)]
    masses = [m.mean(axis=1) for m in word_prefix_mass(record)]
    with_prefix = record.token_layout.num_prefix_tokens > 0
    blocks = [
        _block(record, i, maps[i], [f"prefix {percent(m)}" if with_prefix else "" for m in masses[i]])
        for i in sheet.examples
    ]
    layer = list(record.cross_attention)[-1].split("/")[-2].removeprefix("block_").lstrip("0") or "0"
    row = "the rows that predict it" if record.text.predicts_next else "their own rows"
    lines = [
        f"Step {record.step}. Color: what each word attends to, cross-attention of layer {layer} (the last), mean "
        f"over heads and over the word's sub-words: {row}. Punctuation is left out.",
        sheet.scale().replace("a row shares", "an image's words share"),
        *_about_boxes(record),
        *filter(None, [note]),
    ]
    return _sheet(sheet, record, "Patches that each word attends to", lines, blocks, mark=sheet.uniform)


def relevance_sheet(record: AttentionRecord, style: Style) -> Sheet:
    """Relevance and rollout for each word, through all layers of both towers; every method has its own block and color
    scale."""
    sheet = SheetLayout(record, style)
    methods = [method for method in ("relevance", "rollout") if method in record.text.token_maps]
    maps = {method: token_word_maps(record, method) for method in methods}
    blocks = []
    for i in sheet.examples:
        for method in methods:
            block = _block(record, i, maps[method][i], [_peak(patches) for patches in maps[method][i]])
            blocks.append(dataclasses.replace(block, method=METHODS[method], follows=method != methods[0]))
    meanings = {"relevance": "gradient times attention", "rollout": "product of the attention of all layers"}
    name = style.color_map.capitalize()
    lines = [
        f"Step {record.step}. Color, for each word, mean over its sub-words, through all layers of both towers: "
        + "; ".join(f"{METHODS[method]}: {meanings[method]}" for method in methods)
        + ". Punctuation is left out.",
        f"{name}: darkest = 0; the words of an image share one scale per method, whose top is at its bar. "
        "Below each panel: its brightest patch.",
        *_about_boxes(record),
    ]
    return _sheet(sheet, record, "Patches that are relevant to each word", lines, blocks)


def _peak(patches) -> str:
    return f"top {number(float(np.max(patches)))}" if np.any(patches) else "no evidence"


def similarity_sheet(record: AttentionRecord, style: Style, note: str = "") -> Sheet:
    """Cosine of each patch with the text and with each of its words; the text's map has its own color scale."""
    sheet = SheetLayout(record, style)
    maps = word_similarity_maps(record)
    blocks = []
    for i in sheet.examples:
        block = _block(record, i, maps[i], list(map(_range, maps[i])))
        text = record.text.text_similarity[i]
        whole = _Panel(label="whole text", patches=text, note=_range(text), vmax=render.scale_top(text))
        blocks.append(dataclasses.replace(block, panels=[whole, *block.panels]))
    name = style.color_map.capitalize()
    lines = [
        f"Step {record.step}. Color: cosine of each patch with the whole text (first panel, with its own scale), then "
        "with each word; the tokens of both towers are projected like the embeddings.",
        f"{name}: darkest = a cosine of 0 or below; the words of an image share one scale, whose top is at its bar. "
        "Below each panel: its lowest and highest cosine.",
        *_about_boxes(record),
        *filter(None, [note]),
    ]
    return _sheet(sheet, record, "Similarity of patches to the text and its words", lines, blocks)


def _range(cosines) -> str:
    return f"{np.min(cosines):.2f} to {np.max(cosines):.2f}"


def _about_boxes(record: AttentionRecord) -> list[str]:
    if not record.text.words_have_boxes:
        return []
    return ["Blue words name an object; the white box is its true place, which the model never sees."]


def _block(record: AttentionRecord, example: int, maps_WP: np.ndarray, notes: list[str]) -> _Block:
    text = record.text.texts[example]
    top = render.scale_top(maps_WP)
    panels = [
        _Panel(label=word.text, patches=patches, note=note, vmax=top, boxes=boxes)
        for word, patches, note, boxes in zip(text.words, maps_WP, notes, text.word_boxes, strict=True)
        if any(character.isalnum() for character in word.text)
    ]
    return _Block(example=example, panels=panels[:MOST_WORDS], vmax=top, left_out=len(panels[MOST_WORDS:]))


def _sheet(
    sheet: SheetLayout, record: AttentionRecord, title: str, lines: list[str], blocks: list[_Block], mark=None
) -> Sheet:
    longest = max(SMALLEST_PANEL, min(sheet.style.panel_size, LONGEST_PANEL))
    h, w = render.panel_size(record.images.shape[1:3], longest)
    step = w + GAP
    fit = (MAX_WIDTH - 2 * MARGIN - BAR_ROOM - GAP) // step - 1
    most = max(1, *(len(block.panels) for block in blocks))
    columns = max(3, min(most, fit, MOST_COLUMNS))
    width = 2 * MARGIN + (1 + columns) * step + GAP + BAR_ROOM
    tops, y = [], 0
    for block in blocks:
        y -= (BLOCK_GAP - GAP) * block.follows
        tops.append(y)
        y += (
            (0 if block.follows else LINE * len(_prediction_lines(sheet, block.example, width)) + 8)
            + max(1, -(-len(block.panels) // columns)) * (LABEL + h + NOTE)
            + BLOCK_GAP
        )
    canvas, top = sheet.canvas(title, lines, width, y)
    for block, at in zip(blocks, tops, strict=True):
        _draw_block(canvas, sheet, record, block, top + at, columns, (h, w), mark)
    brightest = ", ".join(f"{b.example + 1}{' ' * bool(b.method)}{b.method}: {number(b.vmax)}" for b in blocks)
    texts = "; ".join(f"{i + 1}: {record.text.texts[i].text}" for i in sheet.examples)
    return Sheet(
        image=canvas.array(), title=title, caption=f"{' '.join(lines)} Brightest, by image: {brightest}. Texts: {texts}"
    )


def _prediction_lines(sheet: SheetLayout, example: int, width: float):
    return sheet.prediction_lines(example, width - 2 * MARGIN, 2, size=15)


def _draw_block(canvas: Canvas, sheet: SheetLayout, record, block: _Block, y: int, columns: int, size, mark):
    h, w = size
    example = block.example
    if not block.follows:
        for line, color in _prediction_lines(sheet, example, canvas.image.width):
            canvas.text(MARGIN, y, line, size=15, fill=color)
            y += LINE
        y += 8
    canvas.text(MARGIN, y, block.method, size=15, fill=MUTED, width=w + GAP)
    pixels = np.array(render.resize(render.to_rgb(record.images[example]), size))
    for box in np.unique(record.text.texts[example].boxes, axis=0):
        drawing.draw_box(pixels, box)
    canvas.paste(MARGIN, y + LABEL, pixels)
    if block.left_out:
        canvas.text(MARGIN, y + LABEL + h + 4, f"{block.left_out} more words", size=12, fill=MUTED, width=w)
    left = MARGIN + w + GAP
    for k, panel in enumerate(block.panels):
        x = left + GAP + k % columns * (w + GAP)
        _draw_panel(canvas, sheet, example, panel, x, y + k // columns * (LABEL + h + NOTE), size)
    bar = {"vmin": 0.0, "vmax": block.vmax, "color_map": sheet.style.color_map}
    canvas.color_bar(left + GAP + columns * (w + GAP), y + LABEL, h, **bar, mark=mark)


def _draw_panel(canvas: Canvas, sheet: SheetLayout, example: int, panel: _Panel, x: int, y: int, size):
    h, w = size
    named = panel.boxes is not None
    color = NAMES_OBJECT if named else INK
    label = drawing.shorten(panel.label, 15, w)
    canvas.text(x, y, label, size=15, fill=color)
    if named:
        canvas.draw.line((x, y + 18, x + drawing.text_width(label, 15), y + 18), fill=NAMES_OBJECT)
    pixels = np.array(sheet.overlay(example, panel.patches, panel.vmax, size))
    for box in panel.boxes if named else ():
        drawing.draw_box(pixels, box)
    canvas.paste(x, y + LABEL, pixels)
    canvas.text(x, y + LABEL + h + 4, panel.note, size=12, fill=MUTED, width=w)
