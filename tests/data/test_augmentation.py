"""Each transform against a NumPy oracle, eager and inside tf.data, at sizes that are not square."""

import numpy as np
import pytest
import tensorflow as tf

from tests.data.images import gradient
from vitcross.data import geometry
from vitcross.data.augment import augmentation
from vitcross.data.augment.randomness import uniforms
from vitcross.data.augment.streams import NUM_STREAMS
from vitcross.options.data import Augmentation

SIZE = (7, 11)
IMAGES = np.random.default_rng(0).integers(0, 256, (5, *SIZE, 3), np.uint8)
BOXES = np.array([[0.1, 0.2, 0.5, 0.6]] * 5, np.float32)


def shifted(image, flip, shift):
    """Oracle: the window moves by `shift` over the reflected image; then the result is mirrored."""
    pad = 3
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
    y, x = pad + shift[0], pad + shift[1]
    window = padded[y : y + image.shape[0], x : x + image.shape[1]]
    return window[:, ::-1] if flip else window


@pytest.mark.parametrize("channels", [1, 3])
def test_flip_and_shift_equal_the_oracle(channels):
    images = IMAGES[..., :channels]
    flips = np.array([True, False, True, False, True])
    shifts = np.array([[0, 0], [3, -3], [-2, 1], [0, 2], [-3, -3]], np.int32)
    moved, boxes = augmentation.flip_and_shift(
        tf.constant(images), tf.constant(BOXES), flips=flips, shifts=shifts, image_size=SIZE
    )
    for row in range(5):
        np.testing.assert_array_equal(moved[row], shifted(images[row], flips[row], shifts[row]))
    np.testing.assert_allclose(boxes[0], [0.1, 0.4, 0.5, 0.8], atol=1e-6)
    np.testing.assert_allclose(boxes[1], [0, 0.2 + 3 / 11, 0.5 - 3 / 7, 0.6 + 3 / 11], atol=1e-6)


def test_a_box_keeps_its_pixels():
    pixels = np.zeros((1, 24, 36, 1), np.uint8)
    pixels[0, 6:12, 9:18] = 255
    box = np.array([[6 / 24, 9 / 36, 12 / 24, 18 / 36]], np.float32)
    moved, boxes = augmentation.flip_and_shift(
        tf.constant(pixels),
        tf.constant(box),
        flips=np.array([True]),
        shifts=np.array([[2, -4]], np.int32),
        image_size=(24, 36),
    )
    rows, columns = np.nonzero(moved[0, ..., 0].numpy())
    found = [rows.min() / 24, columns.min() / 36, (rows.max() + 1) / 24, (columns.max() + 1) / 36]
    np.testing.assert_allclose(boxes[0], found, atol=1e-6)


def test_a_random_crop_of_everything_changes_nothing():
    draws = np.random.default_rng(1).random((5, 4), np.float32)
    same, boxes = augmentation.random_resized_crop(
        tf.constant(IMAGES[:, :, :7]),
        tf.constant(BOXES),
        draws * [1, 0, 1, 1] + [0, 0.5, 0, 0],
        image_size=(7, 7),
        min_scale=1.0,
    )
    np.testing.assert_allclose(same, IMAGES[:, :, :7], atol=1e-2)
    np.testing.assert_allclose(boxes, BOXES, atol=1e-5)


def test_a_random_crop_shows_its_view():
    images = np.stack([gradient(32, 48)] * 5)
    draws = np.random.default_rng(2).random((5, 4)).astype(np.float32)
    crops, boxes = augmentation.random_resized_crop(
        tf.constant(images), tf.constant(BOXES), tf.constant(draws), image_size=(16, 20), min_scale=0.3
    )
    views = geometry.random_resized_view(draws, (32, 48), (16, 20), min_scale=0.3)
    assert crops.shape == (5, 16, 20, 3)
    for row, view in enumerate(views):
        np.testing.assert_allclose(boxes[row], geometry.box_in_view(BOXES[row], view), atol=1e-5)
        corners = crops[row].numpy()[[0, -1], [0, -1]]
        y, x = [view[0] * 31, view[2] * 31], [view[1] * 47, view[3] * 47]
        expected = images[0][np.rint(y).astype(int), np.rint(x).astype(int)]
        np.testing.assert_allclose(corners, expected, atol=6)


