"""Holds one finished image and encodes it once, so that the dashboard and the local gallery show the same bytes.

Shape legend: H W pixels.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from vitcross.png import encode_png


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sheet:
    """One finished image for the dashboard, the gallery and the run folder.

    Args:
        image: (H, W, 3) uint8.
        title: str, short, without ids or class names.
        caption: str, what is shown, predictions, and the meaning of the colors.
        vmin, vmax: float or None, ends of the color scale; None where the sheet has no single scale.
    """

    image: np.ndarray
    title: str
    caption: str = ""
    vmin: float | None = None
    vmax: float | None = None

    def __post_init__(self):
        image = self.image
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
            raise ValueError(
                "`image` of a Sheet must be a uint8 array (H, W, 3). Received: "
                f"{getattr(image, 'dtype', type(image).__name__)} {getattr(image, 'shape', '')}"
            )

    @functools.cached_property
    def png(self) -> bytes:
        """The sheet as PNG bytes, encoded once."""
        return encode_png(self.image)
