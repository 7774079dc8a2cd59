"""The sheets of image-text models: size, content, words. How they look was judged by eye."""

import dataclasses

import numpy as np
import pytest

from tests.attention_maps.measured import measured_text
from tests.attention_maps.text_records import text_record, tokenizer, with_text
from vitcross.attention_maps import Prediction, ProbeText, Style, sheets, text_from_user
from vitcross.attention_maps.methods.words import token_word_maps
from vitcross.attention_maps.sheets import color_maps, drawing
from vitcross.attention_maps.sheets.matrix_sheet import matrix_sheet

SELF = ["attention/probe", "attention/self/overlay", "attention/self/heads", "attention/self/layers"]
CROSS = ["attention/cross/words", "attention/cross/matrix"]
KINDS = {
    "captioner": ({"predicts_next": True}, [*SELF, *CROSS]),
    "questions": ({}, [*SELF, *CROSS, "attention/self/text"]),
    "dual": ({"dual": True}, [*SELF, "attention/cross/similarity", "attention/self/text"]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prefix", [0, 2])
def test_every_kind_has_its_sheets(kind, prefix):
    options, keys = KINDS[kind]
    found = sheets(text_record(planted=2, prefix=prefix, **options), note="Best on the boxes of 5 words: x.")
    assert list(found) == keys
    for key, sheet in found.items():
        height, width = sheet.image.shape[:2]
        assert sheet.image.std() > 10 and 600 <= width <= 2600 and height < 4000
        assert sheet.caption.startswith("Step 5.") and sheet.title
        assert ("Best on the boxes" in sheet.caption) == key.startswith("attention/cross")


def test_captions_say_what_was_read_and_every_text():
    record = text_record(3, predicts_next=True, planted=2)
    caption = sheets(record)["attention/cross/words"].caption
    assert "layer 1 (the last)" in caption and "predict it" in caption and "white box" in caption
    assert all(text.text in caption for text in record.text.texts)
    assert "their own rows" in sheets(text_record(3))["attention/cross/words"].caption
    assert "1: a red star" in sheets(record)["attention/probe"].caption


def test_the_colors_of_a_word_are_those_of_its_map():
    record = text_record(1, depth=1, predicts_next=True, predictions=(Prediction("x"),))
    (address,) = record.cross_attention
    record.text.weights[address][:] = 0
    text = record.text.texts[0]
    shown = next(k for k, word in enumerate(text.words) if text.word_boxes[k] is None and word.text.isalpha())
    for position in text.words[shown].tokens:
        record.text.weights[address][0, :, position - 1, 1 + 9] = 0.25
    sheet = sheets(record, Style(opacity=1.0))["attention/cross/words"]
    top = (sheet.image == color_maps.table("viridis")[-1]).all(-1)
    patch = 8 * (128 // 56)
    assert patch**2 <= top.sum() < patch**2 + 14 * 10  # one patch, and a few pixels of the bar
    assert "1: 0.25" in sheet.caption


STRANGE = "שלום עולם naïve 日本語 \U0001f600 e\u0301 \ud800 </script>\n\t" + "x" * 300


@pytest.mark.parametrize("kind", KINDS)
def test_text_of_any_script_is_drawn(kind):
    tokens = text_from_user(tokenizer(), STRANGE.replace("\ud800", ""), max_length=90)
    strange = ProbeText(text=STRANGE, tokens=tokens.tokens, words=tokens.words)
    options, keys = KINDS[kind]
    record = text_record(2, texts=[strange, text_from_user(tokenizer(), "", max_length=7)], **options)
    record = dataclasses.replace(record, predictions=(Prediction(STRANGE),) * 2)
    found = sheets(record)
    assert list(found) == keys and all(sheet.image.shape[1] <= 2600 for sheet in found.values())


def test_lines_are_wrapped_at_words_and_cut():
    lines = drawing.wrap("a small red star is left of a large blue circle " + "y" * 200, 13, 100, 4)
    assert len(lines) == 4 and all(drawing.text_width(line, 13) <= 100 for line in lines)
    assert lines[0].startswith("a small") and lines[-1].endswith("...")
    assert drawing.wrap("", 13, 100, 4) == [""] and drawing.wrap("one", 13, 100, 1) == ["one"]


def test_many_words_images_and_heads_stay_within_sane_sizes():
    long = text_from_user(tokenizer(), "a red star is above " * 12, max_length=90)
    for (options, _), count, heads in zip(KINDS.values(), (17, 3, 3), (2, 16, 16), strict=True):
        record = text_record(count, texts=[long] * count, heads=heads, depth=1, **options)
        for key, sheet in sheets(record).items():
            assert sheet.image.shape[1] <= 2600, key


def test_a_matrix_of_very_many_patches_is_merged():
    fine = text_record(
        1, size=(32, 64), patch=(1, 1), heads=1, depth=1, texts=[text_from_user(tokenizer(), "a", max_length=7)]
    )
    sheet = matrix_sheet(fine, Style())
    assert sheet.image.shape[1] <= 2600 and "mean of 3 neighboring patches" in sheet.caption


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_that_diverged_is_still_shown(kind):
    options, keys = KINDS[kind]
    record = text_record(3, **options)
    arrays = [*record.text.weights.values(), *record.weights.values(), record.token_norms]
    for array in (*arrays, *(s for s in (record.text.text_similarity, record.text.word_similarity) if s is not None)):
        array[:] = np.nan
    assert list(sheets(record)) == keys


@pytest.mark.parametrize("pooling", ["gap", "map"])
def test_other_poolings_of_the_text(pooling):
    record = text_record(2, dual=True)
    shares = np.zeros((2, 3, 1, record.text.padding_mask.shape[1]), np.float32)
    shares[..., 1] = 1
    weights = {**record.text.weights, "text_encoder/pooling/cross_attention": shares}
    record = with_text(record, weights=weights, pooling=pooling)
    caption = sheets(record)["attention/self/text"].caption
    assert ("attention pooling" if pooling == "map" else "mean over the rows") in caption


@pytest.mark.parametrize("kind", KINDS)
def test_maps_of_words_that_the_record_holds_have_a_sheet(kind):
    options, keys = KINDS[kind]
    record = measured_text(text_record(3, planted=2, **options))
    found = sheets(record)
    assert set(found) == {*keys, "attention/self/methods", "attention/cross/relevance"}
    sheet = found["attention/cross/relevance"]
    assert "1 Relevance: " in sheet.caption and "3 Rollout: " in sheet.caption and "both towers" in sheet.caption
    one = with_text(record, token_maps={"relevance": record.text.token_maps["relevance"]})
    shorter = sheets(one)["attention/cross/relevance"]
    assert shorter.image.shape[0] < 0.7 * sheet.image.shape[0] and "Rollout" not in shorter.caption


def test_the_map_of_a_word_is_the_mean_of_its_tokens_at_their_own_places():
    record = measured_text(text_record(1, depth=1, predicts_next=True, predictions=(Prediction("x"),)))
    text = record.text.texts[0]
    shown = next(k for k, word in enumerate(text.words) if text.word_boxes[k] is None and word.text.isalpha())
    values = record.text.token_maps["relevance"]
    values[:] = 0
    tokens = text.words[shown].tokens
    values[0, tokens[0], 9] = 0.5 * len(tokens)
    record = with_text(record, token_maps={"relevance": values})
    sheet = sheets(record, Style(opacity=1.0))["attention/cross/relevance"]
    top = (sheet.image == color_maps.table("viridis")[-1]).all(-1)
    patch = 8 * (128 // 56)
    assert patch**2 <= top.sum() < patch**2 + 14 * 10
    assert "1 Relevance: 0.5." in sheet.caption
    with pytest.raises(ValueError, match="rollout"):
        token_word_maps(record, "rollout")
    oracle = np.mean([values[0, t] for t in tokens], axis=0)
    np.testing.assert_allclose(token_word_maps(record, "relevance")[0][shown], oracle)
