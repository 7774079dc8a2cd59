"""The four sheets of one capture: what the model saw, where it looked, every head, every layer.

Shape legend: B batch, N heads, L blocks, P patches; h w pixels of a panel.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps import drawing, reduce, render
from vitcross.attention_maps.drawing import BAR_ROOM, GAP, INK, MARGIN, MUTED, RIGHT, WRONG, Paper
from vitcross.attention_maps.media import Sheet
from vitcross.attention_maps.statistics import artifact_patches

if TYPE_CHECKING:
    from vitcross.attention_maps.record import AttentionRecord

MAX_WIDTH = 2600
MAX_EXAMPLES = 16  # more make a sheet that nobody reads; the record holds them all
TEXT_ROOM = 46  # two lines below a panel
SMALLEST_PANEL = 48
MIN_SHEET_WIDTH = 640  # room for the heading
READS = {
    "cls": "what the class token attends to",
    "gap": "what patches attend to, mean over all of them (mean pooling has no single row that is the answer)",
    "map": "what the pooling's query attends to",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Style:
    """How sheets are drawn.

    Args:
        opacity: float in [0, 1], of the colours over the picture.
        colour_map: `"viridis"` or `"inferno"`.
        resampling: `"nearest"` or `"bilinear"`.
        panel_size: int, longer side of a panel in pixels; less where the sheet would be wider than 2600.
    """

    opacity: float = 0.7
    colour_map: str = "viridis"
    resampling: str = "nearest"
    panel_size: int = 192


class _Painter:
    """What all sheets of one record share: the examples shown, the size of a panel, the outlined patches."""

    def __init__(self, record: AttentionRecord, style: Style):
        self.record, self.style = record, style
        layout = record.token_layout
        self.examples = range(min(len(record.images), MAX_EXAMPLES))
        self.artifacts = layout.to_grid(artifact_patches(record.token_norms, layout))
        self.uniform = (1.0 / layout.num_tokens, "uniform")

    def size(self, num_columns: int, room: int = 0) -> tuple[int, int]:
        """(h, w) of a panel when `num_columns` must fit beside each other and `room` pixels stay free."""
        widest = (MAX_WIDTH - 2 * MARGIN - room) // num_columns - GAP
        return render.panel_size(self.record.images.shape[1:3], max(SMALLEST_PANEL, min(self.style.panel_size, widest)))

    def overlay(self, example: int, patches: np.ndarray, vmax: float, size) -> np.ndarray:
        return render.overlay(
            self.record.images[example],
            self.record.token_layout.to_grid(patches),
            vmax=vmax,
            opacity=self.style.opacity,
            colour_map=self.style.colour_map,
            resampling=self.style.resampling,
            patch_size=self.record.patch_size,
            size=size,
            artifacts=self.artifacts[example],
        )

    def picture(self, paper: Paper, x: int, y: int, example: int, size) -> None:
        """The pixels that the model saw, the object's box where known, and below it what the model says."""
        pixels = np.array(render.resize(render.to_rgb(self.record.images[example]), size))
        shape = self.record.images.shape[1:3]
        render.outline(pixels, self.artifacts[example], shape, self.record.patch_size, self.style.colour_map)
        if self.record.boxes is not None:
            drawing.draw_box(pixels, self.record.boxes[example])
        paper.paste(x, y, pixels)
        said, truth, right = verdict(self.record, example)
        colour = INK if right is None else RIGHT if right else WRONG
        # A narrow panel has no room for words, but the number of the example still leads to the caption.
        lines = [(f"{example + 1}. {said}", colour), (truth, MUTED)] if size[1] >= 90 else [(f"{example + 1}", MUTED)]
        for i, (line, fill) in enumerate(lines):
            paper.text(x, y + size[0] + 6 + 18 * i, line, size=13, fill=fill, width=size[1])

    def paper(self, title: str, lines: list[str], width: float, height: float) -> tuple[Paper, int]:
        if self.artifacts[: len(self.examples)].any():
            lines = [*lines, "Outlined patches: tokens of outstanding norm. Brightness there is a sink, not evidence."]
        if len(self.examples) < len(self.record.images):
            lines = [*lines, f"The first {len(self.examples)} of {len(self.record.images)} examples."]
        width = max(width, MIN_SHEET_WIDTH)
        paper = Paper(width=width, height=height + drawing.heading_height(len(lines)) + MARGIN)
        return paper, paper.heading(title, lines, width - 2 * MARGIN)

    def scale(self) -> str:
        uniform = drawing.number(self.uniform[0])
        name = self.style.colour_map.capitalize()
        return f"{name}: darkest = 0, uniform attention = {uniform}; a row shares one scale, its top stands at its bar."


