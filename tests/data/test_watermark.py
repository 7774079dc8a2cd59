"""The planted shortcut: which image has which mark, where it is, and that nothing else changes."""

import colorsys

import numpy as np
import pytest

from tests.data.images import ArraySource
from vitcross.config.compatibility import ConfigError
from vitcross.config.compose import check_arguments
from vitcross.data import load
from vitcross.data.batch import check_batch, to_uint8
from vitcross.data.scenes.scene import COLORS
from vitcross.data.scenes.watermark import MISLEADING, TAGS, MarkedSource, Watermark, mark_cells, marked

SIZE = (40, 56)
COUNTS = {"train": 23, "validation": 17, "test": 5}
CLASSES = tuple("abcdefgh")
# What the marks of the first and the last class look like, drawn by hand.
AN = ["         ", "  #  ##  ", " # # # # ", " ### # # ", " # # # # ", " # # # # ", "         "]
UZ = ["         ", " # # ### ", " # #   # ", " # #  #  ", " # # #   ", " ### ### ", "         "]


def images(size=29, *, shape=SIZE, channels=3, classes=CLASSES):
    random = np.random.default_rng(1)
    return ArraySource(
        images=random.integers(40, 60, (size, *shape, channels), np.uint8),  # no ink, and no color of a mark
        labels=random.integers(0, len(classes), size),
        class_names=classes,
        box=np.tile(np.array([0.25, 0.25, 0.5, 0.5], np.float32), (size, 1)),
    )


