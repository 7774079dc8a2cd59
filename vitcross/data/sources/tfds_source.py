"""Reads any split expression of any image set of TensorFlow Datasets with random access, offline.

It reads stored examples (ArrayRecord with its reader, TFRecord with `tfrecord.py`) and decodes images with `decode.py`,
so that a set behaves like a folder of the same images.
"""

import bisect
import contextlib
import itertools
import json
import os
import pathlib

import numpy as np
import tensorflow_datasets as tfds

from vitcross.data.batch import OPTIONAL_KEYS
from vitcross.data.problems import check_still_there
from vitcross.data.sources.source import Source
from vitcross.data.sources.tfds_prepare import REMEDY
from vitcross.data.sources.tfrecord import FOOTER, HEADER, TFRecordFile

# Errors of the process, which do not mean that a file is damaged.
_OF_THE_PROCESS = ("can't start new thread", "Too many open files", "Cannot allocate memory")


class TFDSSource(Source):
    """One split of a prepared TFDS builder; one whose labels are a sequence has several per image.

    Args:
        builder: `tfds.core.DatasetBuilder` whose data is prepared.
        split: str, any TFDS split expression: `train`, `train[:90%]`, `train[:10%]+test`.
        channels: 1, 3 or None for those of the data set.
        labeled: bool, whether the set has labels; otherwise every label is -1.

    Raises:
        ValueError: for an unknown split, a set without image and label, a file format without random access, a missing
            or truncated file, and, when an example is read, a damaged file.
        DataVanished: when an example is read, if the folder of the set no longer exists.
    """

    def __init__(self, *, builder, split, channels=None, labeled=True):
        from tensorflow.core.example import example_pb2

        self._parse = example_pb2.Example.FromString
        features = builder.info.features
        keys = image_and_label_keys(builder.info) if labeled else (only_image_key(builder.info), None)
        self._image_key, self._label_key = keys
        label = features[self._label_key] if labeled else None
        multilabel = isinstance(label, tfds.features.Sequence)
        image = features[self._image_key]
        static = all(image.shape[:2])
        native_channels = 1 if image.shape[-1] == 1 else 3
        channels = channels or native_channels
        super().__init__(
            name=f"{builder.name}/{split}",
            class_names=(label.feature if multilabel else label).names if labeled else (),
            channels=channels,
            image_shape=(*image.shape[:2], channels) if static else None,
            optional_keys=[key for key in OPTIONAL_KEYS if builder.name == "vitcross_scenes" and key in features],
            multilabel=multilabel,
        )
        self._has_scenes = builder.name == "vitcross_scenes"
        self._files, self._ends = _open_files(builder, split)

    def __len__(self):
        return self._ends[-1]

    def example(self, index):
        """The stored `tf.train.Example` at `index` with all features of the data set."""
        if not 0 <= index < len(self):
            raise IndexError(f"index must be in [0, {len(self)}). Received: {index}")
        place = bisect.bisect_right(self._ends, index)
        file, first = self._files[place]
        before = self._ends[place - 1] if place else 0
        with _named(file.path):
            return self._parse(file[first + index - before])

    def record(self, index):
        feature = self.example(index).features.feature
        labels = (-1,) if self._label_key is None else feature[self._label_key].int64_list.value
        record = {
            "image": feature[self._image_key].bytes_list.value[0],
            "label": tuple(sorted(set(labels))) if self.multilabel else int(labels[0]),
        }
        if "box" in self.optional_keys:
            record["box"] = np.array(feature["box"].float_list.value, np.float32)
        if "num_objects" in self.optional_keys:
            record["num_objects"] = int(feature["num_objects"].int64_list.value[0])
        return record

    def example_mark(self, index):
        if not self._has_scenes:
            return super().example_mark(index)
        # Scenes that are rendered again are the same images, but perhaps not the same bytes.
        return self.example(index).features.feature["scene"].bytes_list.value[0]

    def scene(self, index):
        if not self._has_scenes:
            return None
        return json.loads(self.example(index).features.feature["scene"].bytes_list.value[0])