def test_color_jitter_at_the_middle_changes_nothing():
    same = augmentation.color_jitter(tf.constant(IMAGES), tf.fill([5, 3], 0.5), strength=0.7)
    np.testing.assert_allclose(same, IMAGES, atol=1e-3)


def test_color_jitter_changes_what_it_says():
    gray = gradient(7, 11, 1)[None]
    brighter = augmentation.color_jitter(tf.constant(gray), tf.constant([[1.0, 0.5, 0.5]]), strength=0.2)
    np.testing.assert_allclose(brighter, np.minimum(gray * 1.2, 255), atol=1e-2)
    flat = augmentation.color_jitter(tf.constant(gray), tf.constant([[0.5, 0.0, 0.5]]), strength=0.999)
    np.testing.assert_allclose(flat, np.full_like(gray, gray.mean(), float), atol=0.2)
    colorless = augmentation.color_jitter(tf.constant(IMAGES), tf.constant([[0.5, 0.5, 0.0]] * 5), strength=0.999)
    assert np.ptp(colorless.numpy(), axis=-1).max() < 1


@pytest.mark.parametrize(
    "options",
    [
        Augmentation(),
        Augmentation(flip=True),
        Augmentation(padded_crop=2),
        Augmentation(random_resized_crop=0.3),
        Augmentation(color_jitter=0.4),
        Augmentation(flip=True, padded_crop=3, random_resized_crop=0.5, color_jitter=0.2),
        Augmentation(three_augment=True, color_jitter=0.3),
        Augmentation(flip=True, random_resized_crop=0.5, randaugment_operations=2, color_jitter=0.2, erasing=0.5),
    ],
)
def test_eager_and_tf_data_agree(options):
    draws = uniforms(tf.range(5, dtype=tf.int64), seed=7)

    def change(images, boxes, draws):
        crop = options.random_resized_crop is not None
        return augmentation.augment(images, boxes, draws, options=options, image_size=SIZE, crop=crop)

    images, boxes = change(tf.constant(IMAGES), tf.constant(BOXES), draws)
    dataset = tf.data.Dataset.from_tensors((IMAGES, BOXES, draws)).map(change)
    inside, inside_boxes = next(iter(dataset))
    np.testing.assert_allclose(inside, images, atol=1e-3)
    np.testing.assert_allclose(inside_boxes, boxes, atol=1e-6)
    assert images.shape == IMAGES.shape and images.numpy().min() >= 0 and images.numpy().max() <= 255


@pytest.mark.parametrize("color_jitter", [0.0, 0.3])
def test_a_change_that_is_switched_on_leaves_the_draws_of_the_others(color_jitter):
    draws = uniforms(tf.range(5, dtype=tf.int64), seed=7)
    few = {"flip": True, "padded_crop": 2, "randaugment_operations": 2, "color_jitter": color_jitter}
    before, after = (
        augmentation.augment(tf.constant(IMAGES), None, draws, options=Augmentation(**few, **extra), image_size=SIZE)[
            0
        ].numpy()
        for extra in ({}, {"erasing": 1.0})
    )
    same = (before == after).all(-1)
    assert (same.mean((1, 2)) > 0.6).all() and (same.mean((1, 2)) < 1).all()


def test_no_box_stays_no_box():
    draws = tf.zeros([5, NUM_STREAMS])
    options = Augmentation(flip=True, random_resized_crop=0.5)
    assert (
        augmentation.augment(tf.constant(IMAGES), None, draws, options=options, image_size=SIZE, crop=True)[1] is None
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"padded_crop": -1},
        {"random_resized_crop": 0},
        {"color_jitter": 1},
        {"randaugment_operations": 5},
        {"randaugment_magnitude": 10.1},
        {"erasing": 1.1},
        {"mixup": -0.1},
        {"cutmix": -1},
        {"mix_probability": 0},
        {"repeats": 0},
    ],
)
def test_wrong_options_are_named(wrong):
    with pytest.raises(ValueError, match=f"^expected .* Received: {next(iter(wrong))}="):
        Augmentation(**wrong)
