"""Converts captures to Weights & Biases media and limits how many files of a run are uploaded.

It does not import wandb: the sink passes the module in.
"""

from __future__ import annotations

from pathlib import Path

from vitcross.attention_maps.sheets.media import file_name
from vitcross.metric_keys import OVERLAY, VIEWER

MOST_IMAGES = 108  # in one list; W&B drops the rest
MOST_FILES = 900  # in one run; W&B recommends fewer than 1,000, and adds some itself
# Class id and label of each layer of boxes; the ids differ from those of the mask levels.
BOX_LAYERS = {"truth": (11, "decides the label"), "words": (12, "named by words"), "mark": (13, "gives the label away")}


class Uploads:
    """Decides which captures are uploaded, so that the files of a run stay few and small.

    If not all captures fit into `MOST_FILES`, only every second, third, ... is uploaded, and always the last, which
    `rest` returns when the run closes. The viewer contains all captures so far; it is uploaded with captures 1, 2, 4,
    8, ... and the last, together less than three times the size of the last one.

    Args:
        wandb: the module.
        captures: int, how many captures the run plans.
    """

    def __init__(self, wandb, captures):
        self._wandb, self._captures = wandb, max(1, captures)
        self._seen = self._files = 0
        self._waiting = self._viewer = None  # (step, media), (step, text) not uploaded yet
        self.note = ""  # message about captures that are not uploaded

    def row(self, step, media, folder):
        """Dict of key to W&B object of one capture, {} if it is not uploaded now; its files are written to `folder`."""
        needs = 1 + len(media.sheets) + (overlay_files(media.overlay) if OVERLAY in media.sheets else 0)
        stride = -(-self._captures * needs // MOST_FILES)
        self._seen += 1
        row = {}
        # Leave room for one more: the last capture is always uploaded.
        if (self._seen - 1) % stride == 0 and self._files + 2 * needs <= MOST_FILES:
            self._files += needs
            self._waiting = None
            row = self._images(media, folder)
        else:
            self._waiting = (step, media)
            self.note = self.note or f"captures of {needs} files each are too many, only some and the last are uploaded"
        if media.viewer is not None:
            if self._seen & (self._seen - 1) == 0:
                row[VIEWER], self._viewer = html(self._wandb, media.viewer, folder), None
            else:
                self._viewer = (step, media.viewer)
        return row

    def rest(self, folder):
        """List of `(step, row)` of the last capture and viewer, if they were not uploaded yet."""
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
        # The sheets are the PNG files of the gallery, neither encoded again nor converted.
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
    """A page without the stylesheet that W&B would inject and load from its server."""
    path = Path(folder) / "viewer.html"
    path.write_text(text, encoding="utf-8")
    return wandb.Html(str(path), inject=False)


def animation(wandb, gif, folder):
    """A GIF as a file; arrays would need moviepy."""
    path = Path(folder) / "evolution.gif"
    path.write_bytes(gif)
    return wandb.Video(str(path), format="gif")


def overlay_files(overlay):
    """Upper limit of the files that `overlay_images` makes: images, boxes, a mask for each method."""
    return min(len(overlay), MOST_IMAGES) * (1 + len(overlay.layers) + len(overlay.methods))


def overlay_images(wandb, overlay, folder):
    """Images with the mask of each method and the ground-truth boxes, which the dashboard draws over them.

    Args:
        wandb: the module.
        overlay: `media.overlay` of a capture.
        folder: path, the images are written to it.

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
    """A box whose coordinates are fractions of the image, as W&B expects by default."""
    position = {"minX": x_min, "maxX": x_max, "minY": y_min, "maxY": y_max}
    return {"position": position, "class_id": class_id, "box_caption": caption}
