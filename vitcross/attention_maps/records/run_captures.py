"""Reads the captures in a run's folder one at a time, since all their weights together take much memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from vitcross.attention_maps.records.record import AttentionRecord

logger = logging.getLogger(__name__)


def run_captures(folder, *, before: int | None = None, skip_unreadable: bool = True) -> Iterator[AttentionRecord]:
    """Yields the records of `FOLDER/step_*/record.npz`, oldest first.

    Args:
        folder: str or path, a run's `attention` folder.
        before: int, captures at this step or later are not read: a resumed run makes them again.
        skip_unreadable: bool, skip a file that cannot be read, with a warning. False: raise its error.

    Raises:
        ValueError, OSError: for a file that cannot be read.
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
