"""RandAugment and 3-Augment: which change, how strong, on which images; eager and inside tf.data."""

import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from tests.data.test_geometric import sampled
from vitcross.data.augment import randaugment, three_augment
from vitcross.data.augment.randaugment import OPERATIONS
from vitcross.data.augment.randomness import uniforms
from vitcross.data.augment.streams import RANDAUGMENT, THREE_AUGMENT

SIZE = (13, 17)
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (len(OPERATIONS), *SIZE, 3), np.uint8)
BOXES = np.tile(np.array([0.25, 0.3, 0.5, 0.7], np.float32), (len(OPERATIONS), 1))
MAGNITUDE, LEVEL = 7.0, 0.7


def by_definition(image, name, sign):
    """Oracle: Pillow for what it has, else bilinear sampling in NumPy."""
    factor, as_pillow = 1 + sign * 0.9 * LEVEL, Image.fromarray(image)
    height, width = image.shape[:2]
    angle = sign * LEVEL * math.pi / 6
    y, x = (height - 1) / 2, (width - 1) / 2
    sources = {
        "rotate": lambda u, v: (
            x + math.cos(angle) * (u - x) - math.sin(angle) * (v - y),
            y + math.sin(angle) * (u - x) + math.cos(angle) * (v - y),
        ),
        "shear_x": lambda u, v: (u + sign * 0.3 * LEVEL * v, v),
        "shear_y": lambda u, v: (u, v + sign * 0.3 * LEVEL * u),
        "translate_x": lambda u, v: (u + sign * 150 / 331 * LEVEL * width, v),
        "translate_y": lambda u, v: (u, v + sign * 150 / 331 * LEVEL * height),
    }
    if name in sources:
        return sampled(image, sources[name])
    changes = {
        "identity": lambda: as_pillow,
        "autocontrast": lambda: ImageOps.autocontrast(as_pillow),
        "equalize": lambda: ImageOps.equalize(as_pillow),
        "solarize": lambda: ImageOps.solarize(as_pillow, 255 * (1 - LEVEL)),
        "posterize": lambda: ImageOps.posterize(as_pillow, 8 - round(4 * LEVEL)),
        "brightness": lambda: ImageEnhance.Brightness(as_pillow).enhance(factor),
        "contrast": lambda: ImageEnhance.Contrast(as_pillow).enhance(factor),
        "color": lambda: ImageEnhance.Color(as_pillow).enhance(factor),
        "sharpness": lambda: ImageEnhance.Sharpness(as_pillow).enhance(factor),
    }
    return np.asarray(changes[name]())


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_each_image_gets_its_own_operation(sign):
    chosen = RANDOM.permutation(len(OPERATIONS)).astype(np.int32)
    changed, boxes = randaugment.apply(
        tf.constant(IMAGES),
        tf.constant(BOXES),
        tf.constant(chosen),
        tf.fill([len(chosen)], sign),
        magnitude=MAGNITUDE,
    )
    for row, operation in enumerate(chosen):
        name = OPERATIONS[operation]
        expected = by_definition(IMAGES[row], name, sign)
        off = np.abs(changed[row].numpy().astype(int) - expected)
        assert off.max() <= (2 if name == "sharpness" else 1), name
        if operation >= 5:
            np.testing.assert_allclose(boxes[row], BOXES[row], atol=1e-6)
        else:
            assert np.abs(boxes[row] - BOXES[row]).max() > 0.02, name


def test_without_strength_only_the_three_of_no_magnitude_change_anything():
    chosen = tf.range(len(OPERATIONS))
    changed, boxes = randaugment.apply(tf.constant(IMAGES), tf.constant(BOXES), chosen, tf.ones([14]), magnitude=0.0)
    np.testing.assert_allclose(boxes, BOXES, atol=1e-6)
    for row, name in enumerate(OPERATIONS):
        off = np.abs(changed[row].numpy().astype(int) - IMAGES[row]).max()
        if name == "solarize":
            assert (changed[row].numpy() == np.where(IMAGES[row] == 255, 0, IMAGES[row])).all()
        elif name not in ("autocontrast", "equalize"):
            assert off <= 1, name


def drawn(positions, operations=2, images=None, seed=5):
    images = np.broadcast_to(IMAGES[:1], (len(positions), *SIZE, 3)) if images is None else images
    draws = uniforms(tf.constant(positions, tf.int64), seed=seed)[:, RANDAUGMENT]
    boxes = np.broadcast_to(BOXES[:1], (len(positions), 4))
    return randaugment.randaugment(
        tf.constant(images), tf.constant(boxes), draws, operations=operations, magnitude=MAGNITUDE
    )


