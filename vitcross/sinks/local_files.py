"""Writes the run folder: configuration, metrics, summary, sheets and records as plain files.

    config.yaml                  the resolved configuration
    metrics.jsonl                one JSON object per line, appended and flushed row by row
    summary.json                 final metrics and exit state, written at the end
    attention/step_00000500/     one PNG per sheet, and record.npz
    attention/viewer.html        the interactive viewer of all captures so far
    attention/evolution.gif      the animation of all captures, written at the end

All files but `metrics.jsonl` are replaced as a whole. The JSON is strict (RFC 8259) so that any parser reads it: values
that are not finite are `null`, a gap in a curve.
"""

import logging
import os
import shutil
from pathlib import Path

from vitcross import atomic_files
from vitcross.attention_maps.sheets.media import file_name, folder_name
from vitcross.metric_keys import EPOCH
from vitcross.pages.json_text import to_json
from vitcross.sinks.sink import Sink

logger = logging.getLogger(__name__)


class LocalFiles(Sink):
    """Writes the run folder. The sink is essential: if rows cannot be written (disk full), the run ends.

    Args:
        run_folder: str or path, created when needed.
        config_text: str or None, content of `config.yaml`.
        record_megabytes: float, most MiB of weights in one `record.npz`; of a larger one the first images are kept.
        resume_from: None for a new run; else `(step, rows)` from which it is resumed: later rows and captures are
            removed, since the run makes them again.

    Raises:
        OSError: from any method; the message names the file.
    """

    essential = True

    def __init__(self, *, run_folder, config_text=None, record_megabytes=64, resume_from=None):
        self._record_megabytes = record_megabytes
        self.run_folder = Path(run_folder)
        self.run_folder.mkdir(parents=True, exist_ok=True)
        if config_text is not None:
            atomic_files.write_text(self.run_folder / "config.yaml", config_text)
        self._path = self.run_folder / "metrics.jsonl"
        # Unbuffered: every row is one write and can be read at once.
        self._rows = open(self._path, "ab", buffering=0)  # noqa: SIM115 (open for as long as the run)
        if resume_from is None:
            self._cut(self._path.read_bytes().count(b"\n"))
        else:
            self._remove_later(*resume_from)

    def scalars(self, step, values):
        """Append one row: `step`, `epoch` if it is known, then the rest in the given order."""
        row = {"step": int(step)}
        if EPOCH in values:
            row[EPOCH] = values[EPOCH]
        line = (to_json(row | values) + "\n").encode()
        try:
            written = self._rows.write(line)
        except OSError as error:  # its message names no file
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        if written != len(line):
            raise OSError(f"the disk took {written} of {len(line)} bytes of a row: {self._path}")

    def media(self, step, media):
        folder = self.run_folder / "attention" / folder_name(step)
        for key, sheet in media.sheets.items():
            atomic_files.write_bytes(folder / file_name(key), sheet.png)
        if media.viewer is not None:
            atomic_files.write_text(folder.parent / "viewer.html", media.viewer)
        kept = media.record.within(self._record_megabytes)
        kept.save(folder / "record.npz")
        if step == 0 and len(kept.images) < len(media.record.images):
            logger.info(
                "record.npz of each capture holds the weights of the first %d of %d images: all of them need more than "
                "attention_maps.record_megabytes=%g",
                len(kept.images),
                len(media.record.images),
                self._record_megabytes,
            )

    def animation(self, step, gif):
        atomic_files.write_bytes(self.run_folder / "attention" / "evolution.gif", gif)

    def close(self, summary, exit_code):
        """Write `summary.json`; `exit_code` is added to it."""
        self._rows.close()
        content = to_json({**summary, "exit_code": int(exit_code)}, indent=2) + "\n"
        atomic_files.write_text(self.run_folder / "summary.json", content)

    def flush(self):
        os.fsync(self._rows.fileno())

    def _remove_later(self, step, rows):
        (self.run_folder / "summary.json").unlink(missing_ok=True)  # it describes an earlier end
        self._cut(rows)
        for folder in (self.run_folder / "attention").glob("step_*"):
            if folder.name > folder_name(step):
                shutil.rmtree(folder)
        for folder in (self.run_folder, *(self.run_folder / "attention").glob("**/")):
            for half_written in folder.glob(".*.writing"):
                half_written.unlink()

    def _cut(self, rows):
        # A killed process may leave half a row, to which the next row must not be appended.
        lines = self._path.read_bytes().splitlines(keepends=True)
        os.truncate(self._path, sum(map(len, lines[:rows])))


def count_rows(run_folder):
    """Number of complete rows in a run folder's `metrics.jsonl`."""
    path = Path(run_folder) / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0
