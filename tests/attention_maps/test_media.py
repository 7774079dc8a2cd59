"""Sheets as bytes, and their file names."""

import io

import numpy as np
import pytest
from PIL import Image

from vitcross.attention_maps import Sheet, file_name, folder_name


def test_png_gives_back_the_pixels():
    random = np.random.default_rng(0)
    for shape in ((1, 1), (7, 13), (113, 5)):
        image = random.integers(0, 256, (*shape, 3), dtype=np.uint8)
        sheet = Sheet(image=image, title="x")
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(sheet.png))), image)
        assert sheet.png is sheet.png


@pytest.mark.parametrize(
    "image", [np.zeros((3, 5, 3)), np.zeros((3, 5), np.uint8), np.zeros((3, 5, 4), np.uint8), None]
)
def test_a_sheet_is_uint8_rgb(image):
    with pytest.raises(ValueError, match="uint8"):
        Sheet(image=image, title="x")


def test_file_names():
    assert file_name("attention/probe") == "probe.png"
    assert file_name("attention/self/heads") == "self_heads.png"
    assert file_name("attention_stats/entropy") == "stats_entropy.png"
    assert folder_name(500) == "step_00000500"
    for key in ("attention/../../x", "attention/", "attention//etc", "attention/a b"):
        with pytest.raises(ValueError, match="key="):
            file_name(key)