def verdict(record: AttentionRecord, example: int) -> tuple[str, str, bool | None]:
    """What the model says with its probability, what is true, and whether it is right (None: not known)."""
    predicted = int(record.predictions[example])
    said = f"{record.class_name(predicted)} {drawing.percent(float(record.probabilities[example, predicted]))}"
    if record.labels is None or record.labels[example] < 0:
        return said, "", None
    label = int(record.labels[example])
    right = label == predicted
    return said, "right" if right else f"true: {record.class_name(label)}", right


def captions(record: AttentionRecord) -> list[str]:
    """One line for every example: number, prediction, probability, truth."""
    rows = (verdict(record, i)[:2] for i in range(len(record.images)))
    return [f"{i + 1}: {said}" + (f" ({truth})" if truth else "") for i, (said, truth) in enumerate(rows)]


def probe_sheet(record: AttentionRecord, style: Style) -> Sheet:
    """The pictures as the model sees them, with prediction, truth and, where known, the object's box."""
    painter = _Painter(record, style)
    columns = min(4, len(painter.examples))
    h, w = painter.size(columns)
    step_x, step_y = max(w, 120) + 2 * GAP, h + TEXT_ROOM + GAP
    rows = -(-len(painter.examples) // columns)
    lines = [f"Step {record.step}. The pixels as the model sees them, its prediction and probability."]
    if record.boxes is not None:
        lines.append("White box: the object that decides the label. The model never sees the box.")
    title = "Probe pictures"
    paper, top = painter.paper(title, lines, 2 * MARGIN + columns * step_x, rows * step_y)
    for i in painter.examples:
        painter.picture(paper, MARGIN + i % columns * step_x, top + i // columns * step_y, i, (h, w))
    return Sheet(image=paper.array(), title=title, caption=f"Step {record.step}. " + "; ".join(captions(record)))


def overlay_sheet(record: AttentionRecord, style: Style) -> Sheet:
    """Picture and raw attention of the last layer, mean over heads, side by side; a row has one colour scale."""
    painter = _Painter(record, style)
    pairs = min(4, len(painter.examples))
    h, w = painter.size(2 * pairs, BAR_ROOM + pairs * GAP)
    step_x, step_y = 2 * w + 3 * GAP, h + TEXT_ROOM + GAP
    rows = -(-len(painter.examples) // pairs)
    maps, masses = reduce.raw_map(record), reduce.raw_prefix_mass(record)
    tops = [render.scale_top(maps[row * pairs : (row + 1) * pairs]) for row in range(rows)]
    title = "Attention pooling, mean over heads" if record.pooling == "map" else "Last layer, mean over heads"
    lines = [f"Step {record.step}. Colour: {READS[record.pooling]}.", painter.scale()]
    paper, top = painter.paper(title, lines, 2 * MARGIN + pairs * step_x + BAR_ROOM, rows * step_y)
    for i in painter.examples:
        x, y = MARGIN + i % pairs * step_x, top + i // pairs * step_y
        painter.picture(paper, x, y, i, (h, w))
        paper.paste(x + w + GAP // 2, y, painter.overlay(i, maps[i], tops[i // pairs], (h, w)))
        if record.token_layout.num_prefix_tokens:
            note = f"prefix tokens {drawing.percent(masses[i])}"
            paper.text(x + w + GAP // 2, y + h + 6, note, fill=MUTED, width=w)
    for row in range(rows):
        _bar(paper, MARGIN + pairs * step_x, top + row * step_y, h, tops[row], painter)
    caption = f"{' '.join(lines)} Brightest, by row: {', '.join(map(drawing.number, tops))}. "
    # One number stands for the sheet only where it has one row.
    vmax = tops[0] if rows == 1 else None
    return Sheet(image=paper.array(), title=title, caption=caption + "; ".join(captions(record)), vmin=0.0, vmax=vmax)


def heads_sheet(record: AttentionRecord, style: Style) -> Sheet:
    """Every head of the last layer (or of the attention pooling); a row is one picture with a scale of its own."""
    painter = _Painter(record, style)
    rows_BNT = reduce.raw_rows(record)
    layout = record.token_layout
    title = "Attention pooling, every head" if record.pooling == "map" else "Last layer, every head"
    return _rows_sheet(
        painter,
        title=title,
        line=f"Step {record.step}. Colour: {READS[record.pooling]}.",
        columns=[f"head {n}" for n in range(rows_BNT.shape[1])],
        maps_BKP=layout.patches(rows_BNT),
        masses_BK=layout.prefix(rows_BNT).sum(axis=-1),
    )


def layers_sheet(record: AttentionRecord, style: Style) -> Sheet:
    """The mean over heads of every layer, then what the pooling reads, then rollout."""
    painter = _Painter(record, style)
    layout = record.token_layout
    rows_BKT = reduce.layer_rows(record).mean(axis=2).transpose(1, 0, 2)
    columns = [f"layer {layer}" for layer in range(rows_BKT.shape[1])]
    if record.pooling == "map":
        rows_BKT = np.concatenate([rows_BKT, reduce.raw_rows(record).mean(axis=1)[:, None]], axis=1)
        columns.append("pooling")
    reads = READS["gap" if record.pooling == "map" else record.pooling].split(" (")[0]
    return _rows_sheet(
        painter,
        title="Every layer, mean over heads, then rollout",
        line=f"Step {record.step}. Layers: {reads}. Rollout: attention followed through all layers.",
        columns=[*columns, "rollout"],
        maps_BKP=np.concatenate([layout.patches(rows_BKT), reduce.rollout_map(record)[:, None]], axis=1),
        masses_BK=layout.prefix(rows_BKT).sum(axis=-1),
    )


def _rows_sheet(painter: _Painter, *, title, line, columns, maps_BKP, masses_BK) -> Sheet:
    h, w = painter.size(1 + len(columns), BAR_ROOM + GAP)
    step_x, step_y, header = w + GAP, h + TEXT_ROOM + GAP, 22
    lines = [line, painter.scale()]
    width = 2 * MARGIN + (1 + len(columns)) * step_x + GAP + BAR_ROOM
    paper, top = painter.paper(title, lines, width, header + len(painter.examples) * step_y)
    left = MARGIN + step_x + GAP
    for k, name in enumerate(columns):
        paper.text(left + k * step_x, top, name if w >= 60 else name.split()[-1], fill=MUTED, width=w)
    tops = [render.scale_top(maps_BKP[i]) for i in painter.examples]
    for i in painter.examples:
        y = top + header + i * step_y
        painter.picture(paper, MARGIN, y, i, (h, w))
        for k in range(len(columns)):
            paper.paste(left + k * step_x, y, painter.overlay(i, maps_BKP[i, k], tops[i], (h, w)))
            if painter.record.token_layout.num_prefix_tokens and k < masses_BK.shape[1]:
                note = f"prefix {drawing.percent(masses_BK[i, k])}"
                paper.text(left + k * step_x, y + h + 6, note, size=12, fill=MUTED, width=w)
        _bar(paper, left + len(columns) * step_x, y, h, tops[i], painter)
    numbers = ", ".join(f"{i + 1}: {drawing.number(tops[i])}" for i in painter.examples)
    caption = f"{line} {painter.scale()} Brightest, by row: {numbers}."
    return Sheet(image=paper.array(), title=title, caption=caption)


def _bar(paper: Paper, x: int, y: int, height: int, vmax: float, painter: _Painter) -> None:
    paper.colour_bar(x, y, height, vmin=0.0, vmax=vmax, colour_map=painter.style.colour_map, mark=painter.uniform)


def sheets(record: AttentionRecord, style: Style | None = None) -> dict[str, Sheet]:
    """All sheets of one capture, by the key under which the dashboard shows them."""
    style = style or Style()
    return {
        "attention/probe": probe_sheet(record, style),
        "attention/self/overlay": overlay_sheet(record, style),
        "attention/self/heads": heads_sheet(record, style),
        "attention/self/layers": layers_sheet(record, style),
    }
