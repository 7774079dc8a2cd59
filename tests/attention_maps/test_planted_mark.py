"""A planted mark through the room: from the batch to the record and its file, measured, and outlined in another way."""

import numpy as np
import pytest

from tests.attention_maps.records import LAYOUT, random_record
from tests.attention_maps.test_capture import batch, tiny_model
from vitcross.attention_maps import AttentionRecord, capture, grounding, sheets
from vitcross.attention_maps.sheets import drawing

# Of 12 x 30 pixels in patches of 4 x 6: the last patch; none; the first row's last two patches.
MARKS = np.array([[8 / 12, 24 / 30, 1, 1], [0, 0, 0, 0], [0, 18 / 30, 4 / 12, 1]], np.float32)


def marked_record(**changes):
    return random_record(batch=3, pooling="gap", depth=1, **{"mark_boxes": MARKS, **changes})


def looking_at(*patches):
    """Weights of one layer with which every token attends to these patches, evenly."""
    weights = np.zeros((3, 2, LAYOUT.num_tokens, LAYOUT.num_tokens), np.float32)
    weights[..., [LAYOUT.num_prefix_tokens + patch for patch in patches]] = 1 / len(patches)
    return {"image_encoder/block_00/self_attention": weights}


def test_the_boxes_of_marks_come_from_the_batch():
    examples, _ = batch()
    assert capture(tiny_model(), examples).mark_boxes is None
    examples |= {"mark_box": MARKS, "valid": np.array([True, False, True])}
    np.testing.assert_array_equal(capture(tiny_model(), examples).mark_boxes, MARKS[[0, 2]])


def test_the_boxes_of_marks_are_kept_in_the_file_and_cut_with_the_record(tmp_path):
    record = marked_record()
    record.save(tmp_path / "record.npz")
    np.testing.assert_array_equal(AttentionRecord.load(tmp_path / "record.npz").mark_boxes, MARKS)
    np.testing.assert_array_equal(record.first(2).mark_boxes, MARKS[:2])
    np.testing.assert_array_equal(record.take([2, 0]).mark_boxes, MARKS[[2, 0]])
    random_record().save(tmp_path / "plain.npz")
    assert AttentionRecord.load(tmp_path / "plain.npz").mark_boxes is None
    with pytest.raises(ValueError, match="`mark_boxes` must have one row per image"):
        random_record(batch=2, mark_boxes=MARKS)


def test_maps_are_measured_on_the_mark_where_a_image_has_one():
    knows = grounding(marked_record(weights=looking_at(14)), "raw", of="mark")  # row-major: 14 is the last of 15
    assert knows["examples"] == 2, "the image without a mark does not count"
    assert knows["energy"] == pytest.approx((1 + 0) / 2) and knows["pointing"] == 0.5
    assert knows["lift"] == pytest.approx((15 / 1 + 0) / 2)
    # At most one patch away: the corner and its 2 neighbors, the pair in the row and its 3.
    assert knows["chance"] == pytest.approx((3 / 15 + 5 / 15) / 2)
    row = grounding(marked_record(weights=looking_at(3, 4, 9, 10)), "raw", of="mark")
    assert row["energy"] == pytest.approx((0 + 0.5) / 2) and row["lift"] == pytest.approx((0 + 0.5 * 15 / 2) / 2)


def test_the_object_is_measured_as_before():
    with_mark, without = marked_record(), random_record(batch=3, pooling="gap", depth=1)
    assert grounding(with_mark) == grounding(without) == grounding(with_mark, of="object")
    assert grounding(with_mark) != grounding(with_mark, of="mark")
    assert grounding(marked_record(mark_boxes=np.zeros((3, 4), np.float32)), of="mark") == {}


def test_what_is_not_there_cannot_be_measured():
    with pytest.raises(ValueError, match="must hold mark_boxes for grounding. Received: mark_boxes=None"):
        grounding(random_record(), of="mark")
    with pytest.raises(ValueError, match="`of` must be one of object, mark. Received: of='corner'"):
        grounding(marked_record(), of="corner")


def test_a_dashed_box_lies_on_the_same_line_with_gaps():
    whole, dashed = (np.full((60, 90, 3), 90, np.uint8) for _ in range(2))
    box = (0.25, 0.2, 0.75, 0.9)
    drawing.draw_box(whole, box)
    drawing.draw_box(dashed, box, dashed=True)
    line, drawn = ((panel != 90).any(axis=-1) for panel in (whole, dashed))
    assert (line | ~drawn).all(), "no pixel beside the line"
    assert 0.3 < drawn.sum() / line.sum() < 0.7
    np.testing.assert_array_equal(dashed[drawn], whole[drawn])
    nothing = np.full((60, 90, 3), 90, np.uint8)
    drawing.draw_box(nothing, (0, 0, 0, 0), dashed=True)
    assert (nothing == 90).all()


def test_sheets_say_what_a_dashed_box_is():
    shown, plain = (sheets(record)["attention/probe"] for record in (marked_record(), marked_record(mark_boxes=None)))
    assert shown.image.shape[0] > plain.image.shape[0], "a line more in the heading"
