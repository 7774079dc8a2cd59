import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from vitcross.data.augment import erasing
from vitcross.data.augment.randomness import uniforms
from vitcross.data.augment.streams import ERASING

SIZE = (23, 37)


def draws(count, seed=0):
    return uniforms(tf.range(count, dtype=tf.int64), seed=seed)[:, ERASING]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([(223, 227), (101, 233), (307, 97), (61, 599)]), st.integers(0, 99))
def test_area_shape_and_place_are_within_range(size, seed):
    height, width = size
    top, left, bottom, right = erasing.rectangles(draws(101, seed)[:, 1:5], size).numpy().T
    assert (top >= 0).all() and (left >= 0).all() and (bottom <= height).all() and (right <= width).all()
    rows, columns = bottom - top, right - left
    assert rows.min() >= 1 and columns.min() >= 1
    # Sides are rounded to pixels: by half a pixel each.
    rounding = 0.5 * (1 / rows + 1 / columns) + 0.01
    area = rows * columns / (height * width)
    assert (area >= 0.02 * (1 - rounding)).all() and (area <= (1 + rounding) / 3).all()
    aspect = rows / columns
    longest = np.maximum(0.3, area * height / width), np.minimum(1 / 0.3, height / (area * width))
    as_drawn = (aspect >= 0.3 * (1 - rounding)) & (aspect <= (1 + rounding) / 0.3)
    assert (as_drawn | (longest[0] > longest[1] * (1 - 2 * rounding))).all()


def test_rectangles_are_drawn_evenly():
    size = (397, 401)
    top, left, bottom, right = erasing.rectangles(draws(5003)[:, 1:5], size).numpy().T
    area = (bottom - top) * (right - left) / (397 * 401)
    np.testing.assert_allclose(
        np.percentile(area, [25, 50, 75]), 0.02 + (1 / 3 - 0.02) * np.array([0.25, 0.5, 0.75]), atol=0.012
    )
    assert abs(np.mean(bottom - top > right - left) - 0.5) < 0.03
    assert abs(np.corrcoef(top / (397 - bottom + top + 1), left / (401 - right + left + 1))[0, 1]) < 0.05
    middle = np.mean((top + bottom) / 2 / 397), np.mean((left + right) / 2 / 401)
    np.testing.assert_allclose(middle, 0.5, atol=0.015)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_only_the_rectangle_changes_and_only_so_often(dtype):
    images = np.random.default_rng(0).integers(0, 256, (211, *SIZE, 3)).astype(dtype)
    erased = erasing.erase(tf.constant(images), draws(211), probability=0.25)
    assert erased.dtype == dtype
    changed = (erased.numpy() != images).any(-1)
    share = changed.any((1, 2)).mean()
    assert abs(share - 0.25) < 0.09
    edges = erasing.rectangles(draws(211)[:, 1:5], SIZE).numpy()
    for row in np.flatnonzero(changed.any((1, 2))):
        top, left, bottom, right = edges[row]
        outside = changed[row].copy()
        outside[top:bottom, left:right] = False
        assert not outside.any() and changed[row, top:bottom, left:right].mean() > 0.9


@pytest.mark.parametrize(("probability", "expected"), [(0.0, 0), (1.0, 7)])
def test_never_and_always(probability, expected):
    images = tf.fill([7, *SIZE, 1], 300.0)
    erased = erasing.erase(images, draws(7), probability=probability).numpy()
    assert (erased != 300).any((1, 2, 3)).sum() == expected


def test_noise_is_even_and_belongs_to_the_draw():
    noise = erasing.noise(tf.constant([0.25, 0.25, 0.25 + 2**-24]), (101, 103, 3)).numpy()
    np.testing.assert_array_equal(noise[0], noise[1])
    assert abs(np.corrcoef(noise[0].ravel(), noise[2].ravel())[0, 1]) < 0.02
    counts = np.bincount(noise[0].ravel(), minlength=256) / noise[0].size
    np.testing.assert_allclose(counts, 1 / 256, atol=0.0016)
    for axis in range(3):
        ahead, behind = np.take(noise[0], range(1, noise[0].shape[axis]), axis), np.delete(noise[0], -1, axis)
        assert abs(np.corrcoef(ahead.ravel(), behind.ravel())[0, 1]) < 0.02


def test_noise_is_the_hash_that_it_says():
    def mix(z):
        z = ((z ^ (z >> 16)) * 0x7FEB352D) % 2**32
        z = ((z ^ (z >> 15)) * 0x846CA68B) % 2**32
        return z ^ (z >> 16)

    found = erasing.noise(tf.constant([5 / 2**24]), (2, 3, 1)).numpy().ravel()
    assert found.tolist() == [mix((mix(5) + place) % 2**32) >> 24 for place in range(6)]


def test_eager_and_tf_data_agree():
    images = np.random.default_rng(0).integers(0, 256, (31, *SIZE, 3), np.uint8)
    eager = erasing.erase(tf.constant(images), draws(31), probability=0.5)

    def change(images, draws):
        return erasing.erase(images, draws, probability=0.5)

    inside = next(iter(tf.data.Dataset.from_tensors((images, draws(31))).map(change)))
    np.testing.assert_array_equal(eager, inside)
    alone = erasing.erase(tf.constant(images[4:5]), draws(31)[4:5], probability=0.5)
    np.testing.assert_array_equal(alone[0], eager[4])
    assert math.prod(inside.shape) == images.size
