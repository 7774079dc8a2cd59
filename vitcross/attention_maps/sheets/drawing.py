"""Draws the parts of a sheet with Pillow: text, color bars, panels, boxes.

Positions are in pixels, (x, y), from the top left.
"""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image, ImageDraw

from vitcross.attention_maps.sheets import color_maps
from vitcross.attention_maps.sheets.fonts import drawable, font, missing_scripts, runs
from vitcross.pages.numbers import number

PAPER = (250, 250, 248)
INK = (28, 30, 34)
MUTED = (104, 108, 116)
LINE = (214, 214, 208)
RIGHT = (0, 112, 84)
WRONG = (186, 46, 30)
NAMES_OBJECT = (34, 84, 176)  # words whose objects are known
MARGIN = 28
GAP = 10
BAR_WIDTH = 14
_LINES = ((20, 20, 20), (255, 255, 255), (255, 255, 255), (20, 20, 20))  # of a box, from the outside inwards
DASH = 7  # pixels of a dash, and of a gap
HEADING_SIZE = 14  # of the lines below a title
# Room right of the panels for a color bar with its numbers.
BAR_ROOM = 84


@functools.lru_cache(maxsize=4096)
def text_width(text: str, size: int) -> float:
    """Width in pixels of a text on one line."""
    # Raqm refuses the line breaks that a name may hold.
    return sum(font(size, path).getlength(part) for path, part in runs(one_line(text)))


def one_line(text) -> str:
    """A text as one line that can be drawn (`fonts.drawable`)."""
    # Half a surrogate pair has no glyph and no name.
    return drawable(" ".join(str(text).encode("utf-8", "replace").decode("utf-8").split()))


def wrap(text: str, size: int, width: float, max_lines: int) -> list[str]:
    """The text in lines of at most `width` pixels, cut with an ellipsis after `max_lines` of them."""
    words, lines = one_line(text).split(" "), []
    while words and len(lines) < max_lines - 1:
        count = 1
        while count < len(words) and text_width(" ".join(words[: count + 1]), size) <= width:
            count += 1
        lines.append(shorten(" ".join(words[:count]), size, width))
        words = words[count:]
    return [*lines, shorten(" ".join(words), size, width)] if words else lines


def shorten(text: str, size: int, width: float) -> str:
    """The text, cut with an ellipsis where it is wider than `width` pixels; control characters become spaces."""
    text = one_line(text)
    if text_width(text, size) <= width:
        return text
    # Longer texts are wider, so that bisection finds the longest that fits.
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        fits, too_long = (middle, too_long) if text_width(text[:middle] + "...", size) <= width else (fits, middle)
    return text[:fits].rstrip() + "..." if fits else ""


