"""Reads pixels of more than 8 bits and scales them to 8, by a given range of values or by the bits that they use.

Cameras and scanners store 10, 12 or 14 bits in files of 16: divided by 65,535 their images would be nearly black.
Shape letters: H W C pixels.
"""

import numpy as np
from PIL import Image

from vitcross.data.problems import UnreadableImage

_WHOLE_TOPS = tuple(2**bits - 1 for bits in (8, 10, 12, 14, 16))
_FLOATING_TOPS = (1, 255)
_GRAY = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")


def deep_file(image):
    """What `deep_values` needs of an opened Pillow image that has more than 8 bits a channel; None where it has 8.

    Of a PNG in color Pillow keeps 8 bits: its bytes; else no bytes. To be called before the image is decoded.
    """
    if image.mode in _GRAY:
        return b""
    if not _rawmode(image).startswith(("RGB;16", "RGBA;16", "RGBX;16", "LA;16")):
        return None
    return image.fp.getvalue() if image.format == "PNG" else b""


def deep_values(image, png):
    """`(values, opacity)` of a deep image: (H, W) or (H, W, 3) int64 or float64, and (H, W) uint8 or None.

    Args:
        image: `PIL.Image.Image`, opened.
        png: bytes of `deep_file`.

    Raises:
        ValueError: if a value is not finite.
    """
    if png:
        values = _png_values(png)
    else:
        image.load()
        values = np.asarray(image)
        if values.dtype == np.uint8:
            values = values.astype(np.int64) * 257  # of a TIFF in color Pillow keeps the upper 8 bits
        values = values.astype(np.float64 if image.mode == "F" else np.int64)
    if not np.isfinite(values).all():
        raise ValueError("floating-point pixels that are not finite are not an image")
    if values.ndim == 2 or values.shape[-1] == 3:
        return values, None
    colors = values[..., :-1]
    return colors[..., 0] if colors.shape[-1] == 1 else colors, (values[..., -1] // 257).astype(np.uint8)


def used_range(low, high):
    """(low, high), the values of black and white for pixels from `low` to `high`.

    Whole numbers fill the fewest of 8, 10, 12, 14 or 16 bits; floating-point values [0, 1] or [0, 255]; values outside
    of these fill their own range.
    """
    tops = _FLOATING_TOPS if isinstance(high, float) else _WHOLE_TOPS
    return next(((0, top) for top in tops if low >= 0 and high <= top), (low, high))


def to_eight_bits(values, value_range):
    """Values of any shape -> uint8: the low end of the range is 0, the high end 255; values outside are clipped."""
    low, high = value_range
    return np.rint(np.clip((values - low) * (255.0 / max(high - low, 1e-12)), 0, 255)).astype(np.uint8)


def eight_bits(image, png, value_range):
    """A deep image as a Pillow image of 8 bits: mode L, RGB or RGBA.

    Args:
        image, png: as in `deep_values`.
        value_range: (low, high), or None: the `used_range` of this image alone.
    """
    values, opacity = deep_values(image, png)
    made = to_eight_bits(values, value_range or used_range(values.min().item(), values.max().item()))
    if opacity is None:
        return Image.fromarray(made)
    colors = made if made.ndim == 3 else np.repeat(made[..., None], 3, axis=-1)
    return Image.fromarray(np.dstack([colors, opacity]))


def find_value_range(source, *, sample=32):
    """The `used_range` of the deep images among `sample` examples spread over a source; None where none is deep."""
    ends = []
    for index in np.unique(np.linspace(0, len(source) - 1, min(sample, len(source))).astype(int)):
        try:
            image = source.image(int(index), source.record(int(index)))
            if image.is_deep:
                values = image.values()
                ends.append((values.min().item(), values.max().item()))
        except UnreadableImage:
            continue  # counted when it is read
    if not ends:
        return None
    return used_range(min(low for low, _ in ends), max(high for _, high in ends))


def _rawmode(image):
    """How the decoder of an opened image unpacks its pixels: `RGB;16B`, for example."""
    args = image.tile[0][3] if getattr(image, "tile", None) else ""
    return str(args[0] if isinstance(args, tuple) and args else args)


def _png_values(png):
    """All 16 bits of a PNG in color; TensorFlow is imported for such files only."""
    import tensorflow as tf

    return tf.io.decode_png(png, dtype=tf.uint16).numpy().astype(np.int64)
