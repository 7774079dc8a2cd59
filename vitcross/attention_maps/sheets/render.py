"""Renders a map over an image: it resizes in patch space and colors last, keeping the resolution that was measured.

Shape legend: H W pixels, h w pixels of the panel, C channels.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from vitcross.attention_maps.sheets import color_maps
from vitcross.height_and_width import height_and_width

RESAMPLINGS = ("nearest", "bilinear")


def panel_size(image_size, longest: int) -> tuple[int, int]:
    """(height, width) at which an image is shown: the largest whole multiple up to `longest` pixels, or shrunk to it.

    Small images are enlarged by a whole factor, so that every pixel stays a square of one size.
    """
    height, width = image_size
    if max(height, width) <= longest:
        factor = longest // max(height, width)
        return height * factor, width * factor
    scale = longest / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def to_rgb(image) -> np.ndarray:
    """(H, W, 3) uint8 of an image with one, three or four channels (the fourth is left out) or none (H, W)."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise ValueError(f"`image` must be uint8, (H, W) or (H, W, C). Received: {image.dtype} {image.shape}")
    image = image[..., None] if image.ndim == 2 else image
    if image.shape[-1] in (1, 2):
        return np.repeat(image[..., :1], 3, axis=-1)
    return np.ascontiguousarray(image[..., :3])


def resize(image, size) -> np.ndarray:
    """(h, w, C) of uint8 (H, W, C): enlarged with hard pixels, shrunk with Lanczos."""
    shape = image.shape[:2]
    if shape[0] <= size[0] and shape[1] <= size[1]:
        return _take(image, *_nearest(shape, shape, 1, size))
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.LANCZOS))


def _check_grid(attention_map, resampling: str) -> None:
    if np.ndim(attention_map) != 2:
        raise ValueError(
            f"`attention_map` must be a grid (grid_height, grid_width). Received: shape {np.shape(attention_map)}"
        )
    if resampling not in RESAMPLINGS:
        raise ValueError(f"`resampling` must be one of {', '.join(RESAMPLINGS)}. Received: resampling={resampling!r}")


def _positions(grid, image_size, patch_size, size) -> list[np.ndarray]:
    """Where the center of every panel row and column lies, counted in patches: [0, grid)."""
    whole = [image_size[i] / grid[i] for i in (0, 1)]
    extent = whole if patch_size is None else height_and_width(patch_size, "patch_size")
    scale = [image_size[i] / size[i] / extent[i] for i in (0, 1)]
    return [np.clip((np.arange(size[i]) + 0.5) * scale[i], 0, np.nextafter(grid[i], 0)) for i in (0, 1)]


def _nearest(grid, image_size, patch_size, size) -> list[np.ndarray]:
    return [positions.astype(int) for positions in _positions(grid, image_size, patch_size, size)]


