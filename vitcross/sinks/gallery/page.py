"""Renders the gallery's page from its captures and curves; without scripts it lists the captures below each other."""

from __future__ import annotations

import dataclasses
import functools
import math

from vitcross.metric_keys import ANIMATION, MEDIA, SECTIONS, grounding, lookup, lookup_media, trust
from vitcross.pages.html_page import html_page
from vitcross.pages.numbers import number

STATE_ID = "captures"
SHEETS = {media.key: media for media in MEDIA if media.section in ("self", "text")}


def _column(measure, family=trust, field=None):
    """`(field of a method's row, title of the column, its meaning)`."""
    row = lookup(family("raw", measure))
    return field or measure, row.title, row.meaning + ("; in brackets: by chance" if row.reference == "chance" else "")


COLUMNS = (
    *map(_column, ("verdict", "gap", "deletion", "insertion")),
    (
        "gap_other",
        "Gap to another image's map",
        "the same against the map of another image; near 0: the map does not depend on the image",
    ),
    ("gap_center", "Gap to the center", "the same against pointing at the center; near 0: objects are there anyway"),
    *map(_column, ("gap_share", "sanity")),
    *(_column(measure, grounding) for measure in ("pointing", "lift")),
)
# Of a planted mark, which most runs do not have: not listed as missing.
MARK_COLUMNS = tuple(
    _column(measure, functools.partial(grounding, of="grounding_mark"), f"mark_{measure}")
    for measure in ("pointing", "lift")
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CaptureEntry:
    """One capture in the page's template and in its JSON, from which a resumed run reads the earlier captures.

    Paths of files are relative to the page.

    Args:
        step: int.
        images: for each sheet a dict of `key`, `title`, `caption`, `file`, `width`, `height` and `vmax`.
        probes: `[text, truth, correct or None]` of each probe.
        targets: what the maps of each probe explain; empty if it is not known.
        trust: trust measures of the maps (`trust_table`), or None.
        thumbnails: dict of the `file` with all maps, its `columns` (dict of key to name) and `rows`, and the `width`
            and `height` of a cell in pixels.
        colors: the color scale from 0 up, `#rrggbb`.
    """

    step: int
    images: list[dict]
    probes: list[list]
    targets: list[str]
    trust: dict | None
    thumbnails: dict
    colors: list[str]

    @property
    def files(self) -> list[str]:
        """Every file of the capture that the page shows."""
        return [part["file"] for part in (*self.images, self.thumbnails)]


def page(*, title, status, facts, captures, curves, explore) -> str:
    """The whole page.

    Args:
        title: str, name of the run.
        status: `"running"`, `"finished"`, `"stopped"` or `"failed"`.
        facts: list of (label, value) str.
        captures: list of CaptureEntry, oldest first.
        curves: dict of `trust`, `health` and `training` to a list of HTML figures.
        explore: dict of `viewer` and `animation`, files beside the page or None, and the animation's `size`.
    """
    keys = {image["key"] for capture in captures for image in capture.images}
    tables = [image for image in captures[-1].images if image["key"] not in SHEETS] if captures else []
    shown = {
        "trust": captures,
        "self": True,
        "text": any(SHEETS[key].section == "text" for key in keys & SHEETS.keys()),
        "explore": explore["viewer"] or explore["animation"],
        "health": [*curves["health"], *tables],
        "training": curves["training"],
    }
    measured = next((capture for capture in reversed(captures) if capture.trust), None)
    columns, missing = _columns(measured.trust["methods"] if measured else [])
    last = [("last step", number(captures[-1].step))] if captures else []
    return html_page(
        "sinks/gallery/page.html",
        policy="img-src 'self' file:; style-src-attr 'unsafe-inline'",
        scripts=["sinks/gallery/gallery.js"],
        title=f"{title} - attention",
        name=title,
        status=status,
        facts=[("captures", str(len(captures))), *last, *facts],
        captures=captures,
        sections={name: title for name, title in SECTIONS.items() if shown[name]},
        sheets=SHEETS,
        measured=measured,
        columns=columns,
        missing=missing,
        animation_question=lookup_media(ANIMATION).question,
        strip_column="relevance" if all("relevance" in c.thumbnails["columns"] for c in captures) else "rollout",
        tables=tables,
        curves=curves,
        explore=explore,
        state_id=STATE_ID,
        state=[vars(capture) for capture in captures],
    )


def _columns(rows):
    """The columns with numbers, and the titles of those without any, which are named below the table."""

    def known(column):
        return any(row[column[0]] is not None and math.isfinite(row[column[0]]) for row in rows)

    shown = [column for column in COLUMNS + MARK_COLUMNS if known(column)]
    return shown, [column[1] for column in COLUMNS if not known(column)]
