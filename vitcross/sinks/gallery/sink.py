"""Writes the local gallery `attention/index.html`, a page that opens from disk and shows how attention developed.

The page has text, curves and links; images are files beside it, the same bytes as in the dashboard. It is rewritten
after each capture and at the end.
"""

import json
import re
from pathlib import Path

from PIL import Image

from vitcross.atomic_files import write_bytes, write_text
from vitcross.attention_maps.sheets.media import file_name, folder_name
from vitcross.metric_keys import IMAGES_PER_SECOND, formatted, label, val
from vitcross.sinks.gallery.charts import HEALTH, TRAINING, TRUST, charts, read_rows
from vitcross.sinks.gallery.page import STATE_ID, CaptureEntry, page
from vitcross.sinks.sink import Sink

# Values of the summary that the page shows if they are known.
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

    A resumed run keeps the captures of the existing page, up to the step of its next capture.
    """

    def __init__(self, folder, *, title, metrics_path=None):
        self.folder = Path(folder) / "attention"
        self.path = self.folder / "index.html"
        self.title = title
        self.metrics_path = Path(metrics_path or Path(folder) / "metrics.jsonl")
        self.captures = self._listed()

    def media(self, step, media):
        """Add a capture and write the page, and the sheets that no other sink has written."""
        folder, images = folder_name(step), []
        for key, sheet in media.sheets.items():
            path = self.folder / folder / file_name(key)
            if not path.exists():
                write_bytes(path, sheet.png)
            height, width = sheet.image.shape[:2]
            about = {"title": sheet.title, "caption": sheet.caption, "width": width, "height": height}
            images.append({"key": key, "file": f"{folder}/{path.name}", "vmax": sheet.vmax, **about})
        write_bytes(self.folder / folder / "thumbnails.png", media.thumbnails.png)
        capture = CaptureEntry(
            step=step,
            images=images,
            probes=[list(prediction) for prediction in media.predictions],
            targets=media.targets,
            trust=media.trust,
            thumbnails={"file": f"{folder}/thumbnails.png", **media.thumbnails.grid},
            colors=media.colors,
        )
        self.captures = [*(old for old in self.captures if old.step < step), capture]
        self._write("running", {})

    def close(self, summary, exit_code):
        """Write the page a last time, with the run's final status."""
        status = "finished" if exit_code == 0 else "stopped" if exit_code >= 128 else "failed"
        self._write(status, summary or {})

    def _explore(self):
        """The viewer and the animation beside the page, if they exist, and the animation's size in pixels."""
        found = {name: name if (self.folder / name).is_file() else None for name in ("viewer.html", "evolution.gif")}
        size = (0, 0)
        if found["evolution.gif"]:
            with Image.open(self.folder / "evolution.gif") as image:
                size = image.size
        return {"viewer": found["viewer.html"], "animation": found["evolution.gif"], "size": size}

    def _write(self, status, summary):
        known = [key for key in FACTS if isinstance(summary.get(key), (int, float))]
        rows = read_rows(self.metrics_path)
        text = page(
            title=self.title,
            status=status,
            facts=[(label(key), formatted(key, summary[key])) for key in known],
            captures=self.captures,
            curves={"trust": charts(rows, TRUST), "health": charts(rows, HEALTH), "training": charts(rows, TRAINING)},
            explore=self._explore(),
        )
        write_text(self.path, text)

    def _listed(self):
        """The captures of the existing page; empty if there is no page or it cannot be read."""
        try:
            text = self.path.read_text(encoding="utf-8")
            state = re.search(rf'<script type="application/json" id="{STATE_ID}">(.*?)</script>', text, re.S)[1]
            captures = [CaptureEntry(**content) for content in json.loads(state)]
        except (OSError, ValueError, TypeError, KeyError):
            return []
        return [c for c in captures if all((self.folder / file).is_file() for file in c.files)]
