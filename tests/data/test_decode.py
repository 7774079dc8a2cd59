import numpy as np
import pytest
from PIL import Image

from tests.data.images import decode_image, encode, gradient
from vitcross.data.problems import UnreadableImage
from vitcross.data.sources import decode
from vitcross.data.sources.decode import EncodedImage

PIXELS = gradient(13, 29)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_keep_every_pixel(kind):
    np.testing.assert_array_equal(decode_image(encode(PIXELS, kind), channels=3), PIXELS)


def test_arrays_paths_and_bytes_are_the_same_image(tmp_path):
    path = tmp_path / "an image.png"
    path.write_bytes(encode(PIXELS))
    for content in (path, str(path), path.read_bytes(), PIXELS):
        np.testing.assert_array_equal(decode_image(content, channels=3), PIXELS)


def test_gray_and_rgb_are_made_of_each_other():
    gray = gradient(7, 5, 1)
    np.testing.assert_array_equal(decode_image(encode(gray[..., 0]), channels=1), gray)
    np.testing.assert_array_equal(decode_image(encode(gray[..., 0]), channels=3), np.repeat(gray, 3, -1))
    np.testing.assert_array_equal(decode_image(gray, channels=1), gray)
    assert decode_image(encode(PIXELS), channels=1).shape == (13, 29, 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = EncodedImage(encode(PIXELS, "PNG", exif=exif), name="x")
    upright = {
        1: PIXELS,
        2: PIXELS[:, ::-1],
        3: PIXELS[::-1, ::-1],
        4: PIXELS[::-1],
        5: PIXELS.transpose(1, 0, 2),
        6: np.rot90(PIXELS, -1),
        7: PIXELS[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(PIXELS),
    }[orientation]
    assert image.size == upright.shape[:2]
    np.testing.assert_array_equal(np.asarray(image.load(channels=3)), upright)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_make_a_image_unreadable():
    content = encode(PIXELS, "JPEG", quality=95, exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff\x01\x12")
    np.testing.assert_allclose(decode_image(content, channels=3), PIXELS, atol=12)


def test_cmyk_jpeg_keeps_its_colors():
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 220
    content = encode(Image.fromarray(red).convert("CMYK"), "JPEG", quality=95)
    np.testing.assert_allclose(decode_image(content, channels=3), red, atol=12)


def test_sixteen_bits_become_eight():
    deep = np.array([[0, 257, 32896, 65535]], np.uint16)
    np.testing.assert_array_equal(decode_image(encode(deep), channels=1)[..., 0], [[0, 1, 128, 255]])
    np.testing.assert_array_equal(decode_image(encode(deep), channels=3)[0, :, 1], [0, 1, 128, 255])


def test_transparent_is_white():
    layered = np.dstack([PIXELS, np.zeros((13, 29, 1), np.uint8)])
    layered[:5, ..., 3] = 255
    expected = PIXELS.copy()
    expected[5:] = 255
    np.testing.assert_array_equal(decode_image(encode(layered), channels=3), expected)
    gray = Image.merge("LA", [Image.new("L", (3, 2), 7), Image.new("L", (3, 2), 0)])
    assert (decode_image(encode(gray), channels=1) == 255).all()


def test_a_palette_with_a_transparent_color():
    image = Image.new("P", (3, 2), 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((0, 0), 0)
    pixels = decode_image(encode(image, transparency=0), channels=3)
    assert pixels[0, 0].tolist() == [255, 255, 255] and pixels[1, 2].tolist() == [40, 50, 60]


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (5, 3), color) for color in ("red", "blue")]
    pixels = decode_image(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]), channels=3)
    assert pixels.shape == (3, 5, 3) and pixels[0, 0].tolist() == [255, 0, 0]


def test_one_bit_images():
    assert decode_image(encode(Image.new("1", (3, 2), 1)), channels=3).min() == 255


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no image in a known format"),
        (b"this is a text ", "no image in a known format"),
        (encode(Image.new("RGB", (3, 2)), "EPS"), "no image in a known format"),  # Ghostscript would run its program
        (encode(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8), "JPEG")[:-700], "truncated"),
        (encode(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))[:2000], ""),
        (encode(Image.new("F", (3, 2), float("nan")), "TIFF"), "floating-point"),
    ],
)
def test_broken_images_are_unreadable_with_name_and_reason(content, reason):
    with pytest.raises(UnreadableImage, match=f"here/x.png: .*{reason}"):
        decode_image(content, channels=3, name="here/x.png")


def test_missing_empty_and_unreadable_files(tmp_path):
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(UnreadableImage, match="empty"):
        decode_image(tmp_path / "empty.jpg", channels=3)
    for path in (tmp_path / "missing.jpg", tmp_path):
        with pytest.raises(UnreadableImage):
            decode_image(path, channels=3)


def test_bombs_are_refused_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr(decode, "MAX_PIXELS", 100)
    with pytest.raises(UnreadableImage, match="11 x 10 pixels, the limit is 100"):
        EncodedImage(encode(np.zeros((10, 11), np.uint8)), name="bomb")


def test_jpeg_may_decode_smaller_but_never_below_what_is_asked():
    big = encode(gradient(256, 400), "JPEG")
    image = EncodedImage(big, name="x").load(channels=3, at_least=(60, 99.5))
    assert image.size == (100, 64)
    assert EncodedImage(big, name="x").load(channels=3, at_least=(65, 99)).size == (200, 128)
    assert EncodedImage(big, name="x").load(channels=1, at_least=(999, 999)).size == (400, 256)
