"""Every filter against NumPy, pixel by pixel, and where Pillow has the same one against Pillow."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageEnhance, ImageFilter

from tests.data.test_pixel_tables import NOISE, luma, pillow
from vitcross.data.augment import pixel_filters

FACTORS = st.floats(0.125, 1.875, width=32)


@settings(max_examples=20, deadline=None)
@given(FACTORS)
def test_color(factor):
    found = pixel_filters.color(tf.constant(NOISE), tf.fill([3], factor)).numpy().astype(int)
    for b in range(3):
        gray = luma(NOISE[b])[..., None]
        expected = np.floor((gray + factor * (NOISE[b].astype(float) - gray)).clip(0, 255))
        assert np.abs(found[b] - expected).max() <= 1  # where a product of floats is just whole
    assert np.abs(found - pillow(lambda image: ImageEnhance.Color(image).enhance(factor), NOISE)).max() <= 1


def smoothed(image):
    """Oracle: (the sum of the 3 x 3 neighborhood + 4 times the pixel) / 13, rounded; border pixels stay."""
    result = image.astype(int)
    for y in range(1, image.shape[0] - 1):
        for x in range(1, image.shape[1] - 1):
            around = image[y - 1 : y + 2, x - 1 : x + 2].astype(int).sum((0, 1))
            result[y, x] = np.floor((around + 4 * image[y, x].astype(int)) / 13 + 0.5)
    return result


@settings(max_examples=20, deadline=None)
@given(FACTORS)
def test_sharpness(factor):
    found = pixel_filters.sharpness(tf.constant(NOISE), tf.fill([3], factor)).numpy().astype(int)
    for b in range(3):
        smooth = smoothed(NOISE[b])
        expected = np.floor((smooth + factor * (NOISE[b].astype(float) - smooth)).clip(0, 255))
        assert np.abs(found[b] - expected).max() <= 2
    assert np.abs(found - pillow(lambda image: ImageEnhance.Sharpness(image).enhance(factor), NOISE)).max() <= 2


@pytest.mark.parametrize("change", [pixel_filters.color, pixel_filters.sharpness])
def test_a_factor_of_one_changes_nothing_and_rows_have_their_own(change):
    found = change(tf.constant(NOISE), tf.constant([1.0, 0.2, 1.0])).numpy()
    np.testing.assert_array_equal(found[[0, 2]], NOISE[[0, 2]])
    assert np.abs(found[1].astype(int) - NOISE[1]).mean() > 5


@pytest.mark.parametrize("channels", [1, 3])
def test_gray(channels):
    images = NOISE[..., :channels]
    found = pixel_filters.gray(tf.constant(images)).numpy()
    assert found.shape == images.shape
    for b in range(3):
        np.testing.assert_array_equal(found[b], np.repeat(luma(images[b])[..., None], channels, -1))


@pytest.mark.parametrize("channels", [1, 3])
def test_blur_is_a_weighted_mean_by_distance(channels):
    images, sigmas = NOISE[..., :channels], np.array([0.1, 0.7, 2.0], np.float32)
    found = pixel_filters.blur(tf.constant(images), tf.constant(sigmas)).numpy().astype(int)
    y, x = np.mgrid[:7, :11]
    for b, sigma in enumerate(sigmas.astype(float)):
        for row, column in np.ndindex(7, 11):
            weights = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * sigma**2))
            expected = (weights[..., None] * images[b]).sum((0, 1)) / weights.sum()
            assert np.abs(found[b, row, column] - expected).max() <= 0.51
    np.testing.assert_array_equal(found[0], images[0])


def test_blur_is_near_that_of_pillow():
    """Pillow approximates a Gaussian by boxes and repeats the border pixel; inside they agree."""
    images = np.random.default_rng(1).integers(0, 256, (1, 37, 41, 3), np.uint8)
    found = pixel_filters.blur(tf.constant(images), tf.constant([1.5])).numpy().astype(int)
    expected = pillow(lambda image: image.filter(ImageFilter.GaussianBlur(1.5)), images)
    assert np.abs(found - expected)[:, 6:-6, 6:-6].max() <= 4


def test_no_images_stay_none():
    none, numbers = tf.zeros([0, 7, 11, 3], tf.uint8), tf.zeros([0])
    for change in (pixel_filters.color, pixel_filters.sharpness, pixel_filters.blur):
        assert change(none, numbers).shape == (0, 7, 11, 3)
