"""Lays out the sheets of one record: the examples and their panels, boxes, predictions and headings.

Shape legend: B batch, P patches; h w pixels of a panel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps.methods.statistics import artifact_patches
from vitcross.attention_maps.records.record import prediction
from vitcross.attention_maps.sheets import drawing, render
from vitcross.attention_maps.sheets.drawing import GAP, HEADING_SIZE, INK, MARGIN, MUTED, RIGHT, WRONG, Canvas
from vitcross.options.run import Style
from vitcross.pages.numbers import number

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord

MAX_WIDTH = 2600
MAX_EXAMPLES = 16  # a sheet with more is hard to read; the record holds them all
TEXT_ROOM = 46  # two lines below a panel
SMALLEST_PANEL = 48
MIN_SHEET_WIDTH = 640  # room for the heading


class SheetLayout:
    """The layout that all sheets of one record share: the examples shown, the size of a panel, the outlined patches.

    The `boxes` (K, 4) of every example are drawn on its image; None: those of the record.
    """

    def __init__(self, record: AttentionRecord, style: Style, boxes=None):
        self.record, self.style = record, style
        # A box without area: the object of this example is unknown.
        known = np.zeros((len(record.images), 4)) if record.boxes is None else record.boxes
        own = [box[None] if box.any() else () for box in known]
        self.boxes = list(own if boxes is None else boxes)
        has_masks = boxes is None and record.masks is not None
        self.masks = list(record.masks) if has_masks else [np.zeros(0, bool)] * len(record.images)
        layout = record.token_layout
        self.examples = range(min(len(record.images), MAX_EXAMPLES))
        self.artifacts = layout.to_grid(artifact_patches(record.token_norms, layout))
        self.uniform = (1.0 / layout.num_tokens, "uniform")

    def size(self, num_columns: int, room: int = 0) -> tuple[int, int]:
        """(h, w) of a panel where `num_columns` must fit side by side and `room` pixels stay free."""
        widest = (MAX_WIDTH - 2 * MARGIN - room) // num_columns - GAP
        return render.panel_size(self.record.images.shape[1:3], max(SMALLEST_PANEL, min(self.style.panel_size, widest)))

    def blocks(self, heights: list[int], width: int, gap: int, most: int | None = None):
        """Places for blocks of one width that stand beside each other in rows, at most `most` of them in a row.

        Returns:
            `(corners, width, height)`: (x, y) of each block from the top of the content, and the size of them all.
        """
        beside = max(1, min(len(heights), (MAX_WIDTH - 2 * MARGIN + gap) // (width + gap), most or len(heights)))
        tops = np.cumsum([0, *(max(heights[k : k + beside]) for k in range(0, len(heights), beside))])
        corners = [(MARGIN + i % beside * (width + gap), int(tops[i // beside])) for i in range(len(heights))]
        return corners, 2 * MARGIN + beside * (width + gap) - gap, int(tops[-1])

    def overlay(self, example: int, patches: np.ndarray, vmax: float, size) -> np.ndarray:
        return render.overlay(
            self.record.images[example],
            self.record.token_layout.to_grid(patches),
            vmax=vmax,
            opacity=self.style.opacity,
            color_map=self.style.color_map,
            resampling=self.style.resampling,
            patch_size=self.record.patch_size,
            size=size,
            artifacts=self.artifacts[example],
        )

    def image(self, canvas: Canvas, x: int, y: int, example: int, size, max_lines: int = 1, named=False) -> None:
        """Draw the pixels that the model saw, the object's box where known, and below them the prediction and, where
        `named`, the file's name."""
        canvas.paste(x, y, self.pixels(example, size))
        # A narrow panel has no room for words; the example's number refers to the caption.
        lines = self.prediction_lines(example, size[1], max_lines) if size[1] >= 90 else [(f"{example + 1}", MUTED)]
        lines += self.name_lines(example, size[1]) if named else []
        for i, (line, fill) in enumerate(lines):
            canvas.text(x, y + size[0] + 6 + 18 * i, line, size=13, fill=fill)

    def pixels(self, example: int, size) -> np.ndarray:
        """(h, w, 3) the pixels that the model saw, with artifact patches outlined and the object's box where known."""
        pixels = np.array(render.resize(render.to_rgb(self.record.images[example]), size))
        shape = self.record.images.shape[1:3]
        render.outline(pixels, self.artifacts[example], shape, self.record.patch_size, self.style.color_map)
        return self.with_boxes(pixels, example)

    def with_boxes(self, pixels: np.ndarray, example: int) -> np.ndarray:
        """Draw the outline of the example's mask, else its boxes, on a panel (h, w, 3), in place."""
        if self.masks[example].any():
            drawing.draw_outline(pixels, self.masks[example])
        else:
            for box in self.boxes[example]:
                drawing.draw_box(pixels, box)
        if self.record.mark_boxes is not None:
            drawing.draw_box(pixels, self.record.mark_boxes[example], dashed=True)
        return pixels

    @property
    def object_line(self) -> str | None:
        """What the white box or outline of an example is called; None where no object is known."""
        masked = [self.masks[i].any() for i in self.examples]
        boxed = [len(self.boxes[i]) > 0 and not found for i, found in zip(self.examples, masked, strict=True)]
        names = ["box"] * any(boxed) + ["outline"] * any(masked)
        return f"White {' or '.join(names)}" if names else None

    def prediction_lines(
        self, example: int, width: float, max_lines: int, size: int = 13
    ) -> list[tuple[str, tuple[int, int, int]]]:
        """Lines of at most `width` pixels with their colors: the prediction and the ground truth."""
        text, truth, correct = prediction(self.record, example)
        color = INK if correct is None else RIGHT if correct else WRONG
        lines = [(line, color) for line in drawing.wrap(f"{example + 1}. {text}", size, width, max_lines)]
        return lines + [(line, MUTED) for line in drawing.wrap(truth, size, width, max_lines)] if truth else lines

    def name_lines(self, example: int, width: float, size: int = 13) -> list[tuple[str, tuple[int, int, int]]]:
        """The name of the image's file, where it is known, as one line with its color."""
        names = self.record.image_names
        return [(drawing.shorten(drawing.drawable(names[example]), size, width), MUTED)] if names else []

    def canvas(
        self, title: str, lines: list[str], width: float, height: float, outlined: bool = True
    ) -> tuple[Canvas, int]:
        """A canvas with its heading, and the y where its content starts; `outlined`: the sheet shows images."""
        if outlined and self.artifacts[: len(self.examples)].any():
            lines = [*lines, "Outlined patches: tokens of outstanding norm. Brightness there is a sink, not evidence."]
        if len(self.examples) < len(self.record.images):
            lines = [*lines, f"The first {len(self.examples)} of {len(self.record.images)} examples."]
        width = max(width, MIN_SHEET_WIDTH)
        lines = [part for line in lines for part in drawing.wrap(line, HEADING_SIZE, width - 2 * MARGIN, 3)]
        canvas = Canvas(width=width, height=height + drawing.heading_height(len(lines)) + MARGIN)
        return canvas, canvas.heading(title, lines, width - 2 * MARGIN)

    def scale(self) -> str:
        uniform = number(self.uniform[0])
        name = self.style.color_map.capitalize()
        return f"{name}: darkest = 0, uniform attention = {uniform}; a row shares one scale, whose top is at its bar."
