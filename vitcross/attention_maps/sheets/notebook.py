"""Makes an overlay that a notebook displays as an image.

Shape legend: H W C pixels.
"""

from __future__ import annotations

from PIL import Image

from vitcross.attention_maps.sheets import render

SIDE = 320  # longer side in pixels; smaller images are enlarged by a whole factor


def overlay(image, attention_map, *, size=None, **options) -> Image.Image:
    """An attention map in colors over the image, from 0 to its maximum or to `vmax`.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3) uint8, the pixels that the model saw (`record.images[0]`).
        attention_map: (grid_height, grid_width), e.g. `record.token_layout.to_grid(relevance(model, batch)[0])`.
        size: (height, width) in pixels; None: about 320 pixels.
        **options: as of `vitcross.attention_maps.sheets.render.overlay`, which returns the array.

    Returns:
        PIL.Image.Image, RGB; notebooks show it, `.save(path)` writes it.
    """
    size = size or render.panel_size(render.to_rgb(image).shape[:2], SIDE)
    return Image.fromarray(render.overlay(image, attention_map, size=size, **options))
