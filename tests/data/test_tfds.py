"""TFDS sets that are really written by TFDS, in both formats, and what is said when one is missing."""

import socket

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.data.images import encode, gradient
from vitcross.data import load
from vitcross.data.batch import check_batch
from vitcross.data.sources import tfds_prepare
from vitcross.data.sources.tfds_prepare import prepared_builder
from vitcross.data.sources.tfds_source import TFDSSource
from vitcross.data.sources.tfrecord import TFRecordFile

SIZES = {"train": 31, "test": 7}


class TinyImages(tfds.core.GeneratorBasedBuilder):
    """Gray images filled with 3 * index in train and 200 + index in test."""

    VERSION = tfds.core.Version("1.0.0")
    shape = (5, 7, 1)

    def _info(self):
        features = {
            "id": tfds.features.Text(),
            "image": tfds.features.Image(shape=self.shape),
            "label": tfds.features.ClassLabel(names=["x", "y", "z"]),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in SIZES}

    def _generate_examples(self, split):
        for k in range(SIZES[split]):
            yield k, {"id": str(k), "image": self.image(split, k), "label": k % 3}

    def image(self, split, k):
        return np.full((5, 7, 1), 3 * k if split == "train" else 200 + k, np.uint8)


class TinyPhotographs(TinyImages):
    """RGB images of several sizes and formats, one of them broken."""

    shape = (None, None, 3)

    def image(self, split, k):
        if split == "train" and k == 4:
            return b"no image"
        return encode(gradient(20 + k, 30, seed=k), "JPEG" if k % 2 else "PNG")


class TinyTags(TinyImages):
    """Any number of labels per image, listed in falling order and some of them twice; and a second list, as VOC has."""

    def _info(self):
        names = tfds.features.ClassLabel(names=["x", "y", "z"])
        features = {"image": tfds.features.Image(shape=self.shape)}
        features |= {key: tfds.features.Sequence(names) for key in ("labels", "labels_no_difficult")}
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
        )

    def _generate_examples(self, split):
        for k in range(SIZES[split]):
            yield k, {"image": self.image(split, k), "labels": tags(k)[::-1] * 2, "labels_no_difficult": []}


def tags(k):
    return [label for label in range(3) if k % (label + 2) == 0]


class TinyTexts(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({"text": tfds.features.Text()}))

    def _split_generators(self, dl_manager):
        return {"train": iter([("a", {"text": "a"})])}

    def _generate_examples(self):
        raise NotImplementedError


def prepare(builder_class, folder, *, file_format="tfrecord", num_shards=None):
    builder = builder_class(data_dir=folder, file_format=file_format)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False, num_shards=num_shards)
    )
    return builder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    prepare(TinyImages, folder / "tfrecord", num_shards=3)
    prepare(TinyImages, folder / "array_record", file_format="array_record")
    prepare(TinyPhotographs, folder / "tfrecord", num_shards=2)
    prepare(TinyTexts, folder / "tfrecord")
    prepare(TinyTags, folder / "tfrecord")
    return folder


def values(source):
    return [int(source[k]["image"][0, 0, 0]) for k in range(len(source))]


TRAIN, TEST = [3 * k for k in range(31)], [200 + k for k in range(7)]


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train", TRAIN),
        ("test", TEST),
        ("train[:13]", TRAIN[:13]),
        ("train[7:29]", TRAIN[7:29]),
        ("train[-5:]", TRAIN[-5:]),
        ("train[:90%]", TRAIN[:28]),
        ("train[90%:]+test[:2]", TRAIN[28:] + TEST[:2]),
        ("test+train[12:14]+test", TEST + TRAIN[12:14] + TEST),
    ],
)
def test_any_split_expression_with_random_access(prepared, file_format, split, expected):
    builder = prepared_builder(name="tiny_images", data_dir=prepared / file_format)
    source = TFDSSource(builder=builder, split=split)
    assert values(source) == expected
    assert source.image_shape == (5, 7, 1) and source.class_names == ("x", "y", "z")
    assert source.example_name(3) == f"tiny_images/{split}/3"
    order = np.random.default_rng(0).permutation(len(source))
    assert [int(source[int(k)]["image"][0, 0, 0]) for k in order] == [expected[k] for k in order]
    with pytest.raises(IndexError):
        source.record(len(source))


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_batches_of_a_tfds_set(prepared, file_format):
    data = load.tfds(
        name="tiny_images",
        data_dir=str(prepared / file_format),
        train_split="train[:23]",
        validation_split="train[23:]",
        test_split="test",
        batch_size=5,
    )
    assert (data.image_shape, data.num_classes, data.splits) == ((5, 7, 1), 3, ("train", "validation", "test"))
    for split, size in (("train", 23), ("validation", 8), ("test", 7)):
        batches = list(data.evaluation_batches(split).as_numpy_iterator())
        assert sum(int(batch["valid"].sum()) for batch in batches) == size
    batch = next(data.train_batches(seed=0).as_numpy_iterator())
    check_batch(batch, image_shape=(5, 7, 1), num_classes=3)
    assert data.train.labels().tolist() == [k % 3 for k in range(23)]


