"""Decodes bytes or files to upright 8-bit gray or RGB images with Pillow.

It handles EXIF-rotated, CMYK, deep (`deep_pixels.py`), palette, animated (first frame) and transparent (on white)
images. Shape letters: H W C pixels.
"""

import io
import os
import re

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from vitcross.data.problems import UnreadableImage
from vitcross.data.sources import deep_pixels
from vitcross.data.sources.image_rules import raster_formats

# Larger images are rejected before decoding, since a few kilobytes can unpack to gigabytes.
MAX_PIXELS = 2**26
# EXIF orientation -> the operation that makes the image upright; from 5 on it swaps height and width.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)


class EncodedImage:
    """An image that is opened (header read) but not yet decoded.

    Args:
        content: bytes, a path, or a uint8 array (h, w), (h, w, 1) or (h, w, 3).
        name: str, its name in error messages.

    Raises:
        UnreadableImage: if Pillow does not know the format or the image is larger than `MAX_PIXELS`.
    """

    def __init__(self, content, *, name):
        self.name = name
        self._image = self._guarded(lambda: _open(content))
        width, height = self._image.size
        if width * height > MAX_PIXELS:
            raise UnreadableImage(name, f"{width} x {height} pixels, the limit is {MAX_PIXELS} pixels")
        self._deep = deep_pixels.deep_file(self._image)  # before the orientation, for which Pillow may decode a PNG
        self._orientation = _orientation(self._image)

    @property
    def size(self):
        """(height, width) of the upright image."""
        width, height = self._image.size
        return (width, height) if self._orientation in _SIDEWAYS else (height, width)

    @property
    def is_deep(self):
        """Whether it has more than 8 bits a channel."""
        return self._deep is not None

    def values(self):
        """The values of a deep image without its opacity, as stored (`deep_pixels.deep_values`)."""
        return self._guarded(lambda: deep_pixels.deep_values(self._image, self._deep))[0]

    def load(self, *, channels, at_least=None, value_range=None):
        """Decodes to an upright PIL image, mode L (channels = 1) or RGB (3).

        Args:
            channels: 1 or 3.
            at_least: (height, width); JPEG decodes at 1/2, 1/4 or 1/8 of its size if that is large enough.
            value_range: (low, high), the values of black and white in a deep image; None: those that it uses.
        """
        return self._guarded(lambda: self._upright(channels, at_least, value_range))

    def _upright(self, channels, at_least, value_range):
        if self._deep is not None:
            return _load(
                deep_pixels.eight_bits(self._image, self._deep, value_range), channels, None, self._orientation
            )
        return _load(self._image, channels, at_least, self._orientation)

    def _guarded(self, function):
        try:
            return function()
        except MemoryError:
            raise
        except Image.DecompressionBombError as error:  # far above Pillow's own limit; it does not say width and height
            pixels = "".join(re.findall(r"\d+ pixels", str(error))[:1])
            raise UnreadableImage(
                self.name, f"{pixels or 'too many pixels'}, the limit is {MAX_PIXELS} pixels"
            ) from None
        except UnidentifiedImageError:
            raise UnreadableImage(self.name, "no image in a known format") from None
        except Exception as error:  # noqa: BLE001 - decoders raise almost anything on broken input (struct, zlib, Syntax...)
            raise UnreadableImage(self.name, f"{type(error).__name__}: {error}") from None


def to_array(image):
    """PIL image of mode L or RGB -> (H, W, C) uint8."""
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _open(content):
    if isinstance(content, np.ndarray):
        if content.dtype != np.uint8:
            raise ValueError(f"an array of pixels must be uint8, received {content.dtype}")
        if content.ndim == 3 and content.shape[-1] == 1:
            content = content[..., 0]
        return Image.fromarray(content)
    if isinstance(content, (bytes, bytearray, memoryview)):
        return Image.open(io.BytesIO(content), formats=raster_formats())
    if os.path.getsize(content) == 0:
        raise ValueError("the file is empty")
    with open(content, "rb") as file:  # read completely, so that no file handle stays open
        return Image.open(io.BytesIO(file.read()), formats=raster_formats())


def _orientation(image):
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001 - broken metadata does not make the image unreadable
        return 1


def _load(image, channels, at_least, orientation):
    mode = "L" if channels == 1 else "RGB"
    if at_least is not None and image.format == "JPEG":
        height, width = at_least[::-1] if orientation in _SIDEWAYS else at_least
        image.draft(None, (max(1, int(np.ceil(width))), max(1, int(np.ceil(height)))))
    image.load()
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image if image.mode == mode else image.convert(mode)
