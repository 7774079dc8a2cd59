"""Reads the captures that a run has left in its folder, one after the other: nobody needs all their weights at once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from vitcross.attention_maps.records.record import AttentionRecord

logger = logging.getLogger(__name__)


def run_captures(folder, *, before: int | None = None, skip_unreadable: bool = True) -> Iterator[AttentionRecord]:
    """The records of `FOLDER/step_*/record.npz`, oldest first; each is read when it is asked for.

    Args:
        folder: str or path, a run's `attention` folder.
        before: int, captures of this step and later ones are left out, not even read: a resumed run makes them again.
        skip_unreadable: bool, name a file that cannot be read in a warning and leave it out. False: raise its error.

    Raises:
        ValueError, OSError: of a file that cannot be read.
    """
    for path in sorted(Path(folder).glob("step_*/record.npz")):
        if before is not None and int(path.parent.name.removeprefix("step_")) >= before:
            continue
        try:
            record = AttentionRecord.load(path)
        except (ValueError, OSError) as error:
            if not skip_unreadable:
                raise
            logger.warning("A capture that cannot be read is left out: %s", error)
            continue
        yield record