def test_a_sequence_of_labels_is_several_labels_per_image(prepared):
    data = load.tfds(
        name="tiny_tags", data_dir=str(prepared / "tfrecord"), validation_split="test", num_classes=3, batch_size=4
    )
    assert data.multilabel and data.class_names == ("x", "y", "z")
    assert [data.train.record(k)["label"] for k in range(31)] == [tuple(tags(k)) for k in range(31)]
    batch = next(data.evaluation_batches("train", batch_size=31).as_numpy_iterator())
    check_batch(batch, image_shape=(5, 7, 1), num_classes=3, multilabel=True)
    np.testing.assert_array_equal(batch["labels"], [[label in tags(k) for label in range(3)] for k in range(31)])


def test_images_of_several_sizes_and_a_broken_one(prepared):
    arguments = {
        "name": "tiny_photographs",
        "data_dir": str(prepared / "tfrecord"),
        "validation_split": "test",
        "max_unreadable": 1,
    }
    with pytest.raises(ValueError, match="image_size must be given for tiny_photographs"):
        load.tfds(**arguments)
    data = load.tfds(image_size=[16, 12], channels=1, augmentation={"random_resized_crop": 0.5}, **arguments)
    for batch in data.train_batches(seed=0, batch_size=7).take(5).as_numpy_iterator():
        check_batch(batch, image_shape=(16, 12, 1), num_classes=3)
    assert list(data.unreadable.reasons) == ["tiny_photographs/train/4"]


@pytest.mark.parametrize("split", ["trian", "train[:90", "train[90%:]+tset", "train[:999]"])
def test_an_unknown_split_names_the_known_ones(prepared, split):
    builder = prepared_builder(name="tiny_images", data_dir=prepared / "tfrecord")
    with pytest.raises(ValueError, match=r"must be one of \['test', 'train'\] .* Received: '"):
        TFDSSource(builder=builder, split=split)


def test_an_empty_split_is_refused(prepared):
    builder = prepared_builder(name="tiny_images", data_dir=prepared / "tfrecord")
    with pytest.raises(ValueError, match="at least one example"):
        TFDSSource(builder=builder, split="train[3:3]")


def test_a_set_without_images_is_refused(prepared):
    builder = prepared_builder(name="tiny_texts", data_dir=prepared / "tfrecord")
    with pytest.raises(ValueError, match="one Image and one feature of ClassLabel, or .*Received: tiny_texts .*Text"):
        TFDSSource(builder=builder, split="train")


def test_an_unknown_name_gets_the_nearest(tmp_path):
    with pytest.raises(ValueError, match="nearest: .*cifar10.* Received: 'cifar1O'"):
        prepared_builder(name="cifar1O", data_dir=tmp_path)


def test_an_unknown_version_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"Received: 'cifar10:9.9.9'"):
        prepared_builder(name="cifar10:9.9.9", data_dir=tmp_path)


def test_a_set_that_is_not_prepared_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"(?s)cifar10 is not prepared.*data.download=true.*tfds build cifar10"):
        prepared_builder(name="cifar10", data_dir=tmp_path)
    with pytest.raises(FileNotFoundError, match="by hand"):
        prepared_builder(name="imagenet2012", data_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_download_without_a_network_ends_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_prepare, "PREFLIGHT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as closed:
        ports = [silent.getsockname()[1], closed.getsockname()[1]]
        closed.close()
        for port in ports:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
            monkeypatch.setenv("no_proxy", "")
            with pytest.raises(ConnectionError, match="cifar10 is not prepared .* cannot be downloaded: https://"):
                prepared_builder(name="cifar10", data_dir=tmp_path, download=True)


def test_a_set_without_downloads_is_prepared_when_asked(tmp_path):
    with pytest.raises(FileNotFoundError):
        prepared_builder(name="tiny_images", data_dir=tmp_path)
    builder = prepared_builder(name="tiny_images", data_dir=tmp_path, download=True)
    assert len(TFDSSource(builder=builder, split="train")) == 31


def test_a_truncated_tfrecord_file_is_named(prepared, tmp_path):
    shard = next((prepared / "tfrecord").glob("tiny_images/*/*train*00000*"))
    copy = tmp_path / "cut.tfrecord"
    copy.write_bytes(shard.read_bytes()[:-3])
    with pytest.raises(ValueError, match="cut.tfrecord must be a whole TFRecord file"):
        TFRecordFile(copy, num_records=10)[0]
    copy.write_bytes(shard.read_bytes())
    with pytest.raises(ValueError, match="must hold 999 records. Received: "):
        TFRecordFile(copy, num_records=999)[0]
