"""Moved images against NumPy, and boxes that keep what they are around."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vitcross.data.augment import geometric

SIZE = (13, 17)
IMAGES = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), np.uint8)


def sampled(image, source_of):
    """Oracle: each pixel (x, y) of the result is the bilinear mean around `source_of(x, y)`; gray outside."""
    height, width = image.shape[:2]
    result = np.zeros(image.shape)
    for y, x in np.ndindex(height, width):
        sx, sy = source_of(x, y)
        for py in (math.floor(sy), math.floor(sy) + 1):
            for px in (math.floor(sx), math.floor(sx) + 1):
                inside = 0 <= py < height and 0 <= px < width
                weight = (1 - abs(sy - py)) * (1 - abs(sx - px))
                result[y, x] += weight * (image[py, px] if inside else 128.0)
    return result


CASES = {
    "rotation": (lambda a: geometric.rotation(a, SIZE), 0.4),
    "shear_x": (lambda a: geometric.shear(x=a), 0.3),
    "shear_y": (lambda a: geometric.shear(y=a), -0.2),
    "translation_x": (lambda a: geometric.translation(x=a), 3.7),
    "translation_y": (lambda a: geometric.translation(y=a), -4.3),
}


def source_of(kind, amount):
    def rotated(x, y):
        x, y, cosine, sine = x - 8, y - 6, math.cos(amount), math.sin(amount)
        return 8 + cosine * x - sine * y, 6 + sine * x + cosine * y

    return {
        "rotation": rotated,
        "shear_x": lambda x, y: (x + amount * y, y),
        "shear_y": lambda x, y: (x, y + amount * x),
        "translation_x": lambda x, y: (x + amount, y),
        "translation_y": lambda x, y: (x, y + amount),
    }[kind]


@pytest.mark.parametrize("kind", CASES)
def test_images_move_as_the_oracle_says(kind):
    make, amount = CASES[kind]
    moved = geometric.move(tf.constant(IMAGES), make(tf.constant([amount, -amount]))).numpy().astype(int)
    for row, own in enumerate((amount, -amount)):
        expected = sampled(IMAGES[row], source_of(kind, own))
        assert np.abs(moved[row] - expected).max() <= 1.0  # the operation truncates


def test_a_quarter_turn_is_anticlockwise():
    square = IMAGES[:1, :13, :13]
    moved = geometric.move(tf.constant(square), geometric.rotation(tf.constant([math.pi / 2]), (13, 13))).numpy()
    assert np.abs(moved[0].astype(int) - np.rot90(square[0])).max() <= 1


def test_rotation_turns_as_pillow_does():
    smooth = np.kron(IMAGES[0, :5, :6], np.ones((12, 12, 1), np.uint8))  # 60 x 72
    angle = math.radians(17)
    moved = geometric.move(tf.constant(smooth[None]), geometric.rotation(tf.constant([angle]), smooth.shape[:2]))
    expected = Image.fromarray(smooth).rotate(17, Image.Resampling.BILINEAR, fillcolor=(128,) * 3)
    assert np.abs(moved[0].numpy().astype(int) - np.asarray(expected)).mean() < 3


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(CASES)), st.floats(-1, 1, width=32), st.tuples(*[st.integers(12, 30)] * 2))
def test_a_box_is_around_what_it_was_around(kind, share, corner):
    """A white rectangle in the dark, large enough that bilinear edges do not matter."""
    size = (60, 70)
    amount = np.float32(share * (0.5 if kind.startswith(("rot", "shear")) else 15))
    make = CASES[kind][0] if kind != "rotation" else (lambda a: geometric.rotation(a, size))
    top, left = corner
    pixels = np.zeros((1, *size, 1), np.uint8)
    pixels[0, top : top + 20, left : left + 24] = 255
    box = tf.constant([[top / 60, left / 70, (top + 20) / 60, (left + 24) / 70]])
    matrices = make(tf.constant([amount]))
    moved = geometric.move(tf.constant(pixels), matrices).numpy()[0, ..., 0]
    found = geometric.move_boxes({"box": box}, matrices, size)["box"].numpy()[0] * [60, 70, 60, 70]
    uncovered = geometric.move(tf.zeros_like(pixels), matrices).numpy()[0, ..., 0]
    rows, columns = np.nonzero(moved.astype(int) - uncovered > 127)
    expected = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    np.testing.assert_allclose(found, expected, atol=1.6)


def test_what_left_the_image_has_no_area_and_gets_none_by_turning():
    box = tf.constant([[0.1, 0.1, 0.3, 0.4]])
    gone = geometric.move_boxes(box, geometric.translation(x=tf.constant([16.0])), SIZE)
    y_min, x_min, y_max, x_max = gone.numpy()[0]
    assert x_min == x_max == 0 and y_max > y_min
    turned = geometric.move_boxes(gone, geometric.rotation(tf.constant([0.5]), SIZE), SIZE).numpy()[0]
    assert (turned[2] - turned[0]) * (turned[3] - turned[1]) == 0
    assert (turned >= 0).all() and (turned <= 1).all()


def test_no_box_stays_no_box_and_no_images_stay_none():
    none = geometric.translation(x=tf.zeros([0]))
    assert geometric.move_boxes(None, none, SIZE) is None
    assert geometric.move(tf.zeros([0, *SIZE, 3], tf.uint8), none).shape == (0, *SIZE, 3)