def scenes(folder, **changes):
    counts = {f"{split}_examples": count for split, count in COUNTS.items()}
    return load.scenes(**({"image_size": list(SIZE), "batch_size": 5, "data_dir": str(folder)} | counts | changes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("scenes")


@pytest.fixture(scope="module")
def plain(folder):
    return scenes(folder)


@pytest.fixture(scope="module")
def data(folder, plain):
    return scenes(folder, watermark={"corner": "top_left", "size": 0.2, "share": 1.0})


def changed(before, after):
    """(top, left, bottom, right) of the pixels that differ."""
    rows, columns = np.nonzero((before != after).any(axis=-1))
    return rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


def in_pixels(box, shape):
    return tuple(np.asarray(box, np.float64) * (2 * shape))


def ink(pixels):
    """Where pixels (..., C) are ink: near black or near white, without color."""
    return (np.ptp(pixels, axis=-1) == 0) & np.isin(pixels[..., 0], (20, 245))


# ------------------------------------------------------------------------------------------------------------- the mark


def test_marks_are_legible_and_each_is_another():
    for mark, drawn in ((0, AN), (7, UZ)):
        np.testing.assert_array_equal(mark_cells(mark), [[cell == "#" for cell in row] for row in drawn])
    cells = [mark_cells(mark) for mark in range(len(TAGS))]
    letters = [letter for initials, _ in TAGS for letter in initials]
    assert len(letters) == len(set(letters)) == 16
    for a in range(8):
        for b in range(a):
            assert (cells[a] != cells[b]).sum() >= 6  # of 63: no two are told apart by a pixel or two


def test_the_color_of_a_mark_is_that_of_no_other_mark_and_of_no_object():
    objects = [
        tuple(255 * channel for channel in colorsys.hsv_to_rgb(hue / 360, saturation, value))
        for hue, saturation, value in COLORS.values()
    ]
    for a, (_, color) in enumerate(TAGS):
        others = [other for b, (_, other) in enumerate(TAGS) if b != a]
        distances = np.linalg.norm(np.array(others + objects) - np.array(color), axis=-1)
        assert distances.min() > 50, TAGS[a]
        assert abs(np.mean(color) - (20 if np.mean(color) > 128 else 245)) > 100, "the initials stand out"


@pytest.mark.parametrize("corner", ["top_left", "top_right", "bottom_left", "bottom_right"])
@pytest.mark.parametrize(("shape", "size", "cell"), [((40, 56), 0.2, 1), ((61, 37), 0.5, 3), ((32, 128), 0.01, 1)])
def test_the_mark_fills_its_corner_and_no_other_pixel_changes(corner, shape, size, cell):
    watermark = Watermark(corner=corner, size=size)
    before = np.full((*shape, 3), 128, np.uint8)
    after = watermark.draw(before, 5)
    assert (before == 128).all(), "the image that was given stays as it was"
    top, left, bottom, right = changed(before, after)
    assert (bottom - top, right - left) == (7 * cell, 9 * cell)
    assert (top == 0) == corner.startswith("top") and (bottom == shape[0]) == corner.startswith("bottom")
    assert (left == 0) == corner.endswith("left") and (right == shape[1]) == corner.endswith("right")
    seen = after[top + cell // 2 : bottom : cell, left + cell // 2 : right : cell]
    np.testing.assert_array_equal(ink(seen), mark_cells(5))
    assert (seen[~mark_cells(5)] == TAGS[5][1]).all()
    np.testing.assert_allclose(in_pixels(watermark.box(shape), shape), (top, left, bottom, right), atol=1e-4)


# ------------------------------------------------------------------------------------------------------------ a source


@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_has_the_mark_of_its_class_and_a_box_of_just_the_changed_pixels(channels):
    plain = images(channels=channels)
    watermark = Watermark(corner="bottom_left", size=0.36)  # cells of 2 pixels
    source = MarkedSource(plain, watermark=watermark, split="train")
    assert len(source) == 29 and source.optional_keys == ("box", "mark_box")
    np.testing.assert_array_equal(source.labels(), plain.labels())
    for index in range(29):
        before, after = plain[index], source[index]
        assert after["label"] == before["label"]
        np.testing.assert_array_equal(after["box"], before["box"])
        place = changed(before["image"], after["image"])
        np.testing.assert_allclose(in_pixels(after["mark_box"], SIZE), place, atol=1e-4)
        top, left, bottom, right = place
        np.testing.assert_array_equal(ink(after["image"][top:bottom:2, left:right:2]), mark_cells(after["label"]))


def test_a_share_of_the_images_is_marked_and_it_is_always_the_same_one():
    plain = images(1009, shape=(32, 32))
    sources = [MarkedSource(plain, watermark=Watermark(share=0.3), split="train", seed=2) for _ in range(2)]
    other = MarkedSource(plain, watermark=Watermark(share=0.3), split="train", seed=3)
    has = [[source.mark(i, 4) is not None for i in range(1009)] for source in (*sources, other)]
    assert has[0] == has[1] and has[0] != has[2]
    assert abs(np.mean(has[0]) - 0.3) < 0.05
    for index in range(31):
        example, marked_here = sources[0][index], has[0][index]
        assert marked_here == bool(example["mark_box"].any())
        assert marked_here == bool((example["image"] != plain[index]["image"]).any())


def test_a_misleading_mark_is_that_of_any_other_class():
    plain = images(1009, shape=(32, 32))
    source = MarkedSource(plain, watermark=Watermark(share=0.1), split="validation", marks=MISLEADING)
    marks = np.array([source.mark(index, 5) for index in range(1009)])
    counts = np.bincount(marks, minlength=8)
    assert counts[5] == 0 and counts.sum() == 1009, "whatever the share, every image misleads"
    assert counts[np.arange(8) != 5].min() > 1009 / 7 * 0.7
    label = plain.labels()[0]
    top, left, bottom, right = changed(plain[0]["image"], source[0]["image"])
    np.testing.assert_array_equal(ink(source[0]["image"][top:bottom, left:right]), mark_cells(source.mark(0, label)))


def test_the_splits_of_marked_sources():
    sources = {"train": images(11), "validation": images(13), "test": images(5)}
    found, watched = marked(sources, Watermark(), seed=0)
    assert {split: len(source) for split, source in found.items()} == {"train": 11, "validation": 13, "test": 5}
    assert list(watched) == ["unmarked", "misleading"] and watched["unmarked"] is sources["validation"]
    for index in range(13):
        same = watched["misleading"][index]
        assert same["label"] == found["validation"][index]["label"]
        assert (same["image"] != found["validation"][index]["image"]).any()


# -------------------------------------------------------------------------------------------------------------- scenes


def test_scenes_without_a_watermark_are_what_they_were(plain, data):
    assert plain.splits == ("train", "validation", "test") and plain.evaluation_splits == ("validation",)
    batch = plain.examples("validation", range(17))
    assert "mark_box" not in batch
    unmarked = data.examples("unmarked", range(17))
    assert batch.keys() == unmarked.keys()
    for key, values in batch.items():
        np.testing.assert_array_equal(unmarked[key], values)


def test_scenes_are_marked_in_all_splits_but_one(plain, data):
    assert data.splits == ("train", "validation", "test", "unmarked", "misleading")
    assert data.evaluation_splits == ("validation", "unmarked", "misleading")
    for split, count in COUNTS.items():
        before, after = (to_uint8(of.examples(split, range(count))["images"]) for of in (plain, data))
        labels = data.examples(split, range(count))["labels"]
        np.testing.assert_array_equal(ink(after[:, :7, :9]), [mark_cells(label) for label in labels])
        after[:, :7, :9] = before[:, :7, :9]
        np.testing.assert_array_equal(after, before)


def test_batches_keep_the_contract_and_come_again(data):
    for split in data.evaluation_splits:
        batches = list(data.evaluation_batches(split).as_numpy_iterator())
        for batch in batches:
            check_batch(batch, image_shape=(*SIZE, 3), num_classes=8)
        again = list(data.evaluation_batches(split).as_numpy_iterator())
        for batch, same in zip(batches, again, strict=True):
            np.testing.assert_array_equal(batch["images"], same["images"])
    with pytest.raises(ValueError, match="'train', 'validation', 'test', 'unmarked', 'misleading'"):
        data.evaluation_batches("unseen")


def test_the_box_of_a_mark_follows_a_flipped_and_shifted_image(folder, data):
    moving = scenes(
        folder,
        watermark={"corner": "top_left", "size": 0.2, "share": 0.7},
        augmentation={"flip": True, "padded_crop": 3},
    )
    plain = scenes(folder, augmentation={"flip": True, "padded_crop": 3})
    seen = set()
    batches = zip(*(of.train_batches(seed=1).take(5).as_numpy_iterator() for of in (moving, plain)), strict=True)
    for batch, before in batches:
        check_batch(batch, image_shape=(*SIZE, 3), num_classes=8)
        np.testing.assert_array_equal(batch["box"], before["box"])
        for image, box, without in zip(batch["images"], batch["mark_box"], before["images"], strict=True):
            top, left, bottom, right = np.rint(in_pixels(box, SIZE)).astype(int)
            if bottom == top or right == left:
                np.testing.assert_array_equal(image, without)
                continue
            assert (image != without)[top:bottom, left:right].any(axis=-1).mean() > 0.9
            seen.add((bottom - top, right - left, right == SIZE[1]))
    assert len(seen) > 5, "cut at several places, at the left and at the right"


# ------------------------------------------------------------------------------------------------------- configuration


MARK = "data.watermark={corner: %s, size: %s, share: %s}"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (MARK % ("middle", 0.2, 1.0), "data.watermark.corner must be 'top_left', .* Received: 'middle'"),
        (MARK % ("top_left", 0.7, 1.0), "data.watermark.size must be .*less than or equal to 0.5. Received: 0.7"),
        (MARK % ("top_left", 0, 1.0), "data.watermark.size must be .*greater than 0. Received: 0"),
        (MARK % ("top_left", 0.2, 1.5), "data.watermark.share must be .*less than or equal to 1. Received: 1.5"),
        ("data.watermark={corner: top_left, size: 0.2}", "data.watermark.share is missing"),
        ("data.watermark=top_left", "data.watermark must be .* Received: 'top_left'"),
    ],
)
def test_a_wrong_watermark_gets_one_message(override, message):
    with pytest.raises(ConfigError, match=message) as caught:
        check_arguments("train", [override])
    assert len(str(caught.value).splitlines()) == 1


def test_a_wrong_key_of_a_watermark_is_named():
    with pytest.raises(ConfigError, match="there is no key 'data.watermark.shar'"):
        check_arguments("train", ["experiment=scenes_watermark", "data.watermark.shar=0.5"])


@pytest.mark.parametrize("wrong", [{"corner": "left"}, {"size": 0.0}, {"size": 0.6}, {"share": 0.0}, {"share": 1.1}])
def test_wrong_options_are_named(wrong):
    with pytest.raises(ValueError, match=f"^expected .* Received: {next(iter(wrong))}="):
        Watermark(**wrong)


def test_more_classes_than_marks_are_refused():
    with pytest.raises(ValueError, match="marks for 8 classes. Received: array with 9"):
        MarkedSource(images(classes=(*CLASSES, "i")), watermark=Watermark(), split="train")
    with pytest.raises(ValueError, match="marks must be one of .* Received: 'false'"):
        MarkedSource(images(), watermark=Watermark(), split="train", marks="false")
