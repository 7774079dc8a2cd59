"""Every table against NumPy, one pixel at a time as the definition says, and against Pillow itself."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from vitcross.data.augment import pixel_tables

SHAPE = (3, 7, 11, 3)
RANDOM = np.random.default_rng(0)
NOISE = RANDOM.integers(0, 256, SHAPE, np.uint8)
DULL = (NOISE // 5 + 90).astype(np.uint8)  # a narrow histogram
FLAT = np.full(SHAPE, 83, np.uint8)
TWO_VALUES = np.where(NOISE < 100, 4, 200).astype(np.uint8)
IMAGES = pytest.mark.parametrize("images", [NOISE, DULL, FLAT, TWO_VALUES, NOISE[..., :1]])


def pillow(change, images):
    """A change of Pillow's for each image of a batch; one channel is mode L."""
    changed = []
    for image in images:
        result = np.asarray(change(Image.fromarray(image if image.shape[-1] == 3 else image[..., 0])))
        changed.append(result if result.ndim == 3 else result[..., None])
    return np.stack(changed)


def looked_up(images, table):
    return pixel_tables.look_up(tf.constant(images), table).numpy()


def luma(image):
    if image.shape[-1] == 1:
        return image[..., 0].astype(int)
    return np.array([[(r * 19595 + g * 38470 + b * 7471 + 2**15) >> 16 for r, g, b in row] for row in image.tolist()])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_look_up_uses_the_table_of_image_and_channel(channels):
    images = NOISE[..., :channels]
    tables = RANDOM.integers(0, 256, (3, channels, 256), np.uint8)
    found = looked_up(images, tf.constant(tables))
    for b, y, x, c in np.ndindex(*images.shape):
        assert found[b, y, x, c] == tables[b, c, images[b, y, x, c]]
    one_for_all_channels = looked_up(images, tf.constant(tables[:, :1]))
    np.testing.assert_array_equal(
        one_for_all_channels[..., -1], tables[np.arange(3)[:, None, None], 0, images[..., -1]]
    )


@IMAGES
def test_autocontrast(images):
    found = looked_up(images, pixel_tables.autocontrast(tf.constant(images)))
    for b in range(3):
        for c in range(images.shape[-1]):
            plane = images[b, ..., c].astype(int)
            low, high = plane.min(), plane.max()
            expected = plane if low == high else (plane - low) * 255 // (high - low)
            np.testing.assert_array_equal(found[b, ..., c], expected)
    # Pillow truncates what a float may have put just below a whole number.
    assert np.abs(found.astype(int) - pillow(ImageOps.autocontrast, images)).max() <= 1


@IMAGES
def test_equalize(images):
    found = looked_up(images, pixel_tables.equalize(tf.constant(images)))
    np.testing.assert_array_equal(found, pillow(ImageOps.equalize, images))
    for b in range(3):
        plane = images[b, ..., 0]
        counts = [int((plane == value).sum()) for value in range(256)]
        step = (plane.size - counts[plane.max()]) // 255
        table = [min((step // 2 + sum(counts[:v])) // step, 255) if step else v for v in range(256)]
        np.testing.assert_array_equal(found[b, ..., 0], np.array(table)[plane])


def test_equalize_levels_a_large_image():
    images = (RANDOM.normal(90, 9, (1, 97, 101, 1))).clip(0, 255).astype(np.uint8)
    found = looked_up(images, pixel_tables.equalize(tf.constant(images)))
    np.testing.assert_array_equal(found, pillow(ImageOps.equalize, images))
    np.testing.assert_allclose(np.percentile(found, [10, 50, 90]), [25.5, 127.5, 229.5], atol=12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 256))
def test_solarize(threshold):
    found = looked_up(NOISE, pixel_tables.solarize(tf.fill([3], float(threshold))))
    inverted = NOISE.astype(int) >= threshold
    np.testing.assert_array_equal(found, np.where(inverted, 255 - NOISE, NOISE))
    np.testing.assert_array_equal(found, pillow(lambda image: ImageOps.solarize(image, threshold), NOISE))


@pytest.mark.parametrize("bits", range(1, 9))
def test_posterize(bits):
    found = looked_up(NOISE, pixel_tables.posterize(tf.fill([3], bits)))
    np.testing.assert_array_equal(found, NOISE & (256 - 2 ** (8 - bits)))
    np.testing.assert_array_equal(found, pillow(lambda image: ImageOps.posterize(image, bits), NOISE))


@settings(max_examples=20, deadline=None)
@given(st.floats(0.125, 1.875, width=32))
def test_brightness_and_contrast(factor):
    factors = tf.fill([3], factor)
    brighter = looked_up(NOISE, pixel_tables.brightness(factors))
    np.testing.assert_array_equal(brighter, np.minimum(np.float32(factor) * NOISE, 255).astype(np.uint8))
    np.testing.assert_array_equal(brighter, pillow(lambda image: ImageEnhance.Brightness(image).enhance(factor), NOISE))
    steeper = looked_up(DULL, pixel_tables.contrast(tf.constant(DULL), factors))
    for b in range(3):
        mean = np.floor(luma(DULL[b]).mean() + 0.5)
        expected = (mean + np.float32(factor) * (DULL[b] - mean)).clip(0, 255)
        assert np.abs(steeper[b] - np.floor(expected)).max() <= 1  # where a product of floats is just whole
    by_pillow = pillow(lambda image: ImageEnhance.Contrast(image).enhance(factor), DULL)
    assert np.abs(steeper.astype(int) - by_pillow).max() <= 1


@IMAGES
def test_luma(images):
    found = pixel_tables.luma(tf.constant(images)).numpy()
    np.testing.assert_array_equal(found[..., 0], [luma(image) for image in images])
    np.testing.assert_array_equal(found[..., 0], pillow(lambda image: image.convert("L"), images)[..., 0])


def test_no_images_stay_none():
    none = tf.zeros([0, 7, 11, 3], tf.uint8)
    for table in (
        pixel_tables.autocontrast(none),
        pixel_tables.equalize(none),
        pixel_tables.contrast(none, tf.zeros(0)),
    ):
        assert pixel_tables.look_up(none, table).shape == (0, 7, 11, 3)
