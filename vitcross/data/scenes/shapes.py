"""Draws the eight shapes of the scenes as antialiased masks at any size and rotation."""

import functools
import math
from typing import NamedTuple

from PIL import Image, ImageChops, ImageDraw

SUPERSAMPLE = 4
TURNS = 48  # rotations that occur, evenly spaced


def _regular(points, *, radii=(1.0,)):
    step = 2 * math.pi / points
    return [
        (radii[k % len(radii)] * math.sin(k * step), -radii[k % len(radii)] * math.cos(k * step)) for k in range(points)
    ]


def _heart(points=28):
    # The usual parametric heart, scaled into the unit circle around its center.
    outline = []
    for k in range(points):
        t = 2 * math.pi * k / points
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        outline.append((16 * math.sin(t) ** 3 / 16.6, -(y + 2.5) / 16.6))
    return outline


_ARM = 0.34
# Outlines inside the unit circle, y pointing down; None: drawn from circles.
OUTLINES = {
    "circle": None,
    "square": _regular(4),
    "triangle": _regular(3),
    "star": _regular(10, radii=(1.0, 0.42)),
    "cross": [
        (x * 0.94, y * 0.94)
        for x, y in (
            (-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM), (1, _ARM), (_ARM, _ARM),
            (_ARM, 1), (-_ARM, 1), (-_ARM, _ARM), (-1, _ARM), (-1, -_ARM), (-_ARM, -_ARM),
        )
    ],
    "heart": _heart(),
    "crescent": None,
    "ring": None,
}  # fmt: skip
SHAPES = tuple(OUTLINES)


class Stamp(NamedTuple):
    """Mask and soft shadow (mode L) of an object, and its tight box x_min, y_min, x_max, y_max."""

    mask: Image.Image
    shadow: Image.Image
    box: tuple[int, int, int, int]


@functools.lru_cache(maxsize=8192)
def object_stamp(shape, *, radius, turn):
    """The cached `Stamp` of a shape of `radius` pixels, rotated by `turn` / TURNS of a full turn."""
    mask = draw_mask(shape, radius=radius, rotation=2 * math.pi * turn / TURNS)
    shadow = ImageChops.multiply(mask, Image.new("L", mask.size, 102))
    # Faint edges do not count as part of the object.
    return Stamp(mask, shadow, ImageChops.subtract(mask, Image.new("L", mask.size, 95)).getbbox())


def mask_side(radius):
    """Side length of the mask in pixels."""
    return 2 * math.ceil(radius) + 2


def draw_mask(shape, *, radius, rotation):
    """A mode-L mask (255 inside) of side `mask_side(radius)` with a centered shape, rotated by `rotation` radians."""
    side = mask_side(radius)
    mask = Image.new("L", (side * SUPERSAMPLE, side * SUPERSAMPLE))
    draw = ImageDraw.Draw(mask)
    middle, scale = side * SUPERSAMPLE / 2, radius * SUPERSAMPLE
    cos, sin = math.cos(rotation) * scale, math.sin(rotation) * scale
    outline = OUTLINES[shape]
    if outline is not None:
        draw.polygon([(middle + cos * x - sin * y, middle + sin * x + cos * y) for x, y in outline], fill=255)
        return mask.reduce(SUPERSAMPLE)
    _disc(draw, middle, middle, scale * (0.9 if shape == "circle" else 1.0), 255)
    if shape == "ring":
        _disc(draw, middle, middle, scale * 0.58, 0)
    elif shape == "crescent":
        _disc(draw, middle + 0.5 * cos, middle + 0.5 * sin, scale * 0.76, 0)
    return mask.reduce(SUPERSAMPLE)


def _disc(draw, x, y, radius, fill):
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
