"""Combines the sources of an image classification data set with transforms and makes batches of them.

Shape letters: B batch, H W C pixels, K classes.
"""

import numpy as np

from vitcross.data import batch as contract
from vitcross.data import geometry
from vitcross.data.decode_pool import DecodePool
from vitcross.data.preprocess import preprocess
from vitcross.data.problems import UnreadableImages
from vitcross.data.reader import CachingReader, DecodingReader, fits


class ImageData:
    """The splits of a data set and their batches (`batch.py`).

    Args:
        name: str, the name of the data in messages and runs.
        options: `ImageOptions`.
        train, validation, test: `Source`; `test` may be None.
        watched: dict of name to `Source`, splits that are evaluated during training in addition to `validation`.
        num_classes: int or None, the expected number of classes.

    Raises:
        ValueError: if the number of classes is not `num_classes`, the splits differ in their classes or in having
            several labels per image, or one is empty.
    """

    tokenizer = None  # only data with texts has one

    def __init__(self, *, name, options, train, validation, test=None, watched=None, num_classes=None):
        self.name = name
        self.options = options
        self.train, self.validation, self.test = train, validation, test
        known = {"train": train, "validation": validation, "test": test, **(watched or {})}
        self._sources = {split: source for split, source in known.items() if source is not None}
        self.evaluation_splits = ("validation", *(watched or {}))  # evaluated during training
        self.unreadable = UnreadableImages(options.max_unreadable)
        self._pool = DecodePool(options)
        self._readers = {}
        self._cache_left = options.cache_gigabytes
        if num_classes is not None and num_classes != self.num_classes:
            raise ValueError(f"num_classes must be the {self.num_classes} classes of {name}. Received: {num_classes}")
        for split in self.splits:
            if self.source(split).class_names != self.class_names:
                raise ValueError(f"All splits of {name} must have the same classes; '{split}' differs from 'train'.")
            if self.source(split).multilabel != self.multilabel:
                raise ValueError(
                    f"All splits of {name} must have one label per image, or all several; '{split}' differs."
                )
            if len(self.source(split)) == 0:
                raise ValueError(f"Split '{split}' of {name} must hold at least one example. Received: 0")

    @property
    def splits(self):
        """Names of the splits that exist."""
        return tuple(self._sources)

    @property
    def class_names(self):
        return self.train.class_names

    @property
    def num_classes(self):
        return len(self.class_names)

    @property
    def multilabel(self):
        """Whether an image has any number of labels."""
        return self.train.multilabel

    @property
    def image_shape(self):
        """(H, W, C) of one image as the model sees it."""
        return self.options.image_shape

    @property
    def batch_size(self):
        return self.options.batch_size

    @property
    def class_weights(self):
        """(K,) float32, or None: weights of the classes with mean 1; with several labels per image those of the present
        labels (`balanced_label_weights`)."""
        if self.options.class_weights is None:
            return None
        if self.multilabel:
            return balanced_label_weights(self.train.labels())
        return balanced_class_weights(self.train.labels(), num_classes=self.num_classes)

    def source(self, split):
        """The `Source` of a split. Raises ValueError if there is none."""
        if split not in self._sources:
            raise ValueError(f"split must be one of {self.splits} of {self.name}. Received: {split!r}")
        return self._sources[split]

    def references(self, split):
        """Additional information about a split for metrics; None for data without texts."""

    def train_batches(self, *, seed, batch_size=None, start_position=0):
        """Endless shuffled and augmented batches as a `tf.data.Dataset`.

        Args:
            seed: int, the only input to the order of a pass and the augmentation of a position.
            batch_size: int, default `options.batch_size`.
            start_position: int, number of examples to skip at the start without reading them (for resuming).
        """
        from vitcross.data import pipeline

        return pipeline.training_batches(
            self._training_reader(seed),
            options=self.options,
            batch_size=batch_size or self.batch_size,
            seed=seed,
            start_position=start_position,
            record_error=self.unreadable.record_error,
        )

    def evaluation_batches(self, split, *, batch_size=None, limit=None):
        """Each example of `split` exactly once, in order, as a finite `tf.data.Dataset` of full batches.

        Rows that pad the last batch and unreadable images have valid = False.

        Args:
            split: str, one of `splits`.
            batch_size: int, default `options.batch_size`.
            limit: int or None, use at most this many examples, evenly spread over the split.
        """
        from vitcross.data import pipeline

        size = len(self.source(split))
        if limit is not None and limit <= 0:
            raise ValueError(f"limit must be null or > 0. Received: {limit}")
        count = size if limit is None else min(limit, size)
        return pipeline.evaluation_batches(
            self._reader(split),
            options=self.options,
            batch_size=batch_size or self.batch_size,
            indices=np.arange(count, dtype=np.int64) * size // count,
            record_error=self.unreadable.record_error,
        )

    def examples(self, split, indices):
        """The examples at `indices` of a split as one batch dict of NumPy arrays, as evaluation sees them."""
        indices = np.asarray(indices, np.int64)
        size = len(self.source(split))
        if indices.ndim != 1 or not indices.size or indices.min() < 0 or indices.max() >= size:
            raise ValueError(f"indices must be a non-empty list in [0, {size}) of '{split}'. Received: {indices}")
        batch = self._reader(split, cache=False).read(indices)
        if self.source(split).has_masks:
            masks = np.stack([self._mask(self.source(split), int(index)) for index in indices])
            batch = {"box": np.stack(list(map(geometry.box_around, masks))), **batch, "mask": masks & _as_column(batch)}
        return {**batch, "images": contract.normalize(batch["images"])}

    def _mask(self, source, index):
        """The mask of an example as evaluation sees its image: (H, W) bool; empty if unknown."""
        mask = source.mask(index)
        if mask is None:
            return np.zeros(self.options.image_size, bool)
        # A mask has the form of its image.
        view = geometry.evaluation_view(
            mask.shape,
            self.options.image_size,
            resize=self.options.resize,
            evaluation_crop=self.options.evaluation_crop,
        )
        return geometry.mask_in_view(mask, view, self.options.image_size)

    def label_boxes(self, split, indices):
        """The boxes of each label of the examples at `indices` of a split, as evaluation sees them.

        Returns:
            list of dict of label to (M, 4) float32 boxes (y_min, x_min, y_max, x_max) in [0, 1] of the evaluation view;
            objects outside the view are left out, and labels without a box. None for data without such boxes.
        """
        source, options = self.source(split), self.options
        if not len(indices) or source.label_boxes(int(indices[0])) is None:
            return None
        found = []
        for index in map(int, indices):
            size = source.image(index, source.record(index)).size
            view = geometry.evaluation_view(
                size, options.image_size, resize=options.resize, evaluation_crop=options.evaluation_crop
            )
            boxes = {k: geometry.boxes_in_view(b, view) for k, b in source.label_boxes(index).items()}
            found.append({label: seen for label, seen in boxes.items() if len(seen)})
        return found

    def preprocess(self, image):
        """`preprocess.preprocess` with the options of this data set."""
        return preprocess(image, options=self.options)

    def _training_reader(self, seed):
        return self._image_reader("train", training=True)

    def _reader(self, split, *, cache=True):
        return self._image_reader(split, cache=cache)

    def _image_reader(self, split, *, training=False, cache=True):
        source, view = self._images(split), "evaluation"
        if training and self.options.augmentation.random_resized_crop is not None:
            view = "native" if source.image_shape is not None else "random"
        key = (split, view)
        if key in self._readers:
            return self._readers[key]
        reader = DecodingReader(source, options=self.options, unreadable=self.unreadable, view=view, pool=self._pool)
        if cache:
            if fits(reader, self._cache_left):
                self._cache_left -= reader.cache_bytes / 2**30
                reader = CachingReader(reader)
            self._readers[key] = reader
        return reader

    def _images(self, split):
        """The source of the images of a split."""
        return self.source(split)


def _as_column(batch):
    return batch["valid"][:, None, None]


def balanced_class_weights(labels, *, num_classes):
    """Inverse class frequencies of labels (n,), (K,) float32 with mean 1 over the classes that occur, 0 for others:

    w_k = (1 / n_k) / mean_j(1 / n_j)
    """
    counts = np.bincount(np.asarray(labels), minlength=num_classes)
    present = counts > 0
    inverse = np.zeros(num_classes, np.float64)
    inverse[present] = 1 / counts[present]
    return (inverse / inverse[present].mean()).astype(np.float32)


def balanced_label_weights(labels_nK):
    """What the positives of each label weigh in the loss, (K,) float32: negatives / positives, so that both weigh the
    same in total. 1 for a label that every image has, or none."""
    positives = np.asarray(labels_nK, np.float64).sum(axis=0)
    negatives = len(labels_nK) - positives
    usable = (positives > 0) & (negatives > 0)
    return np.where(usable, negatives / np.maximum(positives, 1), 1.0).astype(np.float32)