def _take(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return values.take(rows, axis=0).take(columns, axis=1)


def upsample(attention_map, image_size, patch_size=None, size=None, resampling: str = "nearest") -> np.ndarray:
    """Enlarge a grid of patches to pixels.

    A convolutional stem rounds its grid up: the part of the last patches that lies beyond the image is cut off.
    Neither method leaves the range of the values.

    Args:
        attention_map: (grid_height, grid_width).
        image_size: (height, width) of the image in pixels.
        patch_size: int or (height, width) in pixels; None: the grid covers the image exactly.
        size: (height, width) of the result; None: `image_size`.
        resampling: `"nearest"` shows the resolution as it is; `"bilinear"` is smoother than what was measured.

    Returns:
        (height, width) float64.
    """
    _check_grid(attention_map, resampling)
    values = np.nan_to_num(np.asarray(attention_map, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    if resampling == "nearest":
        return _take(values, *_nearest(values.shape, image_size, patch_size, size or image_size))
    for axis, positions in enumerate(_positions(values.shape, image_size, patch_size, size or image_size)):
        shifted = np.clip(positions - 0.5, 0, values.shape[axis] - 1)
        low = np.floor(shifted).astype(int)
        high = np.minimum(low + 1, values.shape[axis] - 1)
        share = np.expand_dims(shifted - low, 1 - axis)
        values = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return values


def scale_top(maps) -> float:
    """Top of the color scale that several maps share: their largest finite value, at least 0."""
    values = np.asarray(maps, np.float64)
    values = values[np.isfinite(values)]
    return max(float(values.max()), 0.0) if values.size else 0.0


def overlay(
    image,
    attention_map,
    *,
    vmin: float = 0.0,
    vmax: float | None = None,
    opacity: float = 0.7,
    color_map: str = "viridis",
    resampling: str = "nearest",
    patch_size=None,
    size=None,
    artifacts=None,
) -> np.ndarray:
    """An attention map in colors over the image, which is shown in gray so that every color means attention.

    Draw it on the pixels that the model saw (`record.images`), not on the original: the model may have seen a crop.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3) uint8.
        attention_map: (grid_height, grid_width), see `TokenLayout.to_grid`.
        vmin: float, value of the lowest color. 0 by default: a per-map minimum makes noise look structured.
        vmax: float or None, value of the highest color; None: the map's maximum. Share it over maps to compare.
        opacity: float in [0, 1], of the colors.
        color_map: `"viridis"` or `"inferno"`.
        resampling: `"nearest"` or `"bilinear"`.
        patch_size: int or (height, width) in pixels; None: the grid covers the image exactly.
        size: (height, width) of the result; None: the image's.
        artifacts: (grid_height, grid_width) bool or None, patches to outline.

    Returns:
        (height, width, 3) uint8.
    """
    if not 0.0 <= opacity <= 1.0:
        raise ValueError(f"`opacity` must be in [0, 1]. Received: opacity={opacity}")
    image = to_rgb(image)
    size = tuple(size or image.shape[:2])
    vmax = scale_top(attention_map) if vmax is None else vmax
    where = {"image_size": image.shape[:2], "patch_size": patch_size, "size": size}
    _check_grid(attention_map, resampling)
    if resampling == "nearest":
        # Nearest commutes with the color table, and a grid has far fewer values than a panel has pixels.
        values = color_maps.colors(attention_map, color_map, vmin, vmax)
        colored = _take(values, *_nearest(np.shape(attention_map), **where))
    else:
        values = upsample(attention_map, resampling=resampling, **where)
        colored = color_maps.colors(values, color_map, vmin, vmax)
    share = round(256 * opacity)
    mixed = colored * np.uint16(share) + gray(image, size)[..., None] * np.uint16(256 - share)
    result = (mixed >> 8).astype(np.uint8)
    if artifacts is not None:
        outline(result, artifacts, image.shape[:2], patch_size, color_map)
    return result


def gray(image, size) -> np.ndarray:
    """(h, w) uint16 in [0, 255], the lightness of an image (H, W, 3) at the size of a panel."""
    lightness = ((image @ np.array([77, 150, 29], np.uint16)) >> 8).astype(np.uint8)
    return resize(lightness, size).astype(np.uint16)


def outline(panel: np.ndarray, patches, image_size, patch_size, color_map: str) -> None:
    """Outline patches (grid_height, grid_width) bool on a panel (h, w, 3), in place."""
    if np.any(patches):
        size = panel.shape[:2]
        cells = _take(np.asarray(patches, bool), *_nearest(np.shape(patches), image_size, patch_size, size))
        panel[_border(cells, max(1, round(min(size) / 90)))] = color_maps.accent(color_map)


def _border(cells: np.ndarray, thickness: int) -> np.ndarray:
    """The pixels of a mask that lie within `thickness` of its border; the image's own border counts."""
    inner = np.pad(cells, thickness)
    for _ in range(thickness):
        around = [np.roll(inner, shift, axis) for axis in (0, 1) for shift in (-1, 1)]
        inner = inner & np.logical_and.reduce(around)
    return cells & ~inner[thickness:-thickness, thickness:-thickness]
