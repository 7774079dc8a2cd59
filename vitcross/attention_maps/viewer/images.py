"""Encodes the images of the page as data URIs: exact where they are small, reduced where they are many or large."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from vitcross.attention_maps.sheets.render import to_rgb
from vitcross.png import encode_png

LONGEST_SIDE = 512
_EXACT = 24_000  # bytes of a PNG that is kept as it is
_QUALITIES = ((1, 88), (2, 85), (4, 80))  # (divide the sides by, JPEG quality)


def data_uris(images, budget: int) -> list[str]:
    """One data URI per image (B, H, W, C) uint8: PNG where that is small, else JPEG, reduced until all fit into
    `budget` characters or the smallest size is reached."""
    found: list[str] = []
    for divisor, quality in _QUALITIES:
        found = [_data_uri(to_rgb(image), divisor, quality) for image in images]
        if sum(map(len, found)) <= budget:
            break
    return found


def _data_uri(pixels: np.ndarray, divisor: int, quality: int) -> str:
    png = encode_png(pixels) if divisor == 1 and max(pixels.shape) <= LONGEST_SIDE else b""
    if png and len(png) <= _EXACT:
        return _uri("png", png)
    image = Image.fromarray(pixels)
    share = min(1.0, LONGEST_SIDE / max(image.size)) / divisor
    if share < 1.0:
        image = image.resize([max(1, round(side * share)) for side in image.size], Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return _uri("jpeg", file.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
