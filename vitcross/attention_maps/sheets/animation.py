"""Animates how the maps changed while the model trained: one frame per capture, one color scale per image.

It is a GIF, because browsers, READMEs and dashboards play it.

Shape legend: B images, P patches, M captures; H W pixels of a frame.
"""

from __future__ import annotations

import dataclasses
import functools
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from vitcross.attention_maps.methods import rollout
from vitcross.attention_maps.records.record import AttentionRecord, Prediction, prediction
from vitcross.attention_maps.records.trust_report import source_words
from vitcross.attention_maps.sheets import drawing, render
from vitcross.attention_maps.sheets.drawing import BAR_ROOM, GAP, INK, LINE, MARGIN, MUTED, RIGHT, WRONG, Canvas
from vitcross.attention_maps.sheets.sheet_layout import Style
from vitcross.pages.numbers import number

if TYPE_CHECKING:
    from vitcross.layers.token_layout import TokenLayout

METHODS = ("relevance", "rollout")  # the first one that every capture has is shown
MOST_BYTES = 400_000
MOST_FRAMES = 24
MOST_IMAGES = 8
COLUMNS = 4
# Longer side of a panel and number of colors: the first with which the animation is small enough.
SIZES = ((128, 255), (128, 128), (128, 64), (96, 64), (64, 64), (48, 32))
FRAME_MILLISECONDS, LAST_MILLISECONDS = 700, 2800
TEXT_ROOM, BAR_HEIGHT = 46, 6
HEADING_LINES = 3


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """The parts of a record that the animation needs, without the weights.

    Fields:
        step: int.
        images: (B, H, W, C) uint8, at most the first 8.
        maps: method -> (B, P), those of `METHODS` that exist.
        predictions: tuple of B `Prediction`.
        words: method -> str, the measured verdict, e.g. "follows the model, gap +0.31 on 64 examples"; may be empty.
        token_layout, patch_size, boxes, masks, mark_boxes: as in the record.
    """

    step: int
    images: np.ndarray
    maps: dict[str, np.ndarray]
    predictions: tuple[Prediction, ...]
    words: dict[str, str]
    token_layout: TokenLayout
    patch_size: tuple[int, int]
    boxes: np.ndarray | None
    masks: np.ndarray | None
    mark_boxes: np.ndarray | None


def frame_of(record: AttentionRecord) -> Frame:
    """The frame of a capture."""
    count = min(len(record.images), MOST_IMAGES)
    methods = [method for method in METHODS if method in rollout.methods_of(record)]
    return Frame(
        step=record.step,
        images=record.images[:count],
        maps={method: rollout.read_map(record, method)[:count] for method in methods},
        predictions=tuple(prediction(record, i) for i in range(count)),
        words=trust_words(record.trust),
        token_layout=record.token_layout,
        patch_size=record.patch_size,
        boxes=None if record.boxes is None else record.boxes[:count],
        masks=None if record.masks is None else record.masks[:count],
        mark_boxes=None if record.mark_boxes is None else record.mark_boxes[:count],
    )


def trust_words(trust) -> dict[str, str]:
    """method -> verdict, e.g. `follows the model, gap +0.31 on 64 validation examples`; {} without a report."""
    if trust is None:
        return {}
    where = source_words(trust.examples, trust.splits)
    return {m: f"{row.words}, gap {row.gap:+.2f} on {where}" for m, row in trust.fidelity.items()}


def animation_gif(captures, style: Style | None = None) -> bytes:
    """The animation of the captures of one run, at most about 400 KB.

    It shows relevance where every capture has it, else rollout. Each image has one color scale in all frames, from 0 to
    its largest value in any frame, which is printed below it. Of more than 24 captures, 24 are shown, evenly chosen,
    including the first and the last.

    Args:
        captures: sequence of AttentionRecord or Frame, oldest first, of the same images.
        style: Style of the sheets; None for the default.

    Returns:
        bytes of an animated GIF that loops; the last frame is shown longest.

    Raises:
        ValueError: without captures, or where they show different images.
    """
    frames = [c if isinstance(c, Frame) else frame_of(c) for c in captures]
    if not frames:
        raise ValueError("`captures` must hold at least one capture. Received: none")
    count = min(len(frame.images) for frame in frames)  # a record read back may hold fewer images
    shapes = {frame.images.shape[1:] for frame in frames}
    if len(shapes) > 1:
        raise ValueError(f"`captures` must show the same images. Received: images of the shapes {sorted(shapes)}")
    animation = _Animation(frames, count, style or Style())
    for panel_size, num_colors in SIZES:
        content = animation.encode(panel_size, num_colors)
        if len(content) <= MOST_BYTES:
            break
    return content


