"""Tables of labels: columns, names of files, splits, labels, boxes, and that nothing that is wrong goes unnamed."""

import csv
import io
import json
import unicodedata

import numpy as np
import pytest
from PIL import Image

from tests.data.images import encode, gradient
from vitcross.data import load
from vitcross.data.batch import check_batch
from vitcross.data.geometry import box_around
from vitcross.data.problems import TooManyUnreadable
from vitcross.data.sources.boxes import find_format, fitting, read_boxes, relative
from vitcross.data.sources.labels_file import list_labels
from vitcross.data.sources.labels_source import LabelsFileSource
from vitcross.data.sources.mask_files import read_mask

NAMES = [f"p{k:02}.png" for k in range(13)]
HEIGHT, WIDTH = 11, 7


def write(folder, rows, *, kind="csv", delimiter=",", name="train"):
    """A table with an image of 11 x 7 pixels for each of NAMES; rows are dicts."""
    folder.mkdir(exist_ok=True)
    for image in NAMES:
        (folder / image).write_bytes(encode(gradient(HEIGHT, WIDTH)))
    file = folder / f"{name}.{kind}"
    if kind == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    file.write_text(buffer.getvalue())
    return file


def labels_of(listing):
    """dict of file name to labels of all images of a listing."""
    images = [image for images in listing.splits.values() for image in images]
    return {image.path.rpartition("/")[2]: image.labels for image in images}


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_splits_are_cut_class_by_class_and_named_ones_kept(tmp_path, kind):
    rows = [{"image": name, "label": k % 3 if k < 12 else 11} for k, name in enumerate(NAMES)]
    listing = list_labels(write(tmp_path, rows, kind=kind), validation_share=0.25, test_share=0.25)
    assert listing.class_names == ("0", "1", "2", "11")  # by size, not as texts
    assert {split: len(images) for split, images in listing.splits.items()} == {"train": 7, "validation": 3, "test": 3}
    for split, each in (("train", 2), ("validation", 1), ("test", 1)):
        labels = [image.labels[0] for image in listing.splits[split]]
        assert [labels.count(name) for name in "012"] == [each] * 3
    assert list_labels(tmp_path / f"train.{kind}", validation_share=0.25, test_share=0.25).splits == listing.splits
    named = [row | {"split": "Training" if k < 9 else "dev"} for k, row in enumerate(rows[:12])]
    listing = list_labels(write(tmp_path, named, kind=kind))
    assert {split: len(images) for split, images in listing.splits.items()} == {"train": 9, "validation": 3}
    assert "'dev' is validation" in listing.table.notes[-1]


def test_a_column_of_splits_has_any_name(tmp_path):
    rows = [{"image": n, "label": "ab"[k % 2], "Set": "TRAIN" if k < 9 else "Val"} for k, n in enumerate(NAMES)]
    listing = list_labels(write(tmp_path, rows))
    assert {split: len(images) for split, images in listing.splits.items()} == {"train": 9, "validation": 4}
    assert "split from column 'Set'" in " ".join(listing.table.notes)
    rows[3]["Set"] = "bus"
    assert len(list_labels(write(tmp_path, rows)).splits["train"]) == 11  # ten percent are cut off


def test_two_unicode_forms_of_a_label_are_one(tmp_path):
    forms = [unicodedata.normalize(form, "th\u00e9") for form in ("NFC", "NFD")]
    rows = [{"image": n, "label": forms[k % 2] if k % 3 else "b"} for k, n in enumerate(NAMES)]
    assert list_labels(write(tmp_path, rows)).class_names == ("b", forms[0])


def test_ids_without_endings_and_columns_of_other_names(tmp_path):
    rows = [{"id": name[:-4], "Breed": "ab"[k % 2]} for k, name in enumerate(NAMES)]
    file = write(tmp_path / "images", rows).rename(tmp_path / "train.csv")
    with pytest.raises(ValueError, match=rf"(?s)missing image: 13 .*data.root={tmp_path / 'images'}"):
        list_labels(file)
    listing = list_labels(file, root=str(tmp_path / "images"))
    assert labels_of(listing) == {name: ["ab"[k % 2]] for k, name in enumerate(NAMES)}
    notes = " ".join(listing.table.notes)
    assert "image from column 'id'" in notes and "label from column 'Breed'" in notes and "without the ending" in notes
    assert list_labels(file, root=str(tmp_path / "images"), image_column="id", label_column="Breed").table.notes != []


