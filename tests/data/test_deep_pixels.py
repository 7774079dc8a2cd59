"""Tests of images of more than 8 bits: their range of values is found, told, kept and applied."""

import numpy as np
import pytest
from PIL import Image

from tests.data.images import decode_image, encode
from vitcross.data import load
from vitcross.data.sources import deep_pixels
from vitcross.data.sources.decode import EncodedImage
from vitcross.data.sources.image_files import ImageFiles


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 200, (0, 255)),
        (7, 256, (0, 1023)),
        (0, 4095, (0, 4095)),
        (0, 4096, (0, 16383)),
        (3, 65535, (0, 65535)),
        (0, 70000, (0, 70000)),
        (-1024, 3071, (-1024, 3071)),
        (0.0, 0.5, (0, 1)),
        (0.0, 200.0, (0, 255)),
        (-1.0, 1.0, (-1, 1)),
    ],
)
def test_the_range_that_values_use(low, high, expected):
    assert deep_pixels.used_range(low, high) == expected


def test_eight_bits_are_the_rounded_share_of_the_range():
    values = np.random.default_rng(3).integers(-50, 5000, (11, 7))
    expected = [[round(255 * min(max(v / 4095, 0), 1)) for v in row] for row in values.tolist()]
    np.testing.assert_array_equal(deep_pixels.to_eight_bits(values, (0, 4095)), expected)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_twelve_bits_in_a_file_of_sixteen_are_not_black(kind):
    deep = np.random.default_rng(0).integers(0, 4096, (13, 7)).astype(np.uint16)
    deep[0, 0] = 4095
    expected = np.rint(deep * (255 / 4095)).astype(np.uint8)
    np.testing.assert_array_equal(decode_image(encode(deep, kind), channels=1)[..., 0], expected)
    fixed = EncodedImage(encode(deep, kind), name="x").load(channels=1, value_range=(0, 65535))
    np.testing.assert_array_equal(np.asarray(fixed), np.rint(deep * (255 / 65535)))


def test_floating_point_values_fill_their_range():
    image = Image.fromarray(np.array([[0.0, 0.25, 1.0]], np.float32))
    assert decode_image(encode(image, "TIFF"), channels=1).ravel().tolist() == [0, 64, 255]


def test_png_in_color_keeps_all_its_bits():
    tf = pytest.importorskip("tensorflow")
    colors = np.random.default_rng(1).integers(0, 1024, (5, 11, 3)).astype(np.uint16)
    colors[0, 0, 0] = 1023
    expected = np.rint(colors * (255 / 1023)).astype(np.uint8)
    np.testing.assert_array_equal(decode_image(tf.io.encode_png(colors).numpy(), channels=3), expected)
    opacity = np.zeros((5, 11, 1), np.uint16)
    opacity[:2] = 65535
    expected[2:] = 255  # transparent is white
    layered = tf.io.encode_png(np.dstack([colors, opacity])).numpy()
    np.testing.assert_array_equal(decode_image(layered, channels=3), expected)


def test_the_range_of_a_data_set_is_found_once_told_and_kept(tmp_path, caplog):
    rng = np.random.default_rng(2)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for k, top in enumerate((1000, 4000, 900, 3000)):  # one scale for all: a dark image stays dark
            pixels = rng.integers(0, top, (13, 17)).astype(np.uint16)
            pixels[0, 0] = top
            (tmp_path / name / f"{k}.png").write_bytes(encode(pixels))
    given = {"root": str(tmp_path), "image_size": (13, 17), "channels": 1, "validation_share": 0.25}
    with caplog.at_level("INFO", logger="vitcross"):
        data = load.image_folder(**given)
    assert data.options.value_range == (0, 4095)
    assert "0 is black and 4095 is white" in caplog.text
    batch = next(iter(data.evaluation_batches("train")))
    shown = (np.asarray(batch["images"])[np.asarray(batch["valid"])] + 1) * 127.5
    tops = {round(float(image.max()) * 4095 / 255) for image in shown}
    assert all(min(abs(top - known) for known in (900, 1000, 3000, 4000)) <= 16 for top in tops)
    assert load.image_folder(**given, value_range=[0, 65535]).options.value_range == (0, 65535)


def test_only_a_sample_is_opened(tmp_path):
    source = ImageFiles([str(tmp_path / f"{k}.png") for k in range(50)], name="x", channels=1)
    (tmp_path / "49.png").write_bytes(encode(np.full((5, 3), 300, np.uint16)))  # the rest does not exist
    assert deep_pixels.find_value_range(source, sample=7) == (0, 1023)


@pytest.mark.parametrize("value", [[5, 5], [1], "0-255", [0, float("inf")], [True, 3]])
def test_a_wrong_range_is_refused(value, tmp_path):
    with pytest.raises(ValueError, match=r"\[low, high\], two numbers"):
        load.image_folder(root=str(tmp_path), value_range=value)
