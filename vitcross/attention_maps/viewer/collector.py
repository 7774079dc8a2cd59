"""Makes the interactive viewer: all captures of a run, or two runs side by side, in one HTML file that opens from disk.

`write_viewer` writes it once. `Viewer` is for training: it keeps every capture in compact form and the weights of the
last one, so that the page can be written again after each. The page uses no network, storage or `eval`; everything of
a run is JSON in which no `<` occurs, and the page shows it as text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitcross.atomic_files import write_text
from vitcross.attention_maps.records.record import AttentionRecord
from vitcross.attention_maps.viewer.capture import CompactCapture, compact
from vitcross.attention_maps.viewer.payload import Run, match, payload
from vitcross.pages.html_page import html_page

if TYPE_CHECKING:
    from collections.abc import Iterable

BUDGET = 2_000_000  # bytes of the whole page
SMALLEST_BUDGET = 200_000
ASSETS = "attention_maps/viewer/assets"
SCRIPTS = ("data", "maps", "scale", "draw", "words", "labels", "trust", "overview", "controls", "app")
IMAGES_SHARE = 0.2  # of the page


class Viewer:
    """Collects the captures of one run and makes the page.

    Args:
        title: str, name of the run.
        color_map: `"viridis"` or `"inferno"`.
        budget: int, bytes that the page may have.

    Attributes:
        captures: list of CompactCapture, oldest first.
        record: the record that was added last; older ones are not kept.

    Raises:
        ValueError: where `budget` is too small for the page itself.
    """

    def __init__(self, *, title: str = "", color_map: str = "viridis", budget: int = BUDGET):
        if budget < SMALLEST_BUDGET:
            raise ValueError(f"`budget` must be at least {SMALLEST_BUDGET} bytes. Received: budget={budget}")
        self.title, self.color_map, self.budget = title, color_map, budget
        self.captures: list[CompactCapture] = []
        self.record: AttentionRecord | None = None

    def add(self, record: AttentionRecord) -> None:
        """Add a capture; it replaces those at its step or later, as in a resumed run."""
        if self.record is not None and (record.text is None) != (self.record.text is None):
            kinds = ["without texts" if r.text is None else "with texts" for r in (self.record, record)]
            raise ValueError(
                f"`record` must be of the same kind as those before it, {kinds[0]}. Received: one {kinds[1]}"
            )
        self.captures = [*(c for c in self.captures if c.step < record.step), compact(record)]
        self.record = record

    def html(self) -> str:
        """The page of all captures so far.

        Raises:
            ValueError: before the first capture.
        """
        if self.record is None:
            raise ValueError("`records` must hold at least one capture. Received: none")
        return build_page([Run(name=self.title, captures=self.captures, record=self.record)], self)

    def write(self, path) -> None:
        """Write the page atomically."""
        write_text(path, self.html())


def build_page(runs: list[Run], settings: Viewer, notes: Iterable[str] = ()) -> str:
    """The page of one or two runs, as rich as the budget allows."""
    room = settings.budget
    look = {"title": settings.title, "color_map": settings.color_map, "notes": list(notes)}
    while True:
        content = payload(runs, room=max(room, 0), images=int(IMAGES_SHARE * settings.budget), **look)
        text = html_page(
            "attention_maps/viewer/page.html",
            policy="img-src data:",
            styles=[f"{ASSETS}/viewer.css"],
            scripts=[f"{ASSETS}/{name}.js" for name in SCRIPTS],
            title="Attention viewer",
            payload=content,
        )
        excess = len(text.encode("utf-8")) - settings.budget
        # The size of everything else (words, trust, scripts) is known only now.
        if excess <= 0 or room <= 0:
            return text
        room -= excess + 1000


def write_viewer(
    records, path, compare=None, names=None, *, title: str = "", color_map: str = "viridis", budget: int = BUDGET
) -> None:
    """Write the interactive viewer: one HTML file that needs neither network nor anything beside it.

    Args:
        records: AttentionRecord, or an iterable of them: the captures of one run, oldest first.
        path: str or path, e.g. `attention/viewer.html`; replaced as a whole.
        compare: captures of a second run, shown side by side with the first; None: one run. Examples are matched by
            `example_index`, images from outside the data set (-1) by their order.
        names: pair of str, names of the two runs; None: "A" and "B".
        title: str.
        color_map: `"viridis"` or `"inferno"`.
        budget: int, bytes that the file may have; the page lists what did not fit.

    Raises:
        ValueError: where there is no record, or the two runs have no image in common.
    """
    if compare is None:
        viewer = _collect(records, title=title, color_map=color_map, budget=budget)
        viewer.write(path)
        return
    names = ("A", "B") if names is None else tuple(str(name) for name in names)
    if len(names) != 2:
        raise ValueError(f"`names` must be a pair of names. Received: {names!r}")
    records, compare = _as_list(records, "records"), _as_list(compare, "compare")
    first_rows, second_rows, notes = match(records[-1], compare[-1])
    chosen = [
        [record.select_examples(last, rows) for record in group]
        for group, last, rows in ((records, records[-1], first_rows), (compare, compare[-1], second_rows))
    ]
    settings = Viewer(title=title or " and ".join(names), color_map=color_map, budget=budget)
    runs = []
    for name, group in zip(names, chosen, strict=True):
        viewer = _collect([record for record in group if record is not None])
        runs.append(Run(name=name, captures=viewer.captures, record=viewer.record))
    write_text(path, build_page(runs, settings, notes))


def _as_list(records, name: str) -> list:
    records = [records] if isinstance(records, AttentionRecord) else list(records)
    if not records:
        raise ValueError(f"`{name}` must hold at least one capture. Received: none")
    return records


def _collect(records, **settings) -> Viewer:
    viewer = Viewer(**settings)
    # One at a time: an iterable may read records from disk, and only the last one is kept.
    for record in [records] if isinstance(records, AttentionRecord) else records:
        viewer.add(record)
    return viewer
