"""A source of the images of a table of labels (`labels_file.py`), with their boxes and masks."""

import numpy as np

from vitcross.data.sources import boxes as box_rules
from vitcross.data.sources.image_boxes import image_size_of
from vitcross.data.sources.mask_files import read_mask
from vitcross.data.sources.source import Source


class LabelsFileSource(Source):
    """One split of a `LabelsListing`; `channels` is 1 or 3.

    The box of an image with several is the one around all; with several labels per image, boxes belong to labels.
    """

    def __init__(self, *, listing, split, channels=3):
        has_boxes = listing.box_format is not None
        super().__init__(
            name=f"{listing.file.stem}/{split}",
            class_names=listing.class_names,
            channels=channels,
            optional_keys=("box",) if has_boxes and not listing.multilabel else (),
            multilabel=listing.multilabel,
        )
        self._listing, self._images = listing, listing.splits[split]
        # With several labels, it is not known which of them the mask is of.
        self.has_masks = not self.multilabel and any(
            image.mask is not None or len(image.boxes) > 1 for image in self._images
        )
        self._number = {name: k for k, name in enumerate(listing.class_names)}

    def __len__(self):
        return len(self._images)

    def record(self, index):
        """The example; `image` replaces its `box`, which may be known in pixels only."""
        image = self._images[index]
        record = {"image": image.path, "label": self._label(image)}
        return record | {key: np.zeros(4, np.float32) for key in self.optional_keys}

    def image(self, index, record):
        encoded, boxes = super().image(index, record), self._images[index].boxes
        if boxes and self.optional_keys:
            corners = self._relative(boxes, encoded.size)
            record["box"] = np.concatenate([corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)])
        return encoded

    def label_boxes(self, index):
        image = self._images[index]
        if self._listing.box_format is None:
            return None
        size, found = image_size_of(image.path), {}
        if not image.boxes or size is None:
            return found
        for (name, _), box in zip(image.boxes, self._relative(image.boxes, size), strict=True):
            if name in self._number:
                found.setdefault(self._number[name], []).append(box)
        return {label: np.stack(boxes) for label, boxes in found.items()}

    def mask(self, index):
        """That of its file; of an image with several boxes the pixels in any of them."""
        image = self._images[index]
        if image.mask is not None:
            return read_mask(image.mask)
        size = image_size_of(image.path)
        if not image.boxes or size is None:
            return None
        mask = np.zeros(size, bool)
        for y_min, x_min, y_max, x_max in self._relative(image.boxes, size):
            rows, columns = (
                slice(round(low * extent), round(high * extent))
                for low, high, extent in ((float(y_min), float(y_max), size[0]), (float(x_min), float(x_max), size[1]))
            )
            mask[rows, columns] = True
        return mask

    def example_name(self, index):
        return self._images[index].path

    def labels(self):
        if self.multilabel:
            return super().labels()
        return np.array([self._label(image) for image in self._images], np.int64)

    def _label(self, image):
        numbers = sorted(self._number[name] for name in image.labels if name in self._number)
        return tuple(numbers) if self.multilabel else numbers[0]

    def _relative(self, boxes, size):
        """Boxes in an image of `size` (height, width): (n, 4) float32 of y_min, x_min, y_max, x_max in [0, 1]."""
        size = size if self._listing.box_units == "pixels" else (1, 1)
        return box_rules.relative([box for _, box in boxes], size, self._listing.box_format)
