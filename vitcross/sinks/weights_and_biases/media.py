"""What of a capture goes to Weights & Biases, and in which of its types: masks and boxes over clean images, sheets,
the interactive viewer; and how much of it, so that a run stays below the number of files that W&B advises.

It imports no wandb: the module is handed in by the sink that has it.
"""

from __future__ import annotations

from pathlib import Path

from vitcross.attention_maps.sheets.media import file_name
from vitcross.metric_keys import OVERLAY, VIEWER

MOST_IMAGES = 108  # of one list; W&B drops the rest
MOST_FILES = 900  # of one run; W&B advises fewer than 1,000, some are its own
# Class id and label of each layer of boxes; the ids are other than those of the levels.
BOX_LAYERS = {"truth": (11, "decides the label"), "words": (12, "named by words"), "mark": (13, "gives the label away")}


class Uploads:
    """Decides what of each capture is uploaded, so that the files of a run stay few and small.

    A capture goes up whole or not at all: every one where all of them fit into `MOST_FILES`, else every second, third,
    ... and always the last, which `rest` hands over when the run closes. The viewer holds all captures so far, so that
    an older one is worth little: it goes up with captures 1, 2, 4, 8, ... and the last, together less than three times
    the size of the last one.

    Args:
        wandb: the module.
        captures: int, how many captures the run plans.
    """

    def __init__(self, wandb, captures):
        self._wandb, self._captures = wandb, max(1, captures)
        self._seen = self._files = 0
        self._waiting = self._viewer = None  # (step, media), (step, text) not uploaded yet
        self.note = ""  # what is to be told of captures left out, or nothing

    def row(self, step, media, folder):
        """key -> W&B object of one capture, whose files lie in `folder` until they are logged; {} where it waits."""
        needs = 1 + len(media.sheets) + (overlay_files(media.overlay) if OVERLAY in media.sheets else 0)
        stride = -(-self._captures * needs // MOST_FILES)
        self._seen += 1
        row = {}
        # Room for one more: the last capture goes up in any case.
        if (self._seen - 1) % stride == 0 and self._files + 2 * needs <= MOST_FILES:
            self._files += needs
            self._waiting = None
            row = self._images(media, folder)
        else:
            self._waiting = (step, media)
            self.note = self.note or f"captures of {needs} files each are too many, it gets some and the last"
        if media.viewer is not None:
            if self._seen & (self._seen - 1) == 0:
                row[VIEWER], self._viewer = html(self._wandb, media.viewer, folder), None
            else:
                self._viewer = (step, media.viewer)
        return row

    def rest(self, folder):
        """[(step, row), ...] of what has waited for the end of the run."""
        rows = []
        if self._waiting is not None:
            step, media = self._waiting
            rows.append((step, self._images(media, folder)))
        if self._viewer is not None:
            step, text = self._viewer
            rows.append((step, {VIEWER: html(self._wandb, text, folder)}))
        self._waiting = self._viewer = None
        return rows

    def _images(self, media, folder):
        # The sheets are handed over as the PNG files that the gallery shows, neither encoded twice nor converted.
        row = {}
        for key, sheet in media.sheets.items():
            if key == OVERLAY:
                row[key] = overlay_images(self._wandb, media.overlay, folder)
                continue
            path = Path(folder) / file_name(key)
            path.write_bytes(sheet.png)
            row[key] = self._wandb.Image(str(path), caption=sheet.caption or sheet.title)
        return row


def html(wandb, text, folder):
    """A page as it is: without `inject=False` W&B adds a stylesheet that it loads from its own address."""
    path = Path(folder) / "viewer.html"
    path.write_text(text, encoding="utf-8")
    return wandb.Html(str(path), inject=False)


def animation(wandb, gif, folder):
    """A GIF as it is: a file needs no moviepy, which arrays would."""
    path = Path(folder) / "evolution.gif"
    path.write_bytes(gif)
    return wandb.Video(str(path), format="gif")


def overlay_files(overlay):
    """At most how many files `overlay_images` makes (equal ones are one): image, boxes, a mask for each method."""
    return min(len(overlay), MOST_IMAGES) * (1 + len(overlay.layers) + len(overlay.methods))


def overlay_images(wandb, overlay, folder):
    """The clean images, over which the dashboard lays the levels of each method and the boxes of the truth.

    Args:
        wandb: the module.
        overlay: `media.overlay` of a capture.
        folder: path, where the images lie until they are logged.

    Returns:
        list of at most 108 `wandb.Image`.
    """
    found = []
    for i in range(min(len(overlay), MOST_IMAGES)):
        image, path = overlay[i], Path(folder) / f"image_{i:03d}.png"
        path.write_bytes(image.png)
        masks = {method: {"mask_data": mask, "class_labels": overlay.levels} for method, mask in image.masks.items()}
        boxes = {}
        for layer, rows in image.boxes.items():
            class_id, words = BOX_LAYERS[layer]
            boxes[layer] = {"box_data": [_box(class_id, *row) for row in rows], "class_labels": {class_id: words}}
        found.append(wandb.Image(str(path), caption=image.caption, masks=masks, boxes=boxes or None))
    return found


def _box(class_id, y_min, x_min, y_max, x_max, caption):
    """Shares of the image, as W&B reads positions without a unit."""
    position = {"minX": x_min, "maxX": x_max, "minY": y_min, "maxY": y_max}
    return {"position": position, "class_id": class_id, "box_caption": caption}
