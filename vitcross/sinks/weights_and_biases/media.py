"""What of a capture goes to Weights & Biases, and in which of its types: masks and boxes over clean images, sheets,
the interactive viewer; and how much of it, so that a run stays below the number of files that W&B advises.

It imports no wandb: the module is handed in by the sink that has it.

Shape legend: B images, K boxes; h w pixels.
"""

from __future__ import annotations

from pathlib import Path

from vitcross.attention_maps.methods import rollout
from vitcross.attention_maps.records.record import prediction
from vitcross.attention_maps.records.trust_report import VERDICTS
from vitcross.attention_maps.sheets import render
from vitcross.attention_maps.sheets.media import file_name
from vitcross.attention_maps.sheets.overlay_masks import LEVELS, level_mask
from vitcross.metric_keys import OVERLAY, VIEWER
from vitcross.png import encode_png

MOST_IMAGES = 108  # of one list; W&B drops the rest
MOST_FILES = 900  # of one run; W&B advises fewer than 1,000, some are its own
SMALLEST_SIDE = 256  # images are enlarged by the largest whole factor with which the longer side stays within it
DECIDES, NAMED, PLANTED = 11, 12, 13  # class ids of the boxes, other than those of the levels


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
        needs = 1 + len(media.sheets) + (overlay_files(media.record) if OVERLAY in media.sheets else 0)
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
                row[key] = overlay_images(self._wandb, media.record, folder)
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


def overlay_files(record):
    """At most how many files `overlay_images` makes (equal ones are one): image, boxes, a mask for each method."""
    return min(len(record.images), MOST_IMAGES) * (1 + len(box_layers(record)) + len(rollout.methods_of(record)))


def overlay_images(wandb, record, folder):
    """The clean images, over which the dashboard lays the levels of each method and the boxes of the truth.

    All have one size, since W&B shows a list of different sizes wrongly, and the same layers, so that one switch serves
    them all.

    Args:
        wandb: the module.
        record: AttentionRecord.
        folder: path, where the images lie until they are logged.

    Returns:
        list of at most 108 `wandb.Image`.
    """
    height, width = record.images.shape[1:3]
    factor = max(1, SMALLEST_SIDE // max(height, width))
    size = (height * factor, width * factor)
    layers = box_layers(record)
    methods, to_grid = rollout.methods_of(record), record.token_layout.to_grid
    maps = {method: to_grid(rollout.read_map(record, method)) for method in methods}
    found = []
    for i in range(min(len(record.images), MOST_IMAGES)):
        path = Path(folder) / f"image_{i:03d}.png"
        path.write_bytes(encode_png(render.resize(render.to_rgb(record.images[i]), size)))
        masks = {
            method: {
                "mask_data": level_mask(grids[i], (height, width), record.patch_size, size),
                "class_labels": LEVELS,
            }
            for method, grids in maps.items()
        }
        boxes = {name: {"box_data": rows[i], "class_labels": labels} for name, (labels, rows) in layers.items()}
        found.append(wandb.Image(str(path), caption=image_caption(record, i), masks=masks, boxes=boxes or None))
    return found


def box_layers(record):
    """name -> (class labels, for every image its list of boxes in W&B's form): the object that decides the label
    (`truth`), a planted mark that gives it away (`mark`), and what the words of a text name (`words`), one box for all
    words that name the same object."""
    layers = {}
    if record.boxes is not None:
        rows = [[_box(box, DECIDES, _truth(record, i))] for i, box in enumerate(record.boxes)]
        layers["truth"] = ({DECIDES: "decides the label"}, rows)
    if record.mark_boxes is not None:
        rows = [[_box(box, PLANTED, "mark")] if box.any() else [] for box in record.mark_boxes]
        layers["mark"] = ({PLANTED: "gives the label away"}, rows)
    if record.text is not None and record.text.words_have_boxes:
        layers["words"] = ({NAMED: "named by words"}, [_boxes_of_words(text) for text in record.text.texts])
    return layers


def image_caption(record, i):
    """Number, prediction, truth, what the maps explain, and whether they can be trusted: of this image, and of the
    method over all measured examples."""
    text, truth, _ = prediction(record, i)
    parts = [f"{i + 1}. {text}" + (f" ({truth})" if truth else "")]
    if record.targets:
        parts.append(f"explained: {record.targets[i]}")
    trust = record.trust
    if trust is not None:
        here = [f"{method} {rows[i].words}" for method, rows in trust.probes.items() if i < len(rows)]
        parts += [f"this image: {', '.join(here)}"] if here else []
        means = [f"{method} {VERDICTS[row.verdict]}" for method, row in trust.fidelity.items()]
        parts += [f"over {trust.examples} examples: {', '.join(means)}"] if means else []
    return f"{'. '.join(parts)}. Step {record.step}."


def _truth(record, i):
    if record.labels is not None and record.labels[i] >= 0 and record.class_names:
        return record.class_name(int(record.labels[i]))
    return record.targets[i] if record.targets else "object"


def _boxes_of_words(text):
    """One box for every distinct object, captioned with the words that name it."""
    words = {}
    for word, boxes in zip(text.words, text.word_boxes, strict=True):
        for box in () if boxes is None else boxes:
            words.setdefault(tuple(map(float, box)), []).append(word.text)
    return [_box(box, NAMED, " ".join(names)) for box, names in words.items()]


def _box(box, class_id, caption):
    """Shares of the image, as W&B reads positions without a unit."""
    y_min, x_min, y_max, x_max = (float(side) for side in box)
    position = {"minX": x_min, "maxX": x_max, "minY": y_min, "maxY": y_max}
    return {"position": position, "class_id": class_id, "box_caption": caption}
