"""What one capture hands to the sinks: the record, its sheets, its numbers; and the file name of each sheet.

A sheet is encoded once and every sink uses the same bytes, so that the dashboard and the local gallery cannot
disagree.

Shape legend: H W pixels, L blocks, N heads.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import TYPE_CHECKING

import numpy as np

from vitcross.png import encode_png

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sheet:
    """One finished image for the dashboard, the gallery and the run folder.

    Args:
        image: (H, W, 3) uint8.
        title: str, short, without ids or class names.
        caption: str, what is shown, predictions, and what the colors stand for.
        vmin: float or None, value at the bottom of the color scale; None when the sheet has no single scale.
        vmax: float or None, value at the top of the color scale; None when the sheet has no single scale.
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionMedia:
    """Everything that one capture produced.

    Args:
        record: AttentionRecord, what was captured.
        sheets: dict key -> Sheet. Keys as in the dashboard: `attention/probe`, `attention/self/overlay`,
            `attention/self/methods`, `attention/self/heads`, `attention/self/layers`, for image-text models also
            `attention/cross/words`, `attention/cross/relevance`, `attention/cross/matrix`, `attention/cross/similarity`
            and `attention/self/text`, and one heat map depth x capture for each statistic, `attention_stats/<name>`.
        statistics: dict key -> float, the scalars of this capture, already sent with `scalars`.
        tables: dict name of the statistic -> (L, N) float64, mean over the probe set, this capture.
        viewer: str or None, the interactive viewer of all captures so far as one HTML page, at most 2 MB.
    """

    record: AttentionRecord
    sheets: dict[str, Sheet]
    statistics: dict[str, float] = dataclasses.field(default_factory=dict)
    tables: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    viewer: str | None = None

    @property
    def step(self) -> int:
        """Optimizer step of the capture."""
        return self.record.step


def folder_name(step: int) -> str:
    """Folder of one capture below `attention/`: `step_00000500`."""
    return f"step_{step:08d}"


def file_name(key: str) -> str:
    """File of one sheet in its capture's folder: `attention/self/heads` -> `self_heads.png`.

    `attention_stats/entropy` -> `stats_entropy.png`. Raises ValueError for a key that would leave the folder.
    """
    stem = re.sub(r"^attention[/_]", "", key).replace("/", "_")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", stem):
        raise ValueError(f"The key of a sheet must consist of letters, digits, `_`, `-` and `/`. Received: key={key!r}")
    return stem + ".png"