class Canvas:
    """The canvas on which a sheet is drawn.

    Args:
        width: int, pixels.
        height: int, pixels.
    """

    def __init__(self, *, width: int, height: int):
        self.image = Image.new("RGB", (int(width), int(height)), PAPER)
        self.draw = ImageDraw.Draw(self.image)
        self.missing = frozenset()  # scripts of texts that no font has
        self._panels = []  # copied at the end, in NumPy: Pillow would copy every panel three times

    def array(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        array = np.array(self.image)
        for x, y, panel in self._panels:
            array[y : y + panel.shape[0], x : x + panel.shape[1]] = panel
        return np.concatenate([array, self._note()]) if self.missing else array

    def _note(self) -> np.ndarray:
        """A strip to be added below, that says where the texts are that cannot be drawn."""
        strip = Canvas(width=self.image.width, height=26)
        scripts = ", ".join(name if name == "CJK" else name.capitalize() for name in sorted(self.missing))
        note = (
            f"No font here has these letters: {scripts}. The HTML page has the text; on Debian, fonts-noto has fonts."
        )
        strip.text(MARGIN, 2, note, size=12, fill=MUTED, width=self.image.width - 2 * MARGIN)
        return strip.array()

    def text(self, x, y, text, *, size=13, fill=INK, width=None, anchor="la"):
        """One line of text, cut at `width`; the anchor is Pillow's (`la`: left, top)."""
        text = one_line(text) if width is None else shorten(text, size, width)
        parts = runs(text)
        self.missing |= missing_scripts(text)
        if len(parts) > 1:  # all on one baseline
            x -= {"l": 0, "m": 0.5, "r": 1}[anchor[0]] * text_width(text, size)
            ascent, descent = font(size).getmetrics()
            y += {"a": ascent, "m": (ascent - descent) / 2, "s": 0}[anchor[1]]
            anchor = "ls"
        for path, part in parts:
            self.draw.text((x, y), part, font=font(size, path), fill=fill, anchor=anchor)
            x += font(size, path).getlength(part)

    def paste(self, x, y, panel: np.ndarray):
        """A panel (h, w, 3) uint8, with a hairline around it; nothing can be drawn over it."""
        height, width = panel.shape[:2]
        self.draw.rectangle((x - 1, y - 1, x + width, y + height), outline=LINE)
        self._panels.append((int(x), int(y), panel))

    def color_bar(self, x, y, height, *, vmin, vmax, color_map, mark=None):
        """A vertical color bar with its numbers; `mark` (value, word) adds a tick if the value is within the scale."""
        shares = np.linspace(1, 0, int(height))[:, None].repeat(BAR_WIDTH, axis=1)
        self.paste(x, y, color_maps.colors(shares, color_map, 0.0, 1.0))
        label_x = x + BAR_WIDTH + 7
        self.text(label_x, y - 2, number(vmax), size=12)
        self.text(label_x, y + height + 2, number(vmin), size=12, anchor="ls")
        if mark is None or vmax <= vmin:
            return
        value, word = mark
        level = y + (height - 1) * (1 - (value - vmin) / (vmax - vmin))
        # A tick too close to an end would print over its number.
        if y + 22 < level < y + height - 24:
            self.draw.line((x + BAR_WIDTH, level, x + BAR_WIDTH + 4, level), fill=MUTED)
            self.text(label_x, level, number(value), size=11, fill=MUTED, anchor="ls")
            self.text(label_x, level + 1, word, size=11, fill=MUTED)

    def heading(self, title: str, lines: list[str], width: float) -> int:
        """Title and lines below it, from the top left; returns the y where the content may start."""
        self.text(MARGIN, MARGIN - 6, title, size=22, width=width)
        for i, line in enumerate(lines):
            self.text(MARGIN, MARGIN + 26 + 19 * i, line, size=HEADING_SIZE, fill=MUTED, width=width)
        return heading_height(len(lines))


def draw_outline(panel: np.ndarray, mask) -> None:
    """The outline of an object's mask (H, W) bool on a panel (h, w, 3), in place, in the colors of `draw_box`."""
    mask = np.asarray(mask, bool)
    rows, columns = (np.arange(side) * extent // side for side, extent in zip(panel.shape[:2], mask.shape, strict=True))
    level = mask[np.ix_(rows, columns)]
    for color in _LINES:
        around = np.pad(level, 1)
        inner = level & around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
        panel[level & ~inner] = color
        level = inner


def draw_box(panel: np.ndarray, box, dashed: bool = False) -> None:
    """An object's box on a panel (h, w, 3), in place: white between two dark hairlines, visible on anything.

    Args:
        panel: (h, w, 3) uint8.
        box: (y_min, x_min, y_max, x_max) in [0, 1].
        dashed: bool, for the box of something else.
    """
    h, w = panel.shape[:2]
    before = panel.copy()
    y_min, x_min = (int(np.clip(round(box[i] * side), 0, side - 1)) for i, side in ((0, h), (1, w)))
    y_max, x_max = (int(np.clip(round(box[i + 2] * side), 1, side)) for i, side in ((0, h), (1, w)))
    for inset, color in enumerate(_LINES):
        top, left, bottom, right = y_min + inset, x_min + inset, y_max - inset, x_max - inset
        if bottom - top > 1 and right - left > 1:
            panel[[top, bottom - 1], left:right] = color
            panel[top:bottom, [left, right - 1]] = color
    if dashed:
        gaps = np.add.outer(np.arange(h), np.arange(w)) // DASH % 2 == 1
        panel[gaps] = before[gaps]


def heading_height(num_lines: int) -> int:
    """The y where the content below a heading may start."""
    return MARGIN + 26 + 19 * num_lines + 16