class _Animation:
    """The frames of one animation with their common method and color scales."""

    def __init__(self, frames: list[Frame], count: int, style: Style):
        self.total, self.count, self.style = len(frames), count, style
        self.method = next(m for m in METHODS if all(m in frame.maps for frame in frames))
        maps_MBP = np.stack([frame.maps[self.method][:count] for frame in frames])
        self.tops = [render.scale_top(maps_MBP[:, i]) for i in range(count)]
        chosen = np.unique(np.linspace(0, self.total - 1, min(self.total, MOST_FRAMES)).round().astype(int))
        self.frames = [(int(number), frames[number]) for number in chosen]
        self._drawn = functools.cache(self._draw_all)  # two attempts may share a panel size

    def encode(self, panel_size: int, num_colors: int) -> bytes:
        images = self._drawn(panel_size)
        # With one palette and no dithering, unchanged pixels stay equal, and `optimize` leaves them out of a frame.
        # Maximum coverage keeps the rare colors of small objects, which a median cut would lose.
        sample = np.concatenate([np.asarray(image)[::3, ::3] for image in images])
        palette = Image.fromarray(sample).quantize(num_colors, method=Image.Quantize.MAXCOVERAGE)
        first, *rest = (image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images)
        durations = [FRAME_MILLISECONDS] * len(rest) + [LAST_MILLISECONDS]
        file = io.BytesIO()
        first.save(file, "GIF", save_all=True, append_images=rest, duration=durations, loop=0, optimize=True)
        return file.getvalue()

    def _draw_all(self, panel_size: int) -> list[Image.Image]:
        return [Image.fromarray(self._draw(number, frame, panel_size)) for number, frame in self.frames]

    def _draw(self, number: int, frame: Frame, panel_size: int) -> np.ndarray:
        h, w = render.panel_size(frame.images.shape[1:3], panel_size)
        columns = min(COLUMNS, self.count)
        step_x, step_y = 2 * w + 3 * GAP, h + TEXT_ROOM + GAP
        width = max(2 * MARGIN + columns * step_x + BAR_ROOM, 640)
        top = drawing.heading_height(HEADING_LINES) + BAR_HEIGHT + GAP
        canvas = Canvas(width=width, height=top + -(-self.count // columns) * step_y + MARGIN // 2)
        self._heading(canvas, number, frame, width)
        for i in range(self.count):
            self._image(canvas, MARGIN + i % columns * step_x, top + i // columns * step_y, frame, i, (h, w))
        bar_x = MARGIN + columns * step_x
        canvas.color_bar(bar_x, top, h, vmin=0.0, vmax=1.0, color_map=self.style.color_map)
        canvas.text(bar_x, top + h + 6, "of its top", size=12, fill=MUTED)
        return canvas.array()

    def _heading(self, canvas: Canvas, number: int, frame: Frame, width: int) -> None:
        words = frame.words.get(self.method, "whether it can be trusted was not measured at this step")
        lines = [
            f"Step {frame.step:,}, capture {number + 1} of {self.total}.",
            f"{self.method.capitalize()}: {words}.",
            "Every image has one scale in all frames, from 0 to the value below it.",
        ]
        y = canvas.heading(f"{self.method.capitalize()} while the model trains", lines, width - 2 * MARGIN)
        share = number / max(1, self.total - 1)
        right = width - MARGIN
        canvas.draw.rectangle((MARGIN, y - GAP, right, y - GAP + BAR_HEIGHT), fill=LINE)
        canvas.draw.rectangle((MARGIN, y - GAP, MARGIN + share * (right - MARGIN), y - GAP + BAR_HEIGHT), fill=INK)

    def _image(self, canvas: Canvas, x: int, y: int, frame: Frame, i: int, size) -> None:
        image = render.to_rgb(frame.images[i])
        pixels = np.array(render.resize(image, size))
        if frame.masks is not None and frame.masks[i].any():
            drawing.draw_outline(pixels, frame.masks[i])
        elif frame.boxes is not None:
            drawing.draw_box(pixels, frame.boxes[i])
        if frame.mark_boxes is not None:
            drawing.draw_box(pixels, frame.mark_boxes[i], dashed=True)
        canvas.paste(x, y, pixels)
        panel = render.overlay(
            image,
            frame.token_layout.to_grid(frame.maps[self.method][i]),
            vmax=self.tops[i],
            opacity=self.style.opacity,
            color_map=self.style.color_map,
            resampling=self.style.resampling,
            patch_size=frame.patch_size,
            size=size,
        )
        canvas.paste(x + size[1] + GAP // 2, y, panel)
        text, _, correct = frame.predictions[i]
        color = INK if correct is None else RIGHT if correct else WRONG
        room = 2 * size[1] + GAP // 2
        canvas.text(x, y + size[0] + 6, f"{i + 1}. {text}", fill=color, width=room)
        canvas.text(x, y + size[0] + 24, f"top {number(self.tops[i])}", size=12, fill=MUTED, width=room)
