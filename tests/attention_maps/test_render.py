"""One map over one image: right patch, right color, no invented values."""

import numpy as np
import pytest

from vitcross.attention_maps import overlay as shown_overlay
from vitcross.attention_maps.sheets import color_maps
from vitcross.attention_maps.sheets.render import overlay, panel_size, to_rgb, upsample


def hot(row, column, shape=(3, 5)):
    found = np.zeros(shape)
    found[row, column] = 1
    return found


def test_the_colors_of_a_patch_cover_exactly_its_pixels():
    image = np.zeros((12, 30, 3), np.uint8)
    found = overlay(image, hot(1, 3), opacity=1.0)
    top, bottom = color_maps.table("viridis")[-1], color_maps.table("viridis")[0]
    expected = np.where(hot(1, 3).repeat(4, 0).repeat(6, 1)[..., None] > 0, top, bottom)
    np.testing.assert_array_equal(found, expected)


def test_enlarged_by_whole_factors_every_pixel_stays_a_square():
    assert panel_size((64, 64), 192) == (192, 192)
    assert panel_size((28, 28), 192) == (168, 168)
    assert panel_size((32, 64), 192) == (96, 192)
    assert panel_size((224, 160), 192) == (192, 137)
    image = np.random.default_rng(0).integers(0, 256, (12, 30, 3), dtype=np.uint8)
    small = overlay(image, hot(2, 4), opacity=0.3)
    large = overlay(image, hot(2, 4), opacity=0.3, size=(36, 90))
    np.testing.assert_array_equal(large, small.repeat(3, 0).repeat(3, 1))


def test_a_grid_that_was_rounded_up_is_cut_off_at_the_image():
    values = np.arange(16.0).reshape(4, 4)
    found = upsample(values, (28, 28), patch_size=8)
    np.testing.assert_array_equal(found, values.repeat(8, 0).repeat(8, 1)[:28, :28])


@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
def test_resizing_stays_within_the_values(resampling):
    # Trap 11: bicubic overshoots below 0.
    values = np.random.default_rng(0).random((3, 5))
    found = upsample(values, (97, 101), resampling=resampling)
    assert found.min() >= values.min() and found.max() <= values.max()


def test_bilinear_meets_the_values_at_the_centers_and_lies_between():
    found = upsample(np.array([[0.0, 1.0]]), (5, 10), resampling="bilinear")
    np.testing.assert_allclose(found[2], [0, 0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1], atol=1e-12)


def test_the_scale_starts_at_zero_and_can_be_shared():
    # Trap 6: with a minimum per map, this noise would span the whole table.
    image = np.zeros((12, 30), np.uint8)
    noise = np.full((3, 5), 0.5)
    noise[0, 0] = 0.51
    found = overlay(image, noise, opacity=1.0)
    table = color_maps.table("viridis")
    assert np.all(found[8, 20] == table[250]) and np.all(found[0, 0] == table[255])
    shared = overlay(image, noise, opacity=1.0, vmax=1.0)
    assert np.all(shared[8, 20] == table[128])


@pytest.mark.parametrize("value", [0.0, np.nan, -1.0])
def test_a_map_of_nothing_is_the_lowest_color(value):
    found = overlay(np.zeros((12, 30, 1), np.uint8), np.full((3, 5), value), opacity=1.0)
    assert np.all(found == color_maps.table("viridis")[0])


def test_opacity_mixes_with_the_gray_image():
    image = np.full((12, 30, 3), (200, 100, 50), np.uint8)
    clear = overlay(image, hot(0, 0), opacity=0.0)
    assert np.all(clear == clear[0, 0, 0]) and abs(int(clear[0, 0, 0]) - 124) <= 1
    half = overlay(image, hot(0, 0), opacity=0.5)
    np.testing.assert_allclose(half[0, 0], (124 + color_maps.table("viridis")[255].astype(float)) / 2, atol=1)


def test_artifact_patches_are_outlined_inside_their_own_pixels():
    image = np.zeros((12, 30, 3), np.uint8)
    plain = overlay(image, hot(0, 0), size=(120, 300))
    outlined = overlay(image, hot(0, 0), size=(120, 300), artifacts=hot(1, 3) > 0)
    changed = (plain != outlined).any(-1)
    inside = hot(1, 3).repeat(40, 0).repeat(60, 1) > 0
    assert changed.any() and not changed[~inside].any()
    assert changed[40, 180:240].all() and changed[79, 180:240].all() and not changed[60, 210]


def test_channels():
    gray = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for image in (gray, gray[..., None], np.stack([gray, gray], -1), np.stack([gray] * 4, -1)):
        np.testing.assert_array_equal(to_rgb(image), np.stack([gray] * 3, -1))
    with pytest.raises(ValueError, match="uint8"):
        to_rgb(np.zeros((3, 4, 3), np.float32))


def test_color_tables_rise_in_lightness():
    for name in color_maps.NAMES:
        table = color_maps.table(name).astype(float)
        lightness = table @ [0.2126, 0.7152, 0.0722]
        assert table.shape == (256, 3) and np.all(np.diff(lightness) > -1.0) and lightness[-1] - lightness[0] > 150
    np.testing.assert_array_equal(color_maps.table("viridis")[[0, 255]], [[68, 1, 84], [253, 231, 37]])
    np.testing.assert_array_equal(color_maps.table("inferno")[[0, 255]], [[0, 0, 4], [252, 255, 164]])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"color_map": "jet"}, "viridis, inferno"),
        ({"opacity": 1.5}, "`opacity`"),
        ({"resampling": "bicubic"}, "nearest, bilinear"),
        ({"attention_map": np.zeros(16)}, "grid"),
    ],
)
def test_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        overlay(**{"image": np.zeros((12, 30, 3), np.uint8), "attention_map": np.zeros((3, 5)), **arguments})


def test_a_notebook_gets_a_image_that_it_shows():
    image = np.random.default_rng(0).integers(0, 256, (12, 30, 3), dtype=np.uint8)
    shown = shown_overlay(image, hot(1, 3), opacity=1.0)
    # A whole factor, so that patches keep their size; notebooks ask for PNG.
    assert shown.size == (300, 120) and shown._repr_png_().startswith(b"\x89PNG")
    np.testing.assert_array_equal(np.asarray(shown), overlay(image, hot(1, 3), opacity=1.0, size=(120, 300)))
