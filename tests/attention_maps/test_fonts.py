"""Tests of texts on sheets in any script: a font that has the letters is found, or the sheet says where the text is."""

import numpy as np
import pytest
from PIL import features

from vitcross.attention_maps.sheets import drawing, fonts
from vitcross.attention_maps.sheets.drawing import Canvas
from vitcross.pages.direction import in_line

TEXTS = {
    "GREEK": "Ελληνικά",
    "CYRILLIC": "кошка",
    "HEBREW": "חתול",
    "ARABIC": "قطة",
    "CJK": "猫犬",
    "HANGUL": "고양이",
}


@pytest.fixture
def no_system_fonts(monkeypatch):
    monkeypatch.setattr(fonts, "system_fonts", lambda: ())
    _forget()
    yield
    _forget()


def _forget():
    fonts._found.clear()
    fonts.runs.cache_clear()
    drawing.text_width.cache_clear()


def drawn(text, **options):
    canvas = Canvas(width=300, height=40)
    canvas.text(20, 5, text, **options)
    return canvas


@pytest.mark.parametrize(("script", "text"), TEXTS.items())
def test_every_script_has_a_font_or_a_note(script, text):
    canvas = drawn(text)
    if fonts.missing_scripts(text):
        assert canvas.missing == {script} and canvas.array().shape[0] > 40
        return
    assert canvas.array().shape == (40, 300, 3)
    ((path, part),) = fonts.runs(text)
    assert part == text and path in fonts.system_fonts()
    boxes = bytes(fonts.font(16, path).getmask(fonts._UNKNOWN * len(text)))
    assert bytes(fonts.font(16, path).getmask(text)) != boxes


@pytest.mark.parametrize(("script", "text"), TEXTS.items())
def test_without_a_font_the_sheet_says_where_the_text_is(script, text, no_system_fonts):
    canvas = drawn(f"7 {text} b")
    array = canvas.array()
    assert canvas.missing == {script} and array.shape[0] > 40 and array.shape[1] == 300
    assert (array[40:] != drawing.PAPER).any()  # the note


def test_letters_without_a_glyph_lose_their_accent_and_nothing_else(no_system_fonts):
    assert drawing.one_line("a\n b\tc") == "a b c" and drawing.one_line("café naïve") == "cafe naive"
    assert drawing.one_line("“x” \ud800 שלום") == "“x” ? שלום"
    assert not drawn("café").missing


def test_line_breaks_in_a_name_have_a_width():
    assert drawing.text_width("a\rשלום\n\x85b\u2029", 13) == drawing.text_width("a שלום b", 13)


def test_latin_text_is_drawn_with_the_own_font_alone():
    assert fonts.runs("a cat, 3 of 7") == ((fonts.OWN, "a cat, 3 of 7"),)


@pytest.mark.parametrize("anchor", ["la", "rs", "mm"])
def test_several_fonts_share_a_baseline_and_end_where_the_anchor_says(anchor, monkeypatch):
    monkeypatch.setattr(fonts, "runs", fonts.runs.__wrapped__)
    split = ((fonts.OWN, "abc"), (fonts.OWN, "def"))
    monkeypatch.setattr(drawing, "runs", lambda text: split if text == "abcdef" else ((fonts.OWN, text),))
    drawing.text_width.cache_clear()
    two = Canvas(width=200, height=60)
    two.text(100, 30, "abcdef", anchor=anchor)
    one = Canvas(width=200, height=60)
    monkeypatch.setattr(drawing, "runs", lambda text: ((fonts.OWN, text),))
    one.text(100, 30, "abcdef", anchor=anchor)
    drawing.text_width.cache_clear()
    ink = [np.argwhere((canvas.array() != drawing.PAPER).any(-1)) for canvas in (one, two)]
    np.testing.assert_allclose(ink[0].min(0), ink[1].min(0), atol=2)
    np.testing.assert_allclose(ink[0].max(0), ink[1].max(0), atol=2)


@pytest.mark.skipif(not features.check("raqm"), reason="Pillow without Raqm draws from left to right")
@pytest.mark.skipif(bool(fonts.missing_scripts("אב")), reason="no font for Hebrew on this machine")
def test_hebrew_runs_from_right_to_left():
    first, whole = (drawn(text, size=13, anchor="la").array() for text in ("א", "אב"))
    width, alef = (int(drawing.text_width(text, 13)) for text in ("אב", "א"))
    left = slice(20 + 1, 20 + alef - 1)
    right = slice(20 + width - alef + 1, 20 + width - 1)
    assert (
        np.abs(first[:, left].astype(int) - whole[:, right]).mean()
        < np.abs(first[:, left].astype(int) - whole[:, left]).mean()
    )


def test_a_name_that_runs_left_does_not_turn_the_line_that_it_stands_in(monkeypatch):
    assert in_line("cat") == "cat" and in_line("кошка") == "кошка"
    line = f"1. {in_line('שלום')} 14 %"
    assert not fonts._runs_left(line)
    path = {"1": "a", "%": "a", "ש": "b"}
    monkeypatch.setattr(fonts, "_has", lambda font, letter: letter not in path or path[letter] == font)
    monkeypatch.setattr(fonts, "_font_of", path.get)
    parts = fonts.runs.__wrapped__(line)
    assert [text for _, text in parts] == ["1. ", "שלום ", "14 %"]  # without the marks, which a font may lack
