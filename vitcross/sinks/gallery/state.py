"""What the gallery knows of each capture; kept in the page itself, so that a run that goes on keeps earlier ones."""

from __future__ import annotations

import dataclasses

from vitcross.attention_maps.records.trust_report import TrustReport


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
    """All maps of one capture in one file: a grid of `rows` probes by `columns`, cells of `width` x `height` pixels."""

    file: str
    columns: list[str]
    rows: int
    width: int
    height: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class CaptureEntry:
    """One capture: its step, its images, for every probe `(said, truth, right or None)` and what its maps explain,
    the methods of which the record holds maps, what was measured of them, and the small images of all maps."""

    step: int
    images: list[SheetEntry]
    probes: list
    targets: list[str] = dataclasses.field(default_factory=list)
    held: list[str] = dataclasses.field(default_factory=list)
    trust: TrustReport | None = None
    thumbnails: Thumbnails | None = None

    @classmethod
    def from_json(cls, content: dict) -> CaptureEntry:
        """The capture of a `dataclasses.asdict`; pages of an older program know of neither trust nor thumbnails."""
        trust, thumbnails = content.get("trust"), content.get("thumbnails")
        return cls(
            **content
            | {
                "images": [SheetEntry(**image) for image in content["images"]],
                "trust": trust and TrustReport.from_json(trust),
                "thumbnails": thumbnails and Thumbnails(**thumbnails),
            }
        )

    @property
    def files(self) -> list[str]:
        """Every file that the page shows of it, relative to the page."""
        return [image.file for image in self.images] + ([self.thumbnails.file] if self.thumbnails else [])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extra:
    """What other sinks wrote beside the page: the viewer, and the animation with its size in pixels."""

    viewer: str | None = None
    animation: str | None = None
    film_size: tuple[int, int] = (0, 0)
