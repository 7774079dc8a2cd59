"""What the gallery knows of each capture; kept in the page itself, so that a run that goes on keeps earlier ones."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class SheetEntry:
    """One sheet of one capture: what it is and the file that holds it, relative to the page."""

    key: str
    title: str
    caption: str
    file: str
    width: int
    height: int
    vmax: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thumbnails:
    """All maps of one capture in one file: a grid of `rows` probes by `columns` (`"image"`, then methods; each with the
    name that is shown), cells of `width` x `height` pixels."""

    file: str
    columns: dict[str, str]
    rows: int
    width: int
    height: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class CaptureEntry:
    """One capture: its step, its images, for every probe `(said, truth, right or None)` and what its maps explain,
    what was measured of its methods (`trust_table`), the small images of all maps, and the colors of the scale."""

    step: int
    images: list[SheetEntry]
    probes: list
    targets: list[str] = dataclasses.field(default_factory=list)
    trust: dict | None = None
    thumbnails: Thumbnails | None = None
    colors: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def from_json(cls, content: dict) -> CaptureEntry:
        """The capture of a `dataclasses.asdict`."""
        images = [SheetEntry(**image) for image in content["images"]]
        thumbnails = content.get("thumbnails")
        return cls(**content | {"images": images, "thumbnails": thumbnails and Thumbnails(**thumbnails)})

    @property
    def files(self) -> list[str]:
        """Every file that the page shows of it, relative to the page."""
        return [image.file for image in self.images] + ([self.thumbnails.file] if self.thumbnails else [])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extra:
    """What other sinks wrote beside the page: the viewer, and the animation with its size in pixels."""

    viewer: str | None = None
    animation: str | None = None
    size: tuple[int, int] = (0, 0)
