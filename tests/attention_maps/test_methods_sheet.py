"""The sheet of methods and the thumbnails: colors, boxes and words against the record. Looks were judged by eye."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from tests.attention_maps.measured import measured, measured_text, trust_report
from tests.attention_maps.records import LAYOUT, random_record
from tests.attention_maps.text_records import text_record
from vitcross.attention_maps import Style, sheets
from vitcross.attention_maps.methods.rollout import meaning
from vitcross.attention_maps.records.trust_report import CANNOT_TELL
from vitcross.attention_maps.sheets import color_maps
from vitcross.attention_maps.sheets.methods_sheet import method_maps, methods_sheet
from vitcross.attention_maps.sheets.overlay_images import OverlayImages, image_caption
from vitcross.attention_maps.sheets.thumbnails import thumbnails
from vitcross.layers.token_layout import TokenLayout

KEY = "attention/self/methods"
TOP = color_maps.table("viridis")[-1]
LOW = color_maps.table("viridis")[0]


def plain(batch=3, **changes):
    """A record without boxes and artifacts, on which every color comes from a map."""
    return random_record(batch=batch, depth=2, boxes=None, token_norms=np.ones((batch, LAYOUT.num_tokens)), **changes)


def count(image, color):
    return int((image == color).all(-1).sum())


def pixels_of(found):
    return np.asarray(Image.open(io.BytesIO(found.png)))


def test_it_is_made_only_where_the_record_holds_maps():
    assert KEY not in sheets(plain())
    found = sheets(measured(plain()))
    assert list(found)[:3] == ["attention/probe", "attention/self/overlay", KEY]


def test_a_column_has_a_scale_of_its_own_that_its_images_share():
    record = measured(plain())
    for values in record.maps.values():
        values[:] = 0
    record.maps["relevance"][1, 7] = 5.0
    record.maps["relevance"][2, 11] = 2.5
    record.maps["leave_one_out"][0, 3] = 0.125
    for weights in record.weights.values():
        weights[:] = 0
    sheet = methods_sheet(record, Style(opacity=1.0))
    patch = 4 * 6 * (192 // 30) ** 2  # one patch of 4 x 6 pixels, enlarged
    half = color_maps.colors(np.array([0.5]), "viridis", 0.0, 1.0)[0]
    assert 2 * patch <= count(sheet.image, TOP) < 2.5 * patch  # the largest of two columns, and ends of bars
    assert patch <= count(sheet.image, half) < 1.5 * patch
    for words in ("Relevance: follows the model", "brightest 5.", "brightest 0.125.", "Raw attention: no better than"):
        assert words in sheet.caption


def test_the_positive_part_of_leaving_out_is_shown_and_said():
    record = measured(plain())
    maps_BP, top = method_maps(record)["leave_one_out"]
    np.testing.assert_array_equal(maps_BP, np.where(record.maps["leave_one_out"] > 0, record.maps["leave_one_out"], 0))
    assert top == record.maps["leave_one_out"].max() > 0 > record.maps["leave_one_out"].min()
    assert "positive part is shown" in methods_sheet(record, Style()).caption
    without = dataclasses.replace(record, maps={"relevance": record.maps["relevance"]})
    assert list(method_maps(without)) == ["raw", "rollout", "relevance"]
    assert "positive part" not in methods_sheet(without, Style()).caption


def test_numbers_and_targets_are_those_of_the_record():
    record = measured(plain())
    caption = methods_sheet(record, Style()).caption
    for fidelity in record.trust.fidelity.values():
        assert (
            f"{fidelity.words}, gap {fidelity.gap:+.2f} [{fidelity.gap_low:+.2f}, {fidelity.gap_high:+.2f}]" in caption
        )
        assert fidelity.gap_words() in caption
    assert "In 53 of 61 dropping patches changes" in caption
    assert "Explained: 1: target 0; 2: target 1; 3: target 2" in caption


def test_what_was_not_measured_is_said():
    record = measured(plain(), trust=False)
    caption = methods_sheet(record, Style()).caption
    assert caption.count("not measured") == 4 and "Verdicts" not in caption
    partly = dataclasses.replace(record, trust=trust_report(record, methods=("raw", "relevance"), probes={}))
    assert methods_sheet(partly, Style()).caption.count("not measured") == 2


def test_which_examples_the_verdicts_come_from_and_why_there_is_none():
    record = measured(plain())
    caption = methods_sheet(record, Style()).caption
    assert "come from 47 validation and 14 training examples, 1 of the 3 images shown here among them." in caption
    few = "too few examples with something to explain: 5 of them, at least 8 are needed"
    wide = "the 99 % interval from -0.05 to +0.30 holds both no effect and a large one"
    for method, reason in (("raw", few), ("rollout", wide), ("relevance", few)):
        row = dataclasses.replace(record.trust.fidelity[method], verdict=CANNOT_TELL, reason=reason)
        record.trust.fidelity[method] = row
    sheet = methods_sheet(record, Style())
    assert f"Cannot tell (Raw attention, Relevance): {few}." in sheet.caption and sheet.caption.count(few) == 1
    assert f"Cannot tell (Rollout): {wide}." in sheet.caption and sheet.caption.count(": cannot tell, gap ") == 3
    said = image_caption(record, 0)
    assert f"Cannot tell (raw, relevance): {few}. Cannot tell (rollout): {wide}. Step" in said and said.count(few) == 1
    # One image has a gap, but no interval.
    assert dataclasses.replace(row, gap=0.5, gap_low=np.nan, gap_high=np.nan).gap_words() == "+0.50"


@pytest.mark.parametrize("size", [(64, 64, 8), (30, 70, 10)])
def test_square_and_long_images_with_long_names(size):
    height, width, patch = size
    layout = TokenLayout(grid_height=height // patch, grid_width=width // patch, num_prefix_tokens=1)
    record = random_record(
        layout=layout,
        depth=1,
        batch=5,
        patch_size=(patch, patch),
        images=np.random.default_rng(0).integers(0, 256, (5, height, width, 3), dtype=np.uint8),
        class_names=("an Aptenodytes forsteri of a name that does not end </script> " * 3,) * 13,
    )
    sheet = methods_sheet(measured(record, targets=("\n\t" + "x" * 400,) * 5), Style())
    assert 640 <= sheet.image.shape[1] <= 1200 and sheet.image.shape[0] < 5 * 400


def test_the_box_is_drawn_on_the_image_and_on_every_map():
    record = measured(random_record(batch=1, depth=1, boxes=np.array([[0.1, 0.2, 0.8, 0.9]], np.float32)))
    record.images[:] = 120
    white = [count(methods_sheet(r, Style()).image, 255) for r in (record, dataclasses.replace(record, boxes=None))]
    on_image = count(pixels_of(thumbnails(record))[:, :120], 255)
    assert white[1] == 0 and white[0] > 0 and on_image > 0
    assert white[0] % 5 == 0  # the same frame on five panels
    # What is said of boxes is so only where there is one: without area it is that of an unknown object.
    unknown = dataclasses.replace(record, boxes=np.zeros((1, 4), np.float32))
    with_box, without = sheets(record), sheets(unknown)
    assert "White box" in with_box[KEY].caption and "White box" not in without[KEY].caption
    assert with_box["attention/probe"].image.shape[0] == without["attention/probe"].image.shape[0] + 19, "one line less"
    assert OverlayImages(unknown).layers["truth"] == [[]] != OverlayImages(record).layers["truth"]


def test_many_images_and_a_network_that_diverged():
    many = measured(random_record(batch=19, depth=1))
    assert sheets(many)[KEY].image.shape[1] <= 2600
    broken = measured(plain())
    for values in (*broken.maps.values(), *broken.weights.values()):
        values[:] = np.nan
    assert methods_sheet(broken, Style()).image.std() > 0
    assert pixels_of(thumbnails(broken)).shape[0] > 0


def test_the_boxes_of_a_target_are_those_of_the_word_that_it_is():
    record = text_record(3, predicts_next=True)
    chosen = [next(k for k, b in enumerate(text.word_boxes) if b is not None) for text in record.text.texts]
    words = tuple(text.words[k].text.upper() for text, k in zip(record.text.texts, chosen, strict=True))
    found = measured_text(record, targets=(*words[:2], "nowhere")).target_boxes
    for boxes, text, k in zip(found[:2], record.text.texts, chosen, strict=False):
        same = [
            b for w, b in zip(text.words, text.word_boxes, strict=True) if w.text.upper() == text.words[k].text.upper()
        ]
        np.testing.assert_array_equal(boxes, np.concatenate([b for b in same if b is not None]))
    assert found[2].shape == (0, 4)


def test_maps_through_both_towers_are_called_so():
    record = measured_text(text_record(2, predicts_next=True))
    assert meaning("raw", record.maps) == meaning("rollout", record.maps) == "through both towers"
    assert meaning("raw", {}) == "last layer, mean of heads"
    np.testing.assert_array_equal(method_maps(record)["raw"][0], record.maps["raw"])


def test_thumbnails_are_a_grid_of_images_and_maps():
    record = measured(plain(class_names=()))
    found = thumbnails(record, Style(opacity=1.0))
    pixels, columns = pixels_of(found), list(found.grid["columns"])
    assert columns == ["image", "raw", "rollout", "relevance", "leave_one_out"] and found.grid["rows"] == 3
    factor = 128 // 30
    h, w = 12 * factor, 30 * factor
    assert (
        pixels.shape == (3 * h, 5 * w, 3)
        and pixels.dtype == np.uint8
        and (found.grid["height"], found.grid["width"]) == (h, w)
    )
    cells = pixels.reshape(3, h, 5, w, 3).swapaxes(1, 2)
    for b in range(3):
        np.testing.assert_array_equal(cells[b, 0], record.images[b].repeat(factor, 0).repeat(factor, 1))
        for k, method in enumerate(columns[1:], start=1):
            maps_BP, top = method_maps(record)[method]
            colors = color_maps.colors(maps_BP[b].reshape(3, 5), "viridis", 0.0, top)
            expected = colors.repeat(4 * factor, 0).repeat(6 * factor, 1)
            np.testing.assert_array_equal(cells[b, k], expected)


def test_thumbnails_of_a_record_without_maps_and_of_texts():
    assert thumbnails(plain()).grid["columns"] == {"image": "Image", "raw": "Raw attention", "rollout": "Rollout"}
    found = thumbnails(measured_text(text_record(2)))
    assert len(found.grid["columns"]) == 5 and found.grid["rows"] == 2
    assert pixels_of(found).shape[1] == 5 * found.grid["width"]
