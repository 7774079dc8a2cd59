"""Chooses what of a run fits into the page, and describes what is left out.

The read-out rows of all captures come first, in the richest of three tiers that fits; then the matrices of the last
capture, in which patches are queries: the most useful ones first, for as many images as possible.
"""

from __future__ import annotations

import dataclasses
import re

from vitcross.attention_maps.viewer.capture import CompactCapture
from vitcross.attention_maps.viewer.rows import pack
from vitcross.attention_maps.viewer.tables import matrix_names, matrix_rows

# (what is kept of each capture, share of the room that all read-out rows may take)
TIERS = (
    ("all layers and heads", 0.45),
    ("the mean of the heads of all layers, and the heads of the last layer", 0.55),
    ("the mean of the heads of the last layer", 0.75),
)
_GROUPS = (
    "rollout",
    "the last layer, mean of heads",
    "the last layer, single heads",
    "the other layers, mean of heads",
    "the other layers, single heads",
)
LEAST_CAPTURES = 2


@dataclasses.dataclass
class Fitted:
    """The chosen parts of one run.

    Fields:
        captures: those kept, oldest first.
        examples: int, how many of the images are kept.
        readouts: for every capture, for every example `(names and counts of its rows, deflated bytes)`.
        matrices: for every example name -> deflated bytes, of the last capture.
        notes: sentences about what was left out.
    """

    captures: list[CompactCapture]
    examples: int
    readouts: list[list[tuple]]
    matrices: list[dict[str, bytes]]
    notes: list[str]


def encoded_size(content: bytes) -> int:
    """Characters of `content` in base64, with the surrounding JSON."""
    return 4 * -(-len(content) // 3) + 24


class Matrices:
    """The deflated matrices of one record, each computed on first use."""

    def __init__(self, record):
        self.groups = matrix_names(record)
        self._record, self._known = record, {}

    def __call__(self, example: int, name: str) -> bytes:
        if (example, name) not in self._known:
            self._known[example, name] = pack([matrix_rows(self._record, example, name)])
        return self._known[example, name]


def fit(captures: list[CompactCapture], matrices: Matrices, room: int) -> Fitted:
    """Choose what of a run fits into `room` characters.

    Args:
        captures: oldest first, at least one.
        matrices: those of the last capture.
        room: int, characters for all blocks together.
    """
    kept, examples, tier, readouts, used = _choose_readouts(captures, room)
    chosen, notes = _choose_matrices(matrices, examples, room - used)
    total = len(captures[-1].example_index)
    if len(captures) > 1:
        notes.insert(
            0, f"Earlier captures contain only the rows of the read-out and of each word, of {TIERS[tier][0]}."
        )
    elif tier:
        notes.insert(0, f"The rows of the read-out and of each word are those of {TIERS[tier][0]}.")
    if len(kept) < len(captures):
        notes.insert(0, f"{len(kept)} of the {len(captures)} captures are kept.")
    if examples < total:
        notes.insert(0, f"The first {examples} of the {total} images are kept.")
    return Fitted(kept, examples, readouts, chosen, notes)


def _choose_readouts(captures, room):
    """`(captures, number of examples, tier, blocks, characters)`: captures, and then images, are left out only where
    the poorest tier does not fit."""
    examples, kept = len(captures[-1].example_index), list(captures)
    while True:
        for tier, (_, share) in enumerate(TIERS):
            readouts = [_readout(capture, tier, examples) for capture in kept]
            used = sum(encoded_size(content) for blocks in readouts for _, content in blocks)
            if used <= share * room:
                return kept, examples, tier, readouts, used
        if len(kept) > LEAST_CAPTURES:
            # Every second one, counted from the last, and always the first.
            kept = [c for c in kept if c is kept[0] or (len(kept) - 1 - kept.index(c)) % 2 == 0]
            kept = [kept[0], kept[-1]] if len(kept) <= 3 else kept
        elif examples > 1:
            examples = -(-examples // 2)
        else:
            return kept, examples, tier, readouts, used


def _readout(capture: CompactCapture, tier: int, examples: int) -> list[tuple]:
    if tier not in capture.packed:
        blocks = []
        for rows in capture.rows:
            names = [name for name in rows if _in_tier(name, tier, rows)]
            layout = [[name, len(rows[name].scale)] for name in names]
            blocks.append((layout, pack([rows[name] for name in names])))
        capture.packed[tier] = blocks
    return capture.packed[tier][:examples]


def _in_tier(name: str, tier: int, names) -> bool:
    match = re.fullmatch(r"(layer|cross)/(\d+)/(mean|heads)", name)
    if tier == 0 or not match:
        return tier < 2 or not name.endswith("/heads")
    kind, layer, part = match.groups()
    last = f"{kind}/{int(layer) + 1}/mean" not in names
    return (last or part == "mean") if tier == 1 else (last and part == "mean")


def _choose_matrices(matrices: Matrices, examples: int, room: int):
    """`(for every example name -> bytes, sentences)`: as many matrices as fit into `room` characters."""
    found: list[dict[str, bytes]] = [{} for _ in range(examples)]
    notes = []
    for label, names in zip(_GROUPS, matrices.groups, strict=True):
        wanted = [(name, example) for name in names for example in range(examples)]
        for count, (name, example) in enumerate(wanted):
            content = matrices(example, name)
            if encoded_size(content) > room:
                notes.append(_left_out(label, wanted[:count], len(names), examples))
                break
            room -= encoded_size(content)
            found[example][name] = content
    return found, [f"Patches as queries: {'; '.join(notes)}."] if notes else []


def _left_out(label: str, kept: list[tuple], layers: int, examples: int) -> str:
    if not kept:
        return f"no room for {label}"
    if layers == 1:
        return f"{label}, for the first {len(kept)} of {examples} images"
    return f"{label}, for {len(kept)} of {layers * examples} layers of images, the last layers first"
