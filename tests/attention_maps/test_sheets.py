"""The sheets of one capture: size, content, words. How they look was judged by eye."""

import numpy as np
import pytest

from tests.attention_maps.records import LAYOUT, random_record
from vitcross.attention_maps import Style, captions, heat_map_sheet, sheets
from vitcross.attention_maps.sheets import color_maps
from vitcross.layers.token_layout import TokenLayout

KEYS = ["attention/probe", "attention/self/overlay", "attention/self/heads", "attention/self/layers"]


@pytest.mark.parametrize("pooling", ["cls", "gap", "map"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_pooling_and_gray_images(pooling, channels):
    found = sheets(random_record(pooling=pooling, channels=channels, depth=2))
    assert list(found) == KEYS
    for sheet in found.values():
        assert sheet.image.dtype == np.uint8 and sheet.image.std() > 10
        assert sheet.caption.startswith("Step 5.") and sheet.title
    assert found["attention/self/overlay"].vmin == 0


def test_deep_models_and_many_examples_stay_within_sane_sizes():
    record = random_record(depth=24, heads=16, batch=19)
    for sheet in sheets(record).values():
        height, width = sheet.image.shape[:2]
        assert width <= 2600 and height <= 16 * 300


def test_small_and_single_examples_without_labels_boxes_and_prefix():
    layout = TokenLayout(grid_height=3, grid_width=5)
    record = random_record(
        batch=1, heads=1, depth=1, layout=layout, pooling="gap", labels=None, boxes=None, class_names=()
    )
    found = sheets(record, Style(panel_size=64, color_map="inferno", resampling="bilinear", opacity=1.0))
    assert list(found) == KEYS
    assert captions(record)[0].startswith(f"1: {record.predicted_class[0]} ") and "(" not in captions(record)[0]


def test_the_overlay_sheet_shows_the_colors_of_the_raw_map():
    weights = np.zeros((1, 1, 17, 17), np.float32)
    weights[..., 2 + 7] = 0.25
    record = random_record(
        batch=1, depth=1, weights={"a/block_00/self_attention": weights}, token_norms=np.ones((1, 17))
    )
    sheet = sheets(record, Style(opacity=1.0))["attention/self/overlay"]
    assert sheet.vmax == 0.25 and "0.25" in sheet.caption
    top = (sheet.image == color_maps.table("viridis")[-1]).all(-1)
    scale = 192 // 30
    # The hot patch, 4 x 6 pixels enlarged; the bar holds a few pixels of that color too.
    assert top.sum() >= 24 * scale**2 and top.sum() < 24 * scale**2 + 14 * 10


def test_captions_say_prediction_probability_and_truth():
    record = random_record(batch=2, depth=1, class_names=("cat", "dog"))
    record.probabilities[:] = 0
    record.probabilities[0, 1], record.probabilities[1, 0] = 0.973, 0.9999
    record.labels[:] = [1, 1]
    assert captions(record) == ["1: dog 97 % (right)", "2: cat >99 % (true: dog)"]


def test_words_that_are_long_strange_or_many_do_not_break_a_sheet():
    names = ("x" * 500, "a\nb\tc", "日本語 \U0001f600", "", "</script>") * 3
    assert list(sheets(random_record(depth=1, class_names=names[:13]))) == KEYS


def test_a_network_that_diverged_is_still_shown():
    record = random_record(depth=2)
    for weights in record.weights.values():
        weights[:] = np.nan
    record.probabilities[:] = np.nan
    record.token_norms[:] = np.nan
    assert list(sheets(record)) == KEYS


def test_artifact_patches_are_announced():
    norms = np.random.default_rng(0).uniform(5, 6, (7, LAYOUT.num_tokens)).astype(np.float32)
    plain = sheets(random_record(depth=1, token_norms=norms))["attention/self/overlay"].image
    norms[3, 9] = 50
    marked = sheets(random_record(depth=1, token_norms=norms))["attention/self/overlay"].image
    accent = np.array(color_maps.accent("viridis"))
    assert marked.shape[0] > plain.shape[0]  # a line more in the heading
    assert (marked == accent).all(-1).any() and not (plain == accent).all(-1).any()


def test_heat_map_of_depth_and_captures():
    values = np.random.default_rng(0).random((5, 3))
    sheet = heat_map_sheet("entropy", [0, 10, 20, 40, 80], values)
    assert sheet.vmin == 0 and sheet.vmax == values.max() and "steps 0 to 80" in sheet.caption
    assert heat_map_sheet("distance", [0], np.zeros((1, 24))).vmax == 0
    wide = heat_map_sheet("sink_share", range(5000), np.ones((5000, 2)))
    assert wide.image.shape[1] <= 2600
    with pytest.raises(ValueError, match="M = 2"):
        heat_map_sheet("entropy", [0, 1], values)
