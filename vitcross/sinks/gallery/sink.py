"""The local gallery: `attention/index.html`, one page that opens from disk and shows how attention formed.

The page holds text, curves and links; images stay files beside it, the same bytes that go to the dashboard. It is
written anew, as a whole, after each capture and at the end.
"""

import json
import re
from pathlib import Path

from PIL import Image

from vitcross.atomic_files import write_bytes, write_text
from vitcross.attention_maps.records.record import prediction
from vitcross.attention_maps.sheets.media import file_name, folder_name
from vitcross.attention_maps.sheets.sheet_layout import Style
from vitcross.attention_maps.sheets.thumbnails import thumbnails
from vitcross.metric_keys import IMAGES_PER_SECOND, formatted, label, val
from vitcross.pages.svg_charts import charts, read_rows
from vitcross.png import encode_png
from vitcross.sinks.gallery.charts import HEALTH, TRAINING, TRUST
from vitcross.sinks.gallery.page import STATE_ID, page
from vitcross.sinks.gallery.state import CaptureEntry, Extra, SheetEntry, Thumbnails
from vitcross.sinks.sink import Sink

# Figures of the summary that the page prints, where they are known.
FACTS = (
    *map(val, ("accuracy", "accuracy_ema", "attribute_accuracy", "mean_r1", "image_to_text_r1", "text_to_image_r1")),
    *map(val, ("attribute_accuracy_unseen", "loss")),
    "parameters",
    IMAGES_PER_SECOND,
)


class Gallery(Sink):
    """Writes the gallery of one run.

    Args:
        folder: str or path, the run folder; the page becomes `folder/attention/index.html`.
        title: str, name of the run, as text.
        metrics_path: str or path of the run's `metrics.jsonl`; None: the one in `folder`.
        color_map: str, the one of the sheets, for the legend.

    A run that goes on keeps the captures that the existing page lists, up to the step from which it captures again.
    """

    def __init__(self, folder, *, title, metrics_path=None, color_map="viridis"):
        self.folder = Path(folder) / "attention"
        self.path = self.folder / "index.html"
        self.title, self.color_map = title, color_map
        self.metrics_path = Path(metrics_path or Path(folder) / "metrics.jsonl")
        self.captures = self._listed()

    def media(self, step, media):
        """Add a capture and write the page. Sheets that no other sink has written yet are written here."""
        images = []
        for key, sheet in media.sheets.items():
            path = self.folder / folder_name(step) / file_name(key)
            if not path.exists():
                write_bytes(path, sheet.png)
            height, width = sheet.image.shape[:2]
            images.append(
                SheetEntry(
                    key=key,
                    title=sheet.title,
                    caption=sheet.caption,
                    file=f"{path.parent.name}/{path.name}",
                    width=width,
                    height=height,
                    vmax=sheet.vmax,
                )
            )
        record = media.record
        capture = CaptureEntry(
            step=step,
            images=images,
            probes=[list(prediction(record, i)) for i in range(len(record.images))],
            targets=list(record.targets),
            held=list(record.maps),
            trust=record.trust,
            thumbnails=self._thumbnails(step, record),
        )
        self.captures = [*(old for old in self.captures if old.step < step), capture]
        self._write("running", {})

    def close(self, summary, exit_code):
        """Write the page a last time, with how the run ended."""
        status = "finished" if exit_code == 0 else "stopped" if exit_code >= 128 else "failed"
        self._write(status, summary or {})

    def _thumbnails(self, step, record):
        pixels, columns, rows = thumbnails(record, Style(color_map=self.color_map))
        path = self.folder / folder_name(step) / "thumbnails.png"
        write_bytes(path, encode_png(pixels))
        return Thumbnails(
            file=f"{path.parent.name}/{path.name}",
            columns=list(columns),
            rows=rows,
            width=pixels.shape[1] // len(columns),
            height=pixels.shape[0] // rows,
        )

    def _extra(self):
        """What others wrote beside the page, as far as it is there by now."""
        viewer, animation = self.folder / "viewer.html", self.folder / "evolution.gif"
        size = (0, 0)
        if animation.is_file():
            with Image.open(animation) as image:
                size = image.size
        return Extra(
            viewer=viewer.name if viewer.is_file() else None,
            animation=animation.name if animation.is_file() else None,
            film_size=size,
        )

    def _write(self, status, summary):
        known = [key for key in FACTS if isinstance(summary.get(key), (int, float))]
        facts = [(label(key), formatted(key, summary[key])) for key in known]
        rows = read_rows(self.metrics_path)
        text = page(
            title=self.title,
            status=status,
            facts=facts,
            captures=self.captures,
            trust=charts(rows, TRUST),
            health=charts(rows, HEALTH),
            training=charts(rows, TRAINING),
            extra=self._extra(),
            color_map=self.color_map,
        )
        write_text(self.path, text)

    def _listed(self):
        """The captures of the page that is already there; none where there is no page, or one of another kind."""
        try:
            text = self.path.read_text(encoding="utf-8")
            state = json.loads(
                re.search(rf'<script type="application/json" id="{STATE_ID}">(.*?)</script>', text, re.S)[1]
            )
            captures = [CaptureEntry.from_json(content) for content in state]
        except (OSError, ValueError, TypeError, KeyError):
            return []
        return [c for c in captures if all((self.folder / file).is_file() for file in c.files)]
