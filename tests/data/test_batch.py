import numpy as np
import pytest

from vitcross.data.batch import check_batch, normalize, to_uint8

SHAPE, CLASSES = (5, 7, 3), 11


def batch(**changes):
    rng = np.random.default_rng(0)
    values = {
        "images": rng.uniform(-1, 1, (2, *SHAPE)).astype(np.float32),
        "labels": np.array([0, CLASSES - 1], np.int32),
        "valid": np.array([True, True]),
        "index": np.array([3, 1], np.int64),
        "box": np.array([[0, 0.1, 0.5, 1]] * 2, np.float32),
        "num_objects": np.array([1, 5], np.int32),
    }
    return {key: value for key, value in (values | changes).items() if value is not None}


def test_a_right_batch_passes():
    check_batch(batch(), image_shape=SHAPE, num_classes=CLASSES)
    check_batch(batch(box=None, num_objects=None), image_shape=SHAPE, num_classes=CLASSES)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"labels": None}, "needs the key 'labels'"),
        ({"images": np.zeros((2, 7, 5, 3), np.float32)}, r"'images' must have shape \(2, 5, 7, 3\)"),
        ({"images": np.zeros((0, *SHAPE), np.float32)}, "B > 0"),
        ({"images": np.zeros((2, *SHAPE))}, "'images' must have dtype float32"),
        ({"images": np.full((2, *SHAPE), 255, np.float32)}, r"must lie in \[-1, 1\]"),
        ({"images": np.full((2, *SHAPE), np.nan, np.float32)}, r"must lie in \[-1, 1\]"),
        ({"labels": np.array([0, CLASSES], np.int32)}, r"\[0, 11\).*0 to 11"),
        ({"labels": np.array([0, -1], np.int32)}, "split without labels"),
        ({"labels": np.array([0, 1], np.int64)}, "'labels' must have dtype int32"),
        ({"valid": np.array([1, 1])}, "'valid' must have dtype bool"),
        ({"index": np.array([1], np.int64)}, r"'index' must have shape \(2,\)"),
        ({"box": np.array([[0, 0, 1.5, 1]] * 2, np.float32)}, "'box' must be"),
        ({"box": np.array([[0.6, 0, 0.5, 1]] * 2, np.float32)}, "'box' must be"),
    ],
)
def test_a_wrong_batch_names_key_and_rule(changes, rule):
    with pytest.raises(ValueError, match=rule):
        check_batch(batch(**changes), image_shape=SHAPE, num_classes=CLASSES)


def test_mixed_images_have_both_keys_in_range():
    mixed = {"mixed_labels": np.array([CLASSES - 1, 0], np.int32), "mixing": np.array([0.25, 1], np.float32)}
    check_batch(batch(**mixed), image_shape=SHAPE, num_classes=CLASSES)
    for changes, rule in (
        ({"mixing": None}, "needs the key 'mixing'"),
        ({"mixed_labels": None}, "needs the key 'mixed_labels'"),
        ({"mixed_labels": np.array([CLASSES, 0], np.int32)}, r"'mixed_labels' must lie in \[0, 11\)"),
        ({"mixing": np.array([0.25, 1.5], np.float32)}, r"'mixing' must lie in \[0, 1\]"),
        ({"mixing": np.array([0.25, np.nan], np.float32)}, r"'mixing' must lie in \[0, 1\]"),
        ({"mixing": np.array([0.25, 1.0])}, "'mixing' must have dtype float32"),
        ({"mixing": np.array([0.25], np.float32)}, r"'mixing' must have shape \(2,\)"),
    ):
        with pytest.raises(ValueError, match=rule):
            check_batch(batch(**(mixed | changes)), image_shape=SHAPE, num_classes=CLASSES)


def pairs(**changes):
    token_ids = np.array([[1, 9, 2, 0, 0], [1, 7, 8, 9, 2]], np.int32)
    texts = {
        "token_ids": token_ids,
        "padding_mask": token_ids != 0,
        "text_id": np.array([0, 1], np.int64),
        "image_id": np.array([4, 4], np.int64),
        "question_type": np.array([0, 2], np.int32),
        "annotator_answers": np.full((2, 3), -1, np.int32),
        "labels": np.array([-1, 0], np.int32),
    }
    return batch(**(texts | changes))


def test_a_right_batch_of_pairs_passes():
    check_batch(pairs(), image_shape=SHAPE, num_classes=CLASSES)
    check_batch(pairs(question_type=None, annotator_answers=None), image_shape=SHAPE, num_classes=CLASSES)
    check_batch(pairs(labels=np.array([-1, -1], np.int32)), image_shape=SHAPE, num_classes=0)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"padding_mask": None}, "needs the key 'padding_mask'"),
        ({"image_id": None}, "needs the key 'image_id'"),
        ({"token_ids": np.ones((2, 4), np.int32)}, r"'token_ids' must have shape \(2, 5\)"),
        ({"token_ids": np.ones((2, 5), np.int64)}, "'token_ids' must have dtype int32"),
        ({"token_ids": np.ones((2, 5), np.int32)}, "0 exactly where 'padding_mask' is False"),
        ({"token_ids": np.array([[1, 0, 2, 0, 0], [1, 7, 8, 9, 2]], np.int32)}, "0 exactly where"),
        (
            {
                "token_ids": np.array([[1, 0, 2, 0, 0]] * 2, np.int32),
                "padding_mask": np.array([[True, False, True, False, False]] * 2),
            },
            "True first and False after",
        ),
        ({"token_ids": np.zeros((2, 5), np.int32), "padding_mask": np.zeros((2, 5), np.bool_)}, "True first"),
        ({"text_id": np.array([0], np.int64)}, r"'text_id' must have shape \(2,\)"),
        ({"text_id": np.array([0, 1], np.int32)}, "'text_id' must have dtype int64"),
        ({"annotator_answers": np.zeros(2, np.int32)}, "'annotator_answers' must have shape"),
        ({"labels": np.array([-2, 0], np.int32)}, r"\[-1, 11\).*-2 to 0"),
    ],
)
def test_a_wrong_batch_of_pairs_names_key_and_rule(changes, rule):
    with pytest.raises(ValueError, match=rule):
        check_batch(pairs(**changes), image_shape=SHAPE, num_classes=CLASSES)


def test_rows_that_are_not_valid_may_hold_anything():
    changes = {"labels": np.array([0, -1], np.int32), "valid": np.array([True, False])}
    check_batch(batch(**changes), image_shape=SHAPE, num_classes=CLASSES)


def test_normalization_is_exact_and_undone():
    every = np.arange(256, dtype=np.uint8)
    images = normalize(every)
    assert images.dtype == np.float32 and images[0] == -1 and images[255] == 1
    np.testing.assert_array_equal(to_uint8(images), every)
    np.testing.assert_array_equal(to_uint8(np.array([-7.0, 7.0])), [0, 255])
