"""Bundles everything that one capture hands to the sinks, which only write and upload it.

Shape legend: L blocks, N heads.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps.records.record import Prediction, prediction
from vitcross.attention_maps.sheets import color_maps
from vitcross.attention_maps.sheets.overlay_images import OverlayImages
from vitcross.attention_maps.sheets.sheet import Sheet
from vitcross.attention_maps.sheets.sheet_layout import Style
from vitcross.attention_maps.sheets.thumbnails import Thumbnails, thumbnails
from vitcross.attention_maps.sheets.trust_table import trust_table

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionMedia:
    """The output of one capture. What only some sinks show is computed on first access.

    Args:
        record: AttentionRecord, what was captured.
        sheets: dict key -> Sheet. Keys as in the dashboard: `attention/probe`, `attention/self/overlay`,
            `attention/self/methods`, `attention/self/heads`, `attention/self/layers`, for image-text models also
            `attention/cross/words`, `attention/cross/relevance`, `attention/cross/matrix`, `attention/cross/similarity`
            and `attention/self/text`, and one heat map depth x capture for each statistic, `attention_stats/<name>`.
        statistics: dict key -> float, the scalars of this capture, already sent with `scalars`.
        tables: dict name of the statistic -> (L, N) float64, mean over the probe set, this capture.
        viewer: str or None, the interactive viewer of all captures so far as one HTML page, at most 2 MB.
        color_map: str, the one of the sheets.
    """

    record: AttentionRecord
    sheets: dict[str, Sheet]
    statistics: dict[str, float] = dataclasses.field(default_factory=dict)
    tables: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    viewer: str | None = None
    color_map: str = "viridis"

    @property
    def step(self) -> int:
        """Optimizer step of the capture."""
        return self.record.step

    @functools.cached_property
    def predictions(self) -> list[Prediction]:
        """The prediction for each image."""
        return [prediction(self.record, example) for example in range(len(self.record.images))]

    @property
    def targets(self) -> list[str]:
        """What the maps of each image explain; empty where unknown."""
        return list(self.record.targets)

    @functools.cached_property
    def trust(self) -> dict | None:
        """The trust measurements as of `trust_table`; None where there are none."""
        return self.record.trust and trust_table(self.record.trust, self.record.maps)

    @functools.cached_property
    def thumbnails(self) -> Thumbnails:
        """Thumbnails of all maps of all images, in one image."""
        return thumbnails(self.record, Style(color_map=self.color_map))

    @functools.cached_property
    def overlay(self) -> OverlayImages:
        """The plain images with the levels of every map and the boxes, to be drawn over them."""
        return OverlayImages(self.record)

    @property
    def colors(self) -> list[str]:
        """The colors of the scale, from 0 up, as `#rrggbb`."""
        return ["#{:02x}{:02x}{:02x}".format(*color) for color in color_maps.table(self.color_map)[::17]]


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
