"""What the gallery knows of each capture; kept in the page itself, so that a resumed run keeps earlier ones."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class CaptureEntry:
    """One capture as the page's template and its JSON have it; files are named relative to the page.

    Args:
        step: int.
        images: for each sheet a dict of `key`, `title`, `caption`, `file`, `width`, `height` and `vmax`.
        probes: `[text, truth, correct or None]` of each probe.
        targets: what the maps of each probe explain; empty where that is not known.
        trust: what was measured of the maps (`trust_table`), or None.
        thumbnails: all maps in one file, a dict of `file`, `columns` (key -> name), `rows`, and of a cell's `width` and
            `height` in pixels; or None.
        colors: those of the scale, from 0 up, `#rrggbb`.
    """

    step: int
    images: list[dict]
    probes: list[list]
    targets: list[str] = dataclasses.field(default_factory=list)
    trust: dict | None = None
    thumbnails: dict | None = None
    colors: list[str] = dataclasses.field(default_factory=list)

    @property
    def files(self) -> list[str]:
        """Every file that the page shows of it."""
        return [part["file"] for part in [*self.images, *([self.thumbnails] if self.thumbnails else [])]]