def test_several_labels_are_lists_or_separated(tmp_path):
    expected = {NAMES[0]: ["a", "b c"], NAMES[1]: ["b c"], NAMES[2]: [], **{name: ["a"] for name in NAMES[3:]}}
    for kind, delimiter, separator in (("csv", ",", "|"), ("csv", ";", ","), ("tsv", "\t", ";")):
        rows = [{"image": name, "labels": separator.join(labels)} for name, labels in expected.items()]
        listing = list_labels(write(tmp_path, rows, kind=kind, delimiter=delimiter), validation_share=0.3)
        assert listing.multilabel and labels_of(listing) == expected
        assert f"separated by {separator!r}" in " ".join(listing.table.notes)
    rows = [{"image": name, "tags": labels} for name, labels in expected.items()]
    listing = list_labels(write(tmp_path, rows, kind="jsonl"))
    assert listing.multilabel and labels_of(listing) == expected and listing.class_names == ("a", "b c")
    source = LabelsFileSource(listing=listing, split="train")
    assert source.multilabel
    for index in range(len(source)):
        names = [source.class_names[label] for label in source.record(index)["label"]]
        assert names == expected[source.example_name(index).rpartition("/")[2]]
    held = {label for image in listing.splits["validation"] for label in image.labels}
    assert held == {"a", "b c"}, "each label is in each split"
    rows = [{"image": name, "label": label} for name, labels in expected.items() for label in labels]
    listing = list_labels(write(tmp_path, rows), multilabel=True)
    assert labels_of(listing) == {name: labels for name, labels in expected.items() if labels}
    with pytest.raises(TooManyUnreadable, match=r"another label of the same image: 1 \(line 3\)"):
        list_labels(write(tmp_path, rows), max_unreadable=0)


BOX = (2.0, 3.0, 5.0, 9.0)  # x_min, y_min, x_max, y_max
AS = {
    "xyxy": BOX,
    "xywh": (2.0, 3.0, 3.0, 6.0),
    "cxcywh": (3.5, 6.0, 3.0, 6.0),
    "yxyx": (3.0, 2.0, 9.0, 5.0),
}
SHARES = np.array([3 / HEIGHT, 2 / WIDTH, 9 / HEIGHT, 5 / WIDTH], np.float32)
SCALE = {"xyxy": (WIDTH, HEIGHT) * 2, "xywh": (WIDTH, HEIGHT) * 2, "cxcywh": (WIDTH, HEIGHT) * 2}
SCALE["yxyx"] = (HEIGHT, WIDTH) * 2


