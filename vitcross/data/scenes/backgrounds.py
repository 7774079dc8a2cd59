"""Draws textured backgrounds: each colors a random part of a gray texture from a bank made once per process."""

import colorsys
import functools
import random

import numpy as np
from PIL import Image, ImageChops, ImageDraw

KINDS = ("clouds", "stripes", "checks", "waves", "dots", "gradient", "weave")
NUM_SHADINGS = 64
_TILES_PER_KIND = 5
_BANK_SEED = 20240229
_GRAIN = 12  # gray levels of the fine grain, peak to peak


@functools.lru_cache(maxsize=2)
def texture_bank(side):
    """({kind: mode-L tiles of `side` x `side`}, mode-RGB grain tiles); depends on `side` only."""
    rng = np.random.default_rng(_BANK_SEED)
    makers = {"clouds": _clouds, "stripes": _stripes, "checks": _checks, "waves": _waves}
    makers |= {"dots": _dots, "gradient": _gradient, "weave": _weave}
    tiles = {kind: [_tile(makers[kind](rng, side)) for _ in range(_TILES_PER_KIND)] for kind in KINDS}
    grain = [Image.fromarray(rng.integers(0, _GRAIN, (side, side, 3), dtype=np.uint8)) for _ in range(3)]
    return tiles, grain


def draw_background(rng, size):
    """A mode-RGB image of `size` (height, width): two muted colors blended by a texture, plus fine grain."""
    height, width = size
    tiles, grain = texture_bank(3 * max(size))
    texture = random_part(rng, rng.choice(tiles[rng.choice(KINDS)]), width, height)
    first, second = muted_color(rng), muted_color(rng)
    image = Image.composite(
        Image.new("RGB", (width, height), first), Image.new("RGB", (width, height), second), texture
    )
    return ImageChops.add(image, random_part(rng, rng.choice(grain), width, height), 1, -_GRAIN // 2)


def random_part(rng, tile, width, height):
    """A random window of a tile."""
    left, top = rng.randrange(tile.width - width + 1), rng.randrange(tile.height - height + 1)
    return tile.crop((left, top, left + width, top + height))


@functools.lru_cache(maxsize=4096)
def shading(side, bank_side, number):
    """One of `NUM_SHADINGS` cloud textures of `side` x `side` pixels that shade objects."""
    rng = random.Random(number)
    return random_part(rng, rng.choice(texture_bank(bank_side)[0]["clouds"]), side, side)


def muted_color(rng):
    """An RGB triple of low saturation and medium brightness, unlike the color of any object."""
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.05, 0.32), rng.uniform(0.3, 0.68))
    return int(red * 255), int(green * 255), int(blue * 255)


def draw_clutter(rng, image, colors):
    """Draws distractors onto `image` in the given colors: lines, arcs and specks."""
    draw = ImageDraw.Draw(image)
    width, height = image.size
    unit = max(1, round(min(width, height) / 64))

    def point():
        return rng.uniform(0, width), rng.uniform(0, height)

    for _ in range(rng.randrange(4)):
        draw.line([point(), point()], fill=rng.choice(colors), width=unit)
    for _ in range(rng.randrange(3)):
        x, y = point()
        radius, start = rng.uniform(4, 12) * unit, rng.uniform(0, 360)
        draw.arc(
            (x - radius, y - radius, x + radius, y + radius),
            start,
            start + rng.uniform(40, 110),
            rng.choice(colors),
            unit,
        )
    for _ in range(rng.randrange(9)):
        x, y = point()
        draw.rectangle((x, y, x + rng.randrange(2) * unit, y + rng.randrange(2) * unit), fill=rng.choice(colors))


def _tile(values):
    values = values - values.min()
    return Image.fromarray((values * (255 / max(values.max(), 1e-6))).astype(np.uint8))


def _grid(rng, side):
    """Coordinates along and across a random direction, in pixels."""
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _clouds(rng, side):
    total = np.zeros((side, side), np.float32)
    for cells, weight in ((6, 1.0), (14, 0.5), (36, 0.25)):
        noise = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
        total += weight * np.asarray(noise.resize((side, side), Image.Resampling.BICUBIC))
    return total


def _stripes(rng, side):
    along, _ = _grid(rng, side)
    return np.tanh(2 * np.sin(along * (2 * np.pi / (side * rng.uniform(0.04, 0.12)))))


def _checks(rng, side):
    along, across = _grid(rng, side)
    period = side * rng.uniform(0.05, 0.13)
    return (np.floor(along / period) + np.floor(across / period)) % 2 + 0.3 * _clouds(rng, side)


def _waves(rng, side):
    along, across = _grid(rng, side)
    bend = side * 0.03 * np.sin(across * (2 * np.pi / (side * rng.uniform(0.15, 0.3))))
    return np.sin((along + bend) * (2 * np.pi / (side * rng.uniform(0.05, 0.1))))


def _dots(rng, side):
    along, across = _grid(rng, side)
    period = side * rng.uniform(0.035, 0.06)
    wave = np.sin(along * (2 * np.pi / period)) * np.sin(across * (2 * np.pi / period))
    return np.clip(wave, 0.1, 0.7) + 0.3 * _clouds(rng, side)


def _gradient(rng, side):
    along, _ = _grid(rng, side)
    return np.sin(along * (2 * np.pi / (side * rng.uniform(0.6, 1.2)))) + 0.3 * _clouds(rng, side)


def _weave(rng, side):
    along, across = _grid(rng, side)
    period = 2 * np.pi / (side * rng.uniform(0.02, 0.035))
    return np.maximum(np.sin(along * period), np.sin(across * period)) + 0.6 * _clouds(rng, side)
