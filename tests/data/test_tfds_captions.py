"""COCO captions as TFDS itself stores them, and how the captions of other sets are found."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.data.images import encode, gradient
from vitcross.data import load
from vitcross.data.batch import check_batch
from vitcross.data.sources.tfds_captions import caption_key

SIZES = {"train": 7, "val": 5, "test": 3, "restval": 2}


def captions(split, k):
    return [f"image {k} of {split}, number {number}." for number in range(k % 3 + 1)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The official builder writes a few made-up examples."""
    folder = tmp_path_factory.mktemp("tfds")
    builder = tfds.builder("coco_captions", data_dir=str(folder), try_gcs=False)

    def examples(split):
        for k in range(SIZES[split]):
            texts = captions(split, k) + ([" "] if (split, k) == ("train", 3) else [])
            objects = [
                {"area": 5, "bbox": tfds.features.BBox(0.1, 0.2, 0.3, 0.4), "id": k, "is_crowd": False, "label": 2}
            ]
            example = {"image": encode(gradient(20 + k, 30, seed=k)), "image/filename": f"{k}.jpg", "image/id": k}
            example |= {"objects": objects, "captions": [{"id": n, "text": text} for n, text in enumerate(texts)]}
            yield k, example

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(builder), "_split_generators", lambda *a, **k: {split: examples(split) for split in SIZES})
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    return folder


@pytest.fixture(scope="module")
def data(folder):
    return load.tfds_captions(
        name="coco_captions", train_split="train+restval", validation_split="val", test_split="test",
        data_dir=str(folder), image_size=(12, 18), batch_size=4,
    )  # fmt: skip


def test_every_caption_is_a_pair_and_every_image_is_one(data):
    expected = {
        text: (split, k) for split in ("train", "restval") for k in range(SIZES[split]) for text in captions(split, k)
    }
    assert set(data.train.texts()) == set(expected) and len(data.train) == len(expected)
    assert len(data.train.images) == 9 and data.class_names == () and data.splits == ("train", "validation", "test")
    for index, text in enumerate(data.train.texts()):
        assert sorted(data.train.references(index)) == sorted(captions(*expected[text]))
    assert list(data.problems.names) == ["empty text"] and len(data.problems.names["empty text"]) == 1
    assert data.train.scene(0) is None and data.word_boxes("train", 0) == [None] * len(data.words("train", 0))


def test_batches_hold_image_and_text_of_each_pair(data):
    for split in data.splits:
        for batch in data.evaluation_batches(split).as_numpy_iterator():
            check_batch(batch, image_shape=(12, 18, 3), num_classes=0)
            for index, token_ids in zip(batch["index"], batch["token_ids"], strict=True):
                assert data.tokenizer.decode(token_ids) == data.source(split).text(int(index))
    for batch in data.train_batches(seed=1).take(3).as_numpy_iterator():
        check_batch(batch, image_shape=(12, 18, 3), num_classes=0)
        np.testing.assert_array_equal(batch["image_id"], data.train.image_ids[batch["index"]])


class Info:
    name = "set"

    def __init__(self, **features):
        self.features = tfds.features.FeaturesDict({"image": tfds.features.Image(), **features})


def test_the_feature_with_the_captions_is_found():
    text = tfds.features.Text
    assert caption_key(Info(caption=text(), file_name=text())) == "caption"
    assert caption_key(Info(description=text())) == "description"
    assert caption_key(Info(captions=tfds.features.Sequence(text()), id=text())) == "captions"
    assert caption_key(Info(captions=tfds.features.Sequence({"id": np.int64, "text": text()}))) == "captions/text"
    with pytest.raises(ValueError, match=r"one Text feature.*set with \['a', 'b'\]"):
        caption_key(Info(a=text(), b=text()))
    with pytest.raises(ValueError, match="set with none"):
        caption_key(Info(label=tfds.features.ClassLabel(num_classes=3)))


def test_a_set_that_is_not_prepared_is_named_at_once(tmp_path):
    with pytest.raises(FileNotFoundError, match="coco_captions is not prepared"):
        load.tfds_captions(name="coco_captions", data_dir=str(tmp_path), image_size=(12, 18))
