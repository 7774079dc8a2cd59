import numpy as np
import pytest

from tests.data.images import encode, gradient
from vitcross.data import geometry
from vitcross.data.sources.decode import EncodedImage

SOURCE, TARGET = (40, 100), (20, 30)  # height, width


def test_crop_fills_the_target_around_the_middle():
    view = geometry.evaluation_view(SOURCE, TARGET)
    np.testing.assert_allclose(view, (0, 0.2, 1, 0.8))  # 40 x 60 pixels of 40 x 100
    smaller = geometry.evaluation_view(SOURCE, TARGET, evaluation_crop=0.5)
    np.testing.assert_allclose(smaller, (0.25, 0.35, 0.75, 0.65))


def test_pad_shows_everything():
    np.testing.assert_allclose(geometry.evaluation_view(SOURCE, TARGET, resize="pad"), (-1 / 3, 0, 4 / 3, 1))


def test_stretch_shows_everything_distorted():
    assert geometry.evaluation_view(SOURCE, TARGET, resize="stretch") == (0, 0, 1, 1)


def test_boxes_follow_the_view():
    box = geometry.box_in_view((0.25, 0.5, 0.75, 0.9), geometry.evaluation_view(SOURCE, TARGET))
    np.testing.assert_allclose(box, (0.25, 0.5, 0.75, 1), atol=1e-6)  # its right side is cut off
    padded = geometry.box_in_view((0, 0, 1, 1), geometry.evaluation_view(SOURCE, TARGET, resize="pad"))
    np.testing.assert_allclose(padded, (0.2, 0, 0.8, 1), atol=1e-6)
    assert padded.dtype == np.float32


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_rule_gives_the_target_size(resize, channels):
    image = EncodedImage(encode(gradient(*SOURCE)), name="x")
    view = geometry.evaluation_view(SOURCE, TARGET, resize=resize)
    pixels = geometry.resample(image, view, TARGET, channels=channels)
    assert pixels.shape == (*TARGET, channels) and pixels.dtype == np.uint8
    if resize == "pad":
        assert (pixels[:4] == 0).all() and (pixels[-4:] == 0).all() and (pixels[4:-4] > 0).all()


def test_a_box_marks_the_same_pixels_after_resampling():
    pixels = np.zeros((*SOURCE, 3), np.uint8)
    pixels[10:30, 40:60] = 255
    box = (10 / 40, 40 / 100, 30 / 40, 60 / 100)
    for resize in ("crop", "pad", "stretch"):
        view = geometry.evaluation_view(SOURCE, (60, 84), resize=resize)
        seen = geometry.resample(EncodedImage(pixels, name="x"), view, (60, 84), channels=1)[..., 0]
        rows, columns = np.flatnonzero(seen.max(1) > 127), np.flatnonzero(seen.max(0) > 127)
        found = np.array([rows[0] / 60, columns[0] / 84, (rows[-1] + 1) / 60, (columns[-1] + 1) / 84])
        np.testing.assert_allclose(found, geometry.box_in_view(box, view), atol=1 / 60)


def test_the_same_size_is_left_alone():
    pixels = gradient(13, 11)
    seen = geometry.resample(
        EncodedImage(pixels, name="x"), geometry.evaluation_view((13, 11), (13, 11)), (13, 11), channels=3
    )
    np.testing.assert_array_equal(seen, pixels)


def test_random_views_keep_the_promised_area_and_ratio():
    uniforms = np.random.default_rng(0).random((997, 4))
    y_min, x_min, y_max, x_max = geometry.random_resized_view(uniforms, SOURCE, TARGET, min_scale=0.25).T
    assert y_min.min() >= 0 and x_min.min() >= 0 and y_max.max() <= 1 + 1e-9 and x_max.max() <= 1 + 1e-9
    height, width = y_max - y_min, x_max - x_min
    free = (height < 1) & (width < 1)
    assert free.mean() > 0.4
    area, ratio = (height * width)[free], (width * 100 / (height * 40) / 1.5)[free]
    assert 0.25 <= area.min() < 0.3 and ratio.min() > 3 / 4 - 1e-6 and ratio.max() < 4 / 3 + 1e-6
    assert np.ptp(y_min) > 0.3 and np.ptp(x_min) > 0.3


def test_a_random_view_of_everything_is_everything():
    view = geometry.random_resized_view([0.9, 0.5, 0.3, 0.7], (8, 8), (4, 4), min_scale=1.0)
    np.testing.assert_allclose(view, (0, 0, 1, 1), atol=1e-9)


def test_a_mask_is_seen_as_its_image_is():
    mask = np.random.default_rng(0).random((11, 7)) < 0.5
    np.testing.assert_array_equal(geometry.mask_in_view(mask, geometry.FULL_VIEW, (11, 7)), mask)
    np.testing.assert_array_equal(
        geometry.mask_in_view(mask, geometry.FULL_VIEW, (33, 14)), mask.repeat(3, axis=0).repeat(2, axis=1)
    )
    view = geometry.evaluation_view((11, 7), (11, 11), resize="pad")
    np.testing.assert_array_equal(geometry.mask_in_view(mask, view, (11, 11)), np.pad(mask, [(0, 0), (2, 2)]))
    view = geometry.evaluation_view((11, 7), (7, 7), resize="crop")
    np.testing.assert_array_equal(geometry.mask_in_view(mask, view, (7, 7)), mask[2:9])


def test_the_box_around_a_mask_is_that_of_its_pixels():
    mask = np.zeros((11, 7), bool)
    np.testing.assert_array_equal(geometry.box_around(mask), np.zeros(4))
    mask[3, 2] = mask[8, 4] = True
    np.testing.assert_allclose(geometry.box_around(mask), [3 / 11, 2 / 7, 9 / 11, 5 / 7], rtol=1e-6)