def test_a_position_decides_alone_whatever_its_batch():
    together = drawn(list(range(40)))
    for position in (0, 7, 39):
        alone = drawn([position])
        np.testing.assert_array_equal(alone[0][0], together[0][position])
        np.testing.assert_allclose(alone[1][0], together[1][position], atol=1e-6)


def test_operations_and_directions_are_drawn_evenly():
    draws = uniforms(tf.range(20_011, dtype=tf.int64), seed=3).numpy()[:, RANDAUGMENT]
    for number in range(4):
        counts = np.bincount((draws[:, 2 * number] * 14).astype(int), minlength=14)
        np.testing.assert_allclose(counts / len(draws), 1 / 14, atol=0.008)
        assert abs((draws[:, 2 * number + 1] < 0.5).mean() - 0.5) < 0.015
    pairs = (draws[:, 0] * 14).astype(int) * 14 + (draws[:, 2] * 14).astype(int)
    assert len(np.unique(pairs)) == 196  # the second is drawn regardless of the first


def test_more_operations_begin_with_the_fewer():
    one, _ = drawn([3, 4, 5], operations=1)
    draws = uniforms(tf.constant([3, 4, 5], tf.int64), seed=5)[:, RANDAUGMENT]
    second, _ = randaugment.randaugment(one, None, draws[:, 2:4], operations=1, magnitude=MAGNITUDE)
    np.testing.assert_array_equal(drawn([3, 4, 5], operations=2)[0], second)


@pytest.mark.parametrize("channels", [1, 3])
def test_eager_and_tf_data_agree(channels):
    images = RANDOM.integers(0, 256, (97, *SIZE, channels), np.uint8)
    draws = uniforms(tf.range(97, dtype=tf.int64), seed=7)
    chosen = draws.numpy()[:, RANDAUGMENT][:, 0] * len(OPERATIONS)
    assert len(np.unique(chosen.astype(int))) == len(OPERATIONS)

    def change(images, draws):
        moved, _ = randaugment.randaugment(images, None, draws[:, RANDAUGMENT], operations=1, magnitude=9.0)
        return moved, three_augment.three_augment(images, draws[:, THREE_AUGMENT])

    eager = change(tf.constant(images), draws)
    inside = next(iter(tf.data.Dataset.from_tensors((images, draws)).map(change)))
    for one, other in zip(eager, inside, strict=True):
        assert one.dtype == tf.uint8 and other.shape == images.shape
        assert np.abs(one.numpy().astype(int) - other.numpy()).max() <= 1


def test_floats_are_rounded_first():
    rounded, _ = drawn([1, 2, 3], images=IMAGES[:3])
    floats, _ = drawn([1, 2, 3], images=IMAGES[:3] + np.float32(0.4))
    np.testing.assert_array_equal(rounded, floats)


def test_three_augment_is_gray_solarized_or_blurred():
    which = np.array([0.0, 0.3, 0.34, 0.6, 0.67, 0.99], np.float32)
    draws = np.stack([which, np.full(6, 1.0 - 2**-24, np.float32)], axis=1)
    changed = three_augment.three_augment(tf.constant(IMAGES[:6]), tf.constant(draws)).numpy()
    for row in (0, 1):
        gray = np.asarray(Image.fromarray(IMAGES[row]).convert("L"))
        np.testing.assert_array_equal(changed[row], np.repeat(gray[..., None], 3, -1))
    for row in (2, 3):
        np.testing.assert_array_equal(changed[row], np.asarray(ImageOps.solarize(Image.fromarray(IMAGES[row]))))
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    weights = np.exp(-((y - 5) ** 2 + (x - 9) ** 2) / (2 * 2.0**2))[..., None]
    for row in (4, 5):
        expected = (weights * IMAGES[row]).sum((0, 1)) / weights.sum()
        np.testing.assert_allclose(changed[row, 5, 9], expected, atol=0.51)


def test_three_augment_chooses_evenly():
    draws = uniforms(tf.range(10_007, dtype=tf.int64), seed=3).numpy()[:, THREE_AUGMENT]
    np.testing.assert_allclose(np.bincount((draws[:, 0] * 3).astype(int)) / len(draws), 1 / 3, atol=0.015)
