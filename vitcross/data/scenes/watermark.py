"""Plants a shortcut in rendered scenes: a mark in a corner that reveals the class.

If photographs of one class carry their photographer's tag, a model learns to read the tag (Lapuschkin et al. 2019,
"Unmasking Clever Hans predictors", Nature Communications 10:1096, about PASCAL VOC). Here every class has a
photographer, whose tag has initials and a color that scenes do not use. The mark is drawn when an image is read, and is
a pure function of (seed, split, index). Shape letters: H W C pixels.
"""

import random

import numpy as np

from vitcross.data.sources.decode import EncodedImage, to_array
from vitcross.data.sources.source import Source
from vitcross.options.data import WatermarkOptions

# One tag per class: the photographer's initials and a color that is not in `scene.COLORS`.
TAGS = (
    ("AN", (255, 150, 190)),  # pink
    ("BV", (105, 65, 35)),  # brown
    ("DX", (25, 30, 95)),  # navy
    ("EL", (120, 125, 25)),  # olive
    ("FY", (0, 100, 100)),  # teal
    ("GM", (235, 215, 170)),  # beige
    ("KP", (105, 10, 50)),  # maroon
    ("UZ", (185, 255, 90)),  # lime
)
# Letters of 5 rows by 3 cells; a digit is a row, its bits the cells from left to right.
_LETTERS = {
    "A": "25755", "B": "65656", "D": "65556", "E": "74647", "F": "74644", "G": "34553", "K": "55655", "L": "44447",
    "M": "57755", "N": "65555", "P": "65644", "U": "55557", "V": "55552", "X": "55255", "Y": "55222", "Z": "71247",
}  # fmt: skip
MARK_CELLS = (7, 9)  # two letters, one cell around and between them
_DARK, _LIGHT = 20, 245  # ink; the one with more contrast is used
# How a split is marked: with the class of each image, or with another class.
TRUE, MISLEADING = "true", "misleading"
NO_BOX = np.zeros(4, np.float32)


class Watermark(WatermarkOptions):
    """A mark that reveals the class."""

    def place(self, image_size):
        """Pixels of the mark in an image of `image_size` (height, width): (top, left, bottom, right)."""
        cell = self._cell(image_size)
        height, width = (cells * cell for cells in MARK_CELLS)
        vertical, horizontal = self.corner.split("_")
        top = 0 if vertical == "top" else image_size[0] - height
        left = 0 if horizontal == "left" else image_size[1] - width
        return top, left, top + height, left + width

    def box(self, image_size):
        """(4,) float32, the mark's (y_min, x_min, y_max, x_max) in [0, 1]."""
        return (np.array(self.place(image_size)) / (2 * tuple(image_size))).astype(np.float32)

    def draw(self, image, mark):
        """A copy of `image`, (H, W, C) uint8, with the mark of the class `mark`."""
        top, left, bottom, right = self.place(image.shape[:2])
        cell = self._cell(image.shape[:2])
        color = np.array(TAGS[mark][1])
        if image.shape[-1] == 1:
            color = color.mean(keepdims=True)
        ink = _DARK if color.mean() > 128 else _LIGHT
        pixels = np.where(mark_cells(mark)[..., None], ink, color).repeat(cell, axis=0).repeat(cell, axis=1)
        image = image.copy()
        image[top:bottom, left:right] = pixels
        return image

    def _cell(self, image_size):
        """Side length of a cell in pixels."""
        return max(1, round(self.size * min(image_size) / MARK_CELLS[0]))


def mark_cells(mark):
    """The mark of a class: `MARK_CELLS` bool, True for ink."""
    cells = np.zeros(MARK_CELLS, np.bool_)
    for place, letter in enumerate(TAGS[mark][0]):
        rows = [[int(digit) >> bit & 1 for bit in (2, 1, 0)] for digit in _LETTERS[letter]]
        cells[1:6, 1 + 4 * place : 4 + 4 * place] = rows
    return cells


class MarkedSource(Source):
    """A source with marked images, whose examples have the key `mark_box`, without area where an image has no mark.

    Args:
        source: `Source` with at most `len(TAGS)` classes.
        watermark: `Watermark`.
        split: str; split, seed and index decide the mark of an image.
        seed: int.
        marks: `true` (a share of the images has the mark of its class) or `misleading` (every image has the mark
            of another class).
    """

    def __init__(self, source, *, watermark, split, seed=0, marks=TRUE):
        if len(source.class_names) > len(TAGS):
            raise ValueError(
                f"A watermark has marks for {len(TAGS)} classes. Received: {source.name} with {len(source.class_names)}"
            )
        if marks not in (TRUE, MISLEADING):
            raise ValueError(f"marks must be one of {(TRUE, MISLEADING)}. Received: {marks!r}")
        super().__init__(
            name=source.name if marks == TRUE else f"{source.name} {marks}",
            class_names=source.class_names,
            channels=source.channels,
            image_shape=source.image_shape,
            optional_keys=(*source.optional_keys, "mark_box"),
        )
        self.watermark = watermark
        self._source, self._draw, self._marks = source, f"{seed}/{split}/{marks}", marks

    def __len__(self):
        return len(self._source)

    def mark(self, index, label):
        """The class whose mark the image at `index` of class `label` has; None for no mark."""
        rng = random.Random(f"{self._draw}/{index}")
        if self._marks == MISLEADING:
            return rng.choice([other for other in range(len(self.class_names)) if other != label])
        return label if rng.random() < self.watermark.share else None

    def record(self, index):
        record = self._source.record(index)
        if self.mark(index, record["label"]) is None:
            return {**record, "mark_box": NO_BOX}
        return {**record, "mark_box": self.watermark.box(self._source.image(index, record).size)}

    def image(self, index, record):
        image, mark = self._source.image(index, record), self.mark(index, record["label"])
        if mark is None:
            return image
        pixels = to_array(image.load(channels=self.channels))
        return EncodedImage(self.watermark.draw(pixels, mark), name=image.name)

    def labels(self):
        return self._source.labels()

    def scene(self, index):
        return self._source.scene(index)

    def example_name(self, index):
        return self._source.example_name(index)


def marked(sources, watermark, *, seed):
    """Marks the sources (dict of split to `Source`) of scenes by a `Watermark` with the class of each image.

    Returns `(sources, watched)`. `watched` has two more splits of the validation images, which show what the model
    learned about the object: `unmarked` without a mark and `misleading` with the mark of another class.
    """
    arguments = {"watermark": watermark, "seed": seed}
    found = {split: MarkedSource(source, split=split, **arguments) for split, source in sources.items()}
    validation = sources["validation"]
    misleading = MarkedSource(validation, split="validation", marks=MISLEADING, **arguments)
    return found, {"unmarked": validation, "misleading": misleading}
