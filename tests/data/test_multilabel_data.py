"""Several labels per image on their way from a source to a batch: a row of 0 and 1, also where images are mixed."""

import numpy as np
import pytest

from tests.data.images import ArraySource
from vitcross.data import load
from vitcross.data.batch import check_batch
from vitcross.data.image_data import ImageData, balanced_label_weights
from vitcross.data.scenes.shapes import SHAPES
from vitcross.data.sources.pair_source import Subset
from vitcross.options.data import ImageOptions

SIZE, CLASSES = (5, 7), ("a", "b", "c", "d", "e")
LABELS = [(0, 3), (), (1,), (0, 1, 2, 3), (3,), (2, 3), (0,)]


def one_hot(labels):
    return np.array([[float(label in each) for label in range(len(CLASSES))] for each in labels], np.float32)


def source(labels=LABELS, name="train"):
    images = np.broadcast_to(np.arange(len(labels), dtype=np.uint8)[:, None, None, None], (len(labels), *SIZE, 3))
    return ArraySource(images=images.copy(), labels=labels, class_names=CLASSES, name=name)


def image_data(validation=None, **options):
    options = ImageOptions(**({"image_size": SIZE, "batch_size": 6} | options))
    return ImageData(name="set", options=options, train=source(), validation=validation or source(name="validation"))


@pytest.mark.parametrize("cache", [0.0, 1.0])
def test_every_row_is_that_of_its_example(cache):
    data = image_data(cache_gigabytes=cache)
    rows = one_hot(LABELS)
    for batch in (*data.evaluation_batches("validation").as_numpy_iterator(), data.examples("train", [3, 1])):
        check_batch(batch, image_shape=(*SIZE, 3), num_classes=5, multilabel=True)
        np.testing.assert_array_equal(batch["labels"][batch["valid"]], rows[batch["index"]][batch["valid"]])
    batch = next(data.train_batches(seed=0).as_numpy_iterator())
    check_batch(batch, image_shape=(*SIZE, 3), num_classes=5, multilabel=True)
    np.testing.assert_array_equal(batch["labels"], rows[batch["index"]])
    np.testing.assert_array_equal(data.train.labels(), rows)
    assert Subset(source(), [6, 3]).multilabel


def test_mixed_images_have_the_labels_of_both():
    batch = next(image_data(augmentation={"mixup": 1.0, "cutmix": 1.0}).train_batches(seed=1).as_numpy_iterator())
    check_batch(batch, image_shape=(*SIZE, 3), num_classes=5, multilabel=True)
    own = one_hot(LABELS)[batch["index"]]
    np.testing.assert_array_equal(batch["labels"], own)
    np.testing.assert_array_equal(batch["mixed_labels"], own[[1, 0, 3, 2, 5, 4]])


def test_a_wrong_batch_is_named():
    batch = image_data().examples("train", [0, 1, 2])
    for labels, rule in (
        (batch["labels"].argmax(1).astype(np.int32), r"must have shape \(3, 5\)"),
        (batch["labels"].astype(np.int32), "must have dtype float32"),
        (batch["labels"] * 0.5, "must be 0 or 1"),
        (batch["labels"] + np.nan, "must be 0 or 1"),
    ):
        with pytest.raises(ValueError, match=rule):
            check_batch(batch | {"labels": labels}, image_shape=(*SIZE, 3), num_classes=5, multilabel=True)
    with pytest.raises(ValueError, match=r"'labels' must have shape \(3,\)"):
        check_batch(batch, image_shape=(*SIZE, 3), num_classes=5)


def test_splits_of_both_kinds_are_refused():
    single = ArraySource(images=np.zeros((3, *SIZE, 3), np.uint8), labels=[0, 0, 0], class_names=CLASSES)
    with pytest.raises(ValueError, match="'validation' differs"):
        image_data(validation=single)


def test_positives_weigh_as_much_as_negatives():
    weights = image_data(class_weights="balanced").class_weights
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, [4 / 3, 5 / 2, 5 / 2, 3 / 4, 1])  # no image has "e"
    np.testing.assert_allclose(balanced_label_weights(np.ones((3, 2))), [1, 1])


def test_boxes_of_labels_are_those_of_the_evaluation_view():
    class Boxed(ArraySource):
        def label_boxes(self, index):
            return {0: [[0, 0, 1, 0.5], [0.2, 0.75, 0.4, 1]], 3: np.array([[0.5, 0.9, 1, 1]])} if index == 0 else {}

    images = np.zeros((len(LABELS), 5, 10, 3), np.uint8)
    boxed = Boxed(images=images, labels=LABELS, class_names=CLASSES, name="validation")
    data = image_data(validation=boxed, image_size=(5, 5))  # the middle half of the width is seen
    first, second = data.label_boxes("validation", [0, 1])
    assert second == {} and set(first) == {0}
    np.testing.assert_allclose(first[0], [[0, 0, 1, 0.5]])
    assert data.label_boxes("train", [0, 1]) is None


def test_shapes_of_a_scene_are_its_labels(tmp_path):
    sizes = {"train_examples": 11, "validation_examples": 3, "test_examples": 2}
    data = load.scenes(data_dir=str(tmp_path), image_size=(40, 56), multilabel=True, batch_size=4, **sizes)
    assert data.multilabel and data.class_names == SHAPES and data.train.optional_keys == ()
    boxes = data.label_boxes("train", range(11))
    for index in range(11):
        objects = data.train.scene(index)["objects"]
        found = {SHAPES.index(item["shape"]) for item in objects}
        assert data.train.record(index)["label"] == tuple(sorted(found)) == tuple(sorted(boxes[index]))
        assert sum(len(each) for each in boxes[index].values()) == len(objects)
    with pytest.raises(ValueError, match="watermark must be null with multilabel=true"):
        load.scenes(data_dir=str(tmp_path), multilabel=True, watermark={})
