"""Builds the content of the viewer's page as one JSON-ready dict, from captures.

    {title, colors, methods, notes, runs: [{name, grid, ..., examples, captures, layouts}], blocks: [base64, ...]}

A block is the deflated bytes of `rows.pack`; captures refer to blocks by number. A read-out block belongs to one
capture and one image, its `layout` (shared by many) lists the names of its tables and their numbers of rows.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps.records.trust_report import effort_words, source_words
from vitcross.attention_maps.sheets import color_maps
from vitcross.attention_maps.sheets.render import resize, to_rgb
from vitcross.attention_maps.viewer.budget import Fitted, Matrices, fit
from vitcross.attention_maps.viewer.capture import CompactCapture, describe, example_facts
from vitcross.attention_maps.viewer.images import data_uris
from vitcross.metric_keys import METHODS

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord

_SAME_IMAGE = 12.0  # mean difference of two 8 x 8 thumbnails, of 255


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """The captures of one run, oldest first, and the whole record of the last of them."""

    name: str
    captures: list[CompactCapture]
    record: AttentionRecord

    @functools.cached_property
    def matrices(self) -> Matrices:
        """The matrices of the last capture."""
        return Matrices(self.record)

    @functools.cached_property
    def images(self) -> dict[int, list[str]]:
        """Data URIs by the room given to them."""
        return {}

    def uris(self, room: int) -> list[str]:
        """The images as data URIs of at most `room` characters."""
        if room not in self.images:
            self.images[room] = data_uris(self.record.images, room)
        return self.images[room]


def payload(runs: list[Run], *, title: str, room: int, images: int, color_map: str, notes: list[str]) -> dict:
    """The page's content.

    Args:
        runs: one run, or two to compare, of the same examples in the same order.
        title: str.
        room: int, characters that images and blocks may take together; images: int, those for the images.
        color_map: str.
        notes: sentences to print first.
    """
    blocks: list[str] = []
    notes, content = list(notes), []
    for run in runs:
        uris = run.uris(images // len(runs))
        fitted = fit(run.captures, run.matrices, room // len(runs) - sum(map(len, uris)))
        who = f"{run.name}: " if len(runs) > 1 else ""
        notes += [who + note for note in fitted.notes]
        content.append(_run(run, fitted, uris, blocks))
    return {
        "title": title,
        "colors": color_maps.table(color_map).tobytes().hex(),
        "color_map": color_map,
        "methods": METHODS,
        "notes": notes,
        "runs": content,
        "blocks": blocks,
    }


def _run(run: Run, fitted: Fitted, uris: list[str], blocks: list[str]) -> dict:
    layouts: list[list] = []
    last = len(fitted.captures) - 1
    captures = []
    for k, (capture, readouts) in enumerate(zip(fitted.captures, fitted.readouts, strict=True)):
        places = _places(capture, run.captures[-1], fitted.examples)
        examples = [
            None
            if b is None
            else _example(capture, b, readouts, fitted.matrices[e] if k == last else {}, layouts, blocks)
            for e, b in enumerate(places)
        ]
        captures.append({"step": capture.step, "trust": _trust(capture, places), "examples": examples})
    return {
        "name": run.name,
        **describe(run.record),
        "examples": [{**example_facts(run.record, b), "image": uris[b]} for b in range(fitted.examples)],
        "captures": captures,
        "layouts": layouts,
    }


def _places(capture: CompactCapture, last: CompactCapture, examples: int) -> list[int | None]:
    """The place of each kept image of the last capture in another one; None where that lacks it."""
    wanted = last.example_index[:examples]
    if capture.example_index[:examples] == wanted:
        return list(range(examples))
    known = {index: b for b, index in enumerate(capture.example_index[:examples])}
    return [known.get(index) for index in wanted]


def _example(capture, b: int, readouts, matrices, layouts, blocks) -> dict:
    layout, content = readouts[b]
    if layout not in layouts:
        layouts.append(layout)
    return {
        **capture.facts[b],
        "layout": layouts.index(layout),
        "rows": _add(blocks, content),
        "matrices": {name: _add(blocks, matrix) for name, matrix in matrices.items()},
    }


def _add(blocks: list[str], content: bytes) -> int:
    blocks.append(base64.b64encode(content).decode("ascii"))
    return len(blocks) - 1


def _trust(capture: CompactCapture, places: list[int | None]) -> dict | None:
    """The report, with the numbers of single images in the order of the page."""
    if capture.trust is None:
        return None
    probes = {
        method: [None if b is None or b >= len(rows) else rows[b] for b in places]
        for method, rows in capture.trust["probes"].items()
    }
    known = capture.trust["measured"]
    shown = [known[b] for b in places if b is not None and b < len(known)]
    source = source_words(capture.trust["examples"], capture.trust["splits"], shown)
    effort = effort_words(*(capture.trust[name] for name in ("runs", "steps", "patches")))
    return {**capture.trust, "probes": probes, "source": source, "effort": effort}


def match(one, two) -> tuple[list[int], list[int], list[str]]:
    """Matches the examples of two records: `(rows of the first, rows of the second, sentences)`.

    They are matched by `example_index`, images from outside the data set (-1) by their place in batches of equal size.
    Equal indices of different data sets are recognized by their pixels.

    Raises:
        ValueError: where nothing matches.
    """
    own = (one.example_index < 0).all() and (two.example_index < 0).all() and len(one.images) == len(two.images)
    places = {int(index): row for row, index in enumerate(two.example_index) if index >= 0}
    pairs = [
        (a, a if own else places[int(index)])
        for a, index in enumerate(one.example_index)
        if own or int(index) in places
    ]
    same = [(a, b) for a, b in pairs if _same_image(one.images[a], two.images[b])]
    if not same:
        raise ValueError(
            "`compare` must hold captures of the same images as `records`. Received: example_index "
            f"{one.example_index.tolist()} and {two.example_index.tolist()}, of which {len(pairs)} are equal and none "
            "shows the same image"
        )
    notes = []
    if len(same) < max(len(one.images), len(two.images)):
        notes.append(
            f"The {len(same)} images that both runs have (of {len(one.images)} and {len(two.images)}) are compared, "
            "matched by their place in the data."
        )
    return [a for a, _ in same], [b for _, b in same], notes


def _same_image(one, two) -> bool:
    # Runs may see one image at different sizes.
    small = [resize(np.asarray(to_rgb(image)), (8, 8)).astype(np.float64) for image in (one, two)]
    return bool(np.abs(small[0] - small[1]).mean() < _SAME_IMAGE)