@pytest.mark.parametrize("box_format", AS)
@pytest.mark.parametrize("units", ["pixels", "shares"])
def test_boxes_of_every_format_are_those_of_the_contract(tmp_path, box_format, units):
    numbers = np.array(AS[box_format]) / (SCALE[box_format] if units == "shares" else 1)
    boxes = [numbers.tolist() if k % 2 else "" for k in range(13)]
    rows = [
        {"image": name, "label": "ab"[k // 2 % 2], "bbox": box}
        for k, (name, box) in enumerate(zip(NAMES, boxes, strict=True))
    ]
    listing = list_labels(write(tmp_path, rows), box_format=box_format)
    assert (listing.box_format, listing.box_units) == (box_format, units)
    assert f"6 of 13 images have a box, read as {box_format}" in listing.table.notes[-1]
    source = LabelsFileSource(listing=listing, split="train")
    for index in range(len(source)):
        has_box = int(source.example_name(index)[-6:-4]) % 2
        np.testing.assert_allclose(source[index]["box"], SHARES if has_box else 0, atol=1e-6)


def test_four_columns_and_several_boxes(tmp_path):
    names = ("bbox_x_min", "bbox_y_min", "bbox_x_max", "bbox_y_max")
    rows = [{"image": name, "label": "ab"[k % 2], **dict(zip(names, BOX, strict=True))} for k, name in enumerate(NAMES)]
    rows.append(rows[0] | {"bbox_x_max": 7.0})
    listing = list_labels(write(tmp_path, rows))
    assert listing.box_format == "xyxy"
    source = LabelsFileSource(listing=listing, split="train")
    first = next(k for k in range(len(source)) if source.example_name(k).endswith(NAMES[0]))
    np.testing.assert_allclose(source[first]["box"], [3 / HEIGHT, 2 / WIDTH, 9 / HEIGHT, 1], atol=1e-6)
    assert source.label_boxes(first)[0].shape == (2, 4)
    with pytest.raises(ValueError, match="box_format must be xyxy or null with the columns bbox_x_min"):
        list_labels(tmp_path / "train.csv", box_format="xywh")


def test_boxes_of_several_labels_belong_to_their_label(tmp_path):
    rows = [{"image": NAMES[k], "label": "ab"[k % 2], "box": list(BOX) if k else ""} for k in range(13)]
    rows.append({"image": NAMES[1], "label": "a", "box": [0, 0, 2, 2]})
    file = write(tmp_path, rows)
    data = load.labels_file(file=file, image_size=(11, 7), box_format="xyxy", multilabel=True, batch_size=4)
    names = [data.train.example_name(k).rpartition("/")[2] for k in range(len(data.train))]
    assert data.multilabel and data.train.optional_keys == ()
    boxes = data.label_boxes("train", [names.index(name) for name in NAMES[:2] if name in names])
    assert NAMES[0] not in names or boxes[0] == {}
    if NAMES[1] in names:
        np.testing.assert_allclose(boxes[-1][1], [SHARES], atol=1e-6)
        np.testing.assert_allclose(boxes[-1][0], [[0, 0, 2 / HEIGHT, 2 / WIDTH]], atol=1e-6)


def test_the_format_is_found_only_where_one_fits(tmp_path):
    sizes = np.array([[HEIGHT, WIDTH]])
    assert find_format([(5.0, 3.0, 2.0, 6.0)], sizes) == ["xywh"] and find_format([(2, 3, 6, 9)], sizes) == ["xyxy"]
    assert not fitting([(0.0, 0.0, 0.0, 4.0)], sizes, "xyxy").any()
    assert read_boxes("[1, 2, 3, 4]") == read_boxes("1 2 3 4") == read_boxes([[1, 2, 3, 4]]) == [(1, 2, 3, 4)]
    assert read_boxes("") == [] and read_boxes("1 2 3") is None and read_boxes("a b c d") is None
    np.testing.assert_array_equal(relative([(-1.0, 0.0, 9.0, 11.0)], (11.0, 7.0), "xyxy"), [[0, 0, 1, 1]])
    rows = [{"image": name, "label": "ab"[k % 2], "box": [1, 2, 3, 4]} for k, name in enumerate(NAMES)]
    with pytest.raises(ValueError, match="box_format must say .*xyxy and xywh fit"):
        list_labels(write(tmp_path, rows))
    with pytest.raises(
        ValueError, match=r"box_format=xyxy must fit.*13 of 13 boxes.*line 2, whose image is 7 wide and 11"
    ):
        list_labels(write(tmp_path, [row | {"box": [5, 6, 3, 4]} for row in rows]), box_format="xyxy")
    rows[3]["box"], rows[4]["box"] = "1 2", [5, 5, 3, 3]
    with pytest.raises(TooManyUnreadable, match=r"box that cannot be used: 2 \(lines 5 to 6\)"):
        list_labels(write(tmp_path, rows), box_format="xyxy", max_unreadable=1)
    assert len(labels_of(list_labels(tmp_path / "train.csv", box_format="xyxy"))) == 12


def test_an_image_is_in_one_split_and_labels_that_look_alike_are_told(tmp_path):
    rows = [
        {"image": name, "label": "aAb"[k % 3], "split": "val" if k > 8 else "train"} for k, name in enumerate(NAMES)
    ]
    file = write(tmp_path, [*rows, rows[0] | {"split": "val"}, rows[1]])
    listing = list_labels(file)
    assert listing.table.lost.names == {"image of another split": ["train.csv:15"]}
    assert "labels that differ in upper and lower case only: A and a" in listing.table.notes[-1]
    assert "rows that name an image of an earlier row: 1" in " ".join(listing.table.notes)


WRONG = [
    ([{"image": NAMES[0], "lable": "a"}], {}, "must have the columns 'image' and 'label'.*'lable' looks like 'label'"),
    ([{"image": NAMES[0], "label": "a"}], {}, "two labels"),
    ([{"image": name, "label": k * 0.37} for k, name in enumerate(NAMES)], {}, "each of several images.*13 values"),
    ([{"image": name, "label": "ab"[k % 2]} for k, name in enumerate(NAMES)], {"box_format": "xyxy"}, "no column of"),
    ([{"image": name, "label": "ab"[k % 2], "split": "test"} for k, name in enumerate(NAMES)], {}, "to train on"),
    (
        [{"image": n, "label": n[2], "split": "val" if n == NAMES[7] else ""} for n in NAMES],
        {},
        "Split 'validation'.*7",
    ),
]


@pytest.mark.parametrize(("rows", "arguments", "message"), WRONG)
def test_wrong_tables_are_refused(tmp_path, rows, arguments, message):
    with pytest.raises(ValueError, match=message):
        list_labels(write(tmp_path, rows), **arguments)


def test_batches_have_the_boxes_of_the_view(tmp_path):
    rows = [{"image": name, "label": "ab"[k % 2], "bbox": list(BOX)} for k, name in enumerate(NAMES)]
    data = load.labels_file(
        file=write(tmp_path, rows), image_size=(5, 5), resize="pad", box_format="xyxy", batch_size=4
    )
    batch = data.examples("validation", [0, 1])
    # 11 x 7 in a square: black on both sides, 2 of 11 columns each.
    np.testing.assert_allclose(batch["box"], [[3 / 11, 4 / 11, 9 / 11, 7 / 11]] * 2, atol=1e-6)
    assert data.class_names == ("a", "b") and sorted(batch["labels"].tolist()) == [0, 1]


def test_masks_of_every_mode_are_what_is_not_zero(tmp_path):
    mask = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.5
    gray = Image.fromarray(mask.astype(np.uint8))
    palette = gray.copy()
    palette.putpalette([9, 9, 9, 0, 0, 0])  # the color of an object may be black
    color = Image.merge("RGB", [Image.new("L", gray.size), gray, Image.new("L", gray.size)])
    opacity = gray.point(lambda value: 255 * value)
    white = Image.merge("LA", [Image.new("L", gray.size, 255), opacity])
    for k, image in enumerate((gray, opacity, palette, color, white, gray.convert("1", dither=0).point(lambda v: v))):
        image.save(tmp_path / f"{k}.png")
        expected = mask if k < 5 else np.asarray(image)
        np.testing.assert_array_equal(read_mask(tmp_path / f"{k}.png"), expected)


def test_masks_are_seen_as_their_images_and_others_are_empty(tmp_path, caplog):
    rows = [{"image": name, "label": "ab"[k % 2], "mask": f"m{k}.png" if k % 3 else ""} for k, name in enumerate(NAMES)]
    file = write(tmp_path, rows)
    masks = np.random.default_rng(0).random((13, HEIGHT, WIDTH)) < 0.5
    for k, mask in enumerate(masks):
        Image.fromarray(mask.astype(np.uint8)).save(tmp_path / f"m{k}.png")
    data = load.labels_file(file=file, image_size=(7, 7), batch_size=4, validation_share=0.4)
    assert "box" not in data.train.record(0)
    batch = data.examples("validation", range(len(data.validation)))
    check_batch(batch, image_shape=(7, 7, 3), num_classes=2)
    for row in range(len(batch["index"])):
        number = int(data.validation.example_name(row)[-6:-4])
        expected = masks[number, 2:9] if number % 3 else np.zeros((7, 7))
        np.testing.assert_array_equal(batch["mask"][row], expected)
        np.testing.assert_array_equal(batch["box"][row], box_around(batch["mask"][row]))
    Image.new("L", (20, 20)).save(tmp_path / "m4.png")
    (tmp_path / "m5.png").write_text("no image")
    with pytest.raises(
        TooManyUnreadable, match=r"(?s)mask that cannot be used: 2.*m4.png is 20 x 20 pixels, its image 7"
    ):
        list_labels(file, max_unreadable=1)
    (tmp_path / "m7.png").unlink()
    with pytest.raises(TooManyUnreadable, match=r"missing mask: 1 \(line 9\)"):
        list_labels(file, max_unreadable=2)


def test_several_boxes_are_one_mask(tmp_path):
    rows = [{"image": name, "label": "ab"[k % 2], "box": [[0, 0, 2, 3], [5, 9, 7, 11]]} for k, name in enumerate(NAMES)]
    listing = list_labels(write(tmp_path, rows, kind="jsonl"), box_format="xyxy")
    source = LabelsFileSource(listing=listing, split="train")
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[:3, :2] = expected[9:, 5:] = True
    assert source.has_masks and np.array_equal(source.mask(0), expected)
    np.testing.assert_array_equal(source[0]["box"], [0, 0, 1, 1])