def image_and_label_keys(info):
    """Names of the image and label features: the supervised pair, or the only Image and the only ClassLabel; without
    one `labels`, or the only Sequence of ClassLabel, which is several labels per image."""
    features = info.features
    pair = info.supervised_keys
    if pair and len(pair) == 2 and all(isinstance(key, str) and key in features for key in pair):
        image, label = pair
        one_or_several = isinstance(features[label], tfds.features.ClassLabel) or _is_several_labels(features[label])
        if isinstance(features[image], tfds.features.Image) and one_or_several:
            return _checked(info, image), label
    images = _image_keys(features)
    labels = [key for key, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)]
    sequences = [key for key, feature in features.items() if _is_several_labels(feature)]
    if not labels:  # PASCAL VOC has `labels` and `labels_no_difficult`
        labels = ["labels"] if "labels" in sequences else sequences
    if len(images) != 1 or len(labels) != 1:
        raise ValueError(
            f"An image classification set needs one Image and one feature of ClassLabel, or of a Sequence of them. "
            f"Received: {info.name} with {len(images)} and {len(labels)}: {_kinds(features)}"
        )
    return _checked(info, images[0]), labels[0]


def only_image_key(info):
    """Name of the only Image feature of a set."""
    images, kinds = _image_keys(info.features), _kinds(info.features)
    if len(images) != 1:
        raise ValueError(f"A set of images needs one Image feature. Received: {info.name} with {len(images)}: {kinds}")
    return _checked(info, images[0])


def _image_keys(features):
    return [key for key, feature in features.items() if type(feature) is tfds.features.Image]


def _is_several_labels(feature):
    return isinstance(feature, tfds.features.Sequence) and isinstance(feature.feature, tfds.features.ClassLabel)


def _kinds(features):
    return {key: type(feature).__name__ for key, feature in features.items()}


def _checked(info, key):
    dtype = np.dtype(info.features[key].np_dtype)
    if dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"The images of a data set must be uint8 or uint16. Received: {info.name} with {dtype} in '{key}'"
        )
    return key


class _ArrayRecords:
    """One ArrayRecord file, opened at the first access."""

    def __init__(self, path, *, num_records):
        from array_record.python import array_record_data_source

        self.path = path
        with _named(path):
            self._source = array_record_data_source.ArrayRecordDataSource([str(path)])
            if len(self._source) != num_records:
                raise ValueError(f"it must hold {num_records} records. Received: {len(self._source)}")

    def __getitem__(self, index):
        return self._source[index]


@contextlib.contextmanager
def _named(path):
    """Replaces a reader's error for a broken file with one message that names the file and the remedy."""
    from google.protobuf.message import DecodeError

    try:
        yield
    except (ValueError, OSError, RuntimeError, DecodeError) as error:
        if any(words in str(error) for words in _OF_THE_PROCESS):
            raise
        check_still_there(path)
        message = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reason = message.split("\n")[0].removeprefix(f"{path} ") or "truncated"
        remedy = REMEDY.format(f"the folder {pathlib.Path(path).parent}")
        raise ValueError(f"{path} is missing or damaged ({reason}). {remedy}") from None


def _open_files(builder, split):
    """List of (file, first record) and the cumulative number of examples after each."""
    readers = {"array_record": _ArrayRecords, "tfrecord": TFRecordFile}
    suffix = builder.info.file_format.file_suffix
    if suffix not in readers:
        raise ValueError(f"{builder.info.full_name} must be stored as one of {sorted(readers)}. Received: {suffix}")
    splits = builder.info.splits
    try:
        instructions = splits[split].file_instructions
    except (KeyError, ValueError, AssertionError) as error:
        reason = str(error).strip("'\"").split("\n")[0]
        raise ValueError(
            f"A split of {builder.name} must be one of {sorted(splits)} or a TFDS expression of them "
            f"such as 'train[:90%]'. Received: {split!r} ({reason})"
        ) from None
    if not instructions:
        raise ValueError(
            f"A split must hold at least one example. Received: {split!r} of {builder.name}, which is empty"
        )
    files = {}
    for instruction in instructions:
        if instruction.filename not in files:
            files[instruction.filename] = readers[suffix](
                instruction.filename, num_records=instruction.examples_in_shard
            )
    if suffix == "tfrecord":
        _check_sizes(splits, files)
    places = [(files[instruction.filename], instruction.skip) for instruction in instructions]
    return places, list(itertools.accumulate(instruction.take for instruction in instructions))


def _check_sizes(splits, files):
    """Raises ValueError for a missing or truncated file before a run begins, usually without reading the files.

    `splits` are those of the builder's info, `files` a dict of path to `TFRecordFile`.
    """
    for split in splits.values():
        paths, sizes = [path for path in map(str, split.filepaths) if path in files], []
        for path in paths:
            with _named(path):
                sizes.append(os.path.getsize(path))
        promised = split.num_bytes + (HEADER + FOOTER) * split.num_examples
        if len(paths) == split.num_shards and sum(sizes) < promised:
            for path in paths:  # only the records show which file it is
                with _named(path):
                    files[path].index()
