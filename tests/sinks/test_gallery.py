"""The gallery page: complete, self-contained, safe with any text, and able to go on. How it looks was judged by eye."""

import html.parser
import json
import os
import re

import numpy as np
import pytest

from tests.attention_maps.records import random_record
from tests.attention_maps.text_records import text_record
from vitcross.attention_maps import AttentionMedia, Verdict, heat_map_sheet, sheets
from vitcross.sinks.gallery import Gallery
from vitcross.sinks.gallery_curves import STATISTICS, TRAINING, charts, nice_ticks, points, read_rows

HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">&amp;\u2028'
VOID = {"meta", "img", "input", "link", "br"}


def media(step, **changes):
    record = random_record(step=step, depth=2, batch=3, **changes)
    statistics = {"attention_stats/entropy": heat_map_sheet("entropy", [0, step], np.ones((2, 2)))}
    return AttentionMedia(record=record, sheets={**sheets(record), **statistics})


class Page(html.parser.HTMLParser):
    """Collects tags and text, and holds every tag against its end."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.open, self.text, self.scripts = [], [], "", []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.text += data

    def attributes(self, tag, name):
        return [attributes[name] for found, attributes in self.tags if found == tag and name in attributes]


def write_metrics(folder, rows):
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_page_shows_every_capture_newest_first_with_its_pictures(tmp_path):
    gallery = Gallery(tmp_path, title="a run")
    for step in (0, 10, 500):
        gallery.media(step, media(step))
    page = Page(tmp_path / "attention" / "index.html")
    articles = [attributes["id"] for tag, attributes in page.tags if tag == "article"]
    assert articles == ["step-500", "step-10", "step-0"]
    images = page.attributes("img", "src")
    assert len(images) == 3 * 4 + 1  # heat maps hold their own history: those of the last capture are enough
    for source in images:
        assert (tmp_path / "attention" / source).is_file() and not os.path.isabs(source)
    assert set(images) <= set(page.attributes("a", "href"))
    assert images[0] == "step_00000500/self_overlay.png"
    assert "running" in page.text and "not by itself evidence" in page.text
    record = gallery.captures[-1]
    assert record.probes[0][0] in page.text


def test_pictures_that_another_sink_wrote_are_left_alone(tmp_path):
    folder = tmp_path / "attention" / "step_00000007"
    folder.mkdir(parents=True)
    (folder / "probe.png").write_bytes(b"theirs")
    content = media(7)
    Gallery(tmp_path, title="x").media(7, content)
    assert (folder / "probe.png").read_bytes() == b"theirs"
    assert (folder / "self_heads.png").read_bytes() == content.sheets["attention/self/heads"].png


def test_text_from_outside_stays_text(tmp_path):
    gallery = Gallery(tmp_path, title=HOSTILE)
    gallery.media(3, media(3, class_names=(HOSTILE,) * 13))
    gallery.close({"val/loss": 0.5}, 0)
    page = Page(tmp_path / "attention" / "index.html")
    tags = [tag for tag, _ in page.tags]
    assert tags.count("script") == 2 and len(page.scripts) == 2
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert set(page.attributes("img", "src")) == set(page.attributes("a", "href"))
    assert page.text.count("</script><script>alert(1)</script>") >= 2
    assert json.loads(page.scripts[0])[0]["step"] == 3


def test_the_page_needs_no_network_no_storage_and_no_eval(tmp_path):
    gallery = Gallery(tmp_path, title="x")
    gallery.media(3, media(3))
    source = Page(tmp_path / "attention" / "index.html").source
    assert not re.search(r"https?://|//cdn|@import|eval\(|localStorage|sessionStorage|fetch\(|XMLHttpRequest", source)
    assert "default-src &#x27;none&#x27;" in source
    assert len(source) < 60_000  # pictures are files beside it


def test_controls_have_labels_and_pictures_have_texts(tmp_path):
    gallery = Gallery(tmp_path, title="x")
    gallery.media(0, media(0))
    gallery.media(3, media(3))
    page = Page(tmp_path / "attention" / "index.html")
    for tag, attributes in page.tags:
        if tag in ("input", "button"):
            assert attributes.get("aria-label")
        if tag == "img":
            assert attributes["alt"] and attributes["loading"] == "lazy" and attributes["width"]
    assert ("html", {"lang": "en"}) in page.tags and "width=device-width" in page.source
    assert "prefers-color-scheme:dark" in page.source


@pytest.mark.parametrize(("code", "word"), [(0, "finished"), (1, "failed"), (130, "stopped"), (143, "stopped")])
def test_close_says_how_the_run_ended(tmp_path, code, word):
    gallery = Gallery(tmp_path, title="x")
    gallery.close({"val/accuracy": 0.9834, "parameters": 12345, "best/value": None, "val/loss": None}, code)
    page = Page(tmp_path / "attention" / "index.html")
    assert word in page.text and "98.3%" in page.text and "12,345" in page.text and "No capture yet" in page.text


def test_curves_come_from_metrics(tmp_path):
    rows = [{"step": s, "train/loss": 2.0 - s / 100, "attention_stats/entropy/mean": 0.5} for s in range(0, 100, 10)]
    rows += [{"step": 90, "attention_stats/entropy/min": 0.25, "attention_stats/entropy/max": 0.75}]
    rows += [{"step": 90, "val/loss": 1.25, "grounding/raw/lift": 2.5}]
    write_metrics(tmp_path, rows)
    gallery = Gallery(tmp_path, title="x")
    gallery.media(90, media(90))
    page = Page(tmp_path / "attention" / "index.html")
    assert [tag for tag, _ in page.tags].count("svg") == 3  # loss, lift, entropy; what has no value has no chart
    labels = page.attributes("svg", "aria-label")
    assert "Loss: train 1.1, validation 1.25 at step 90" in labels
    assert "reference" in page.source and "polygon" in page.source


def test_curves_of_layers_and_kinds_that_are_not_known_in_advance(tmp_path):
    rows = [{"step": 5, f"grounding/words/block_{layer:02d}/lift": 1.0 + layer} for layer in range(13)]
    rows += [{"step": 5, "grounding/words/block_00/chance": 0.25, "grounding/words/block_00/pointing": 0.5}]
    rows += [{"step": 9, "val/accuracy/<b>colour": 0.5, "val/accuracy": 0.7, "val/accuracy/a/b": 0.1}]
    found = {figure.split("<h3>")[1].split("</h3>")[0]: figure for figure in charts(rows, TRAINING)}
    lift, kinds = found["Words: lift on the boxes of what they name"], found["Accuracy by kind"]
    assert lift.count("<circle") == 6 and "layer 00 <b>1</b>" in lift and "layer 12 <b>13</b>" in lift
    assert "&lt;b&gt;colour <b>0.5</b>" in kinds and kinds.count("<circle") == 1
    assert 'class="reference"' in found["Words: pointing game"]


@pytest.mark.parametrize(
    ("kind", "last"),
    [({"predicts_next": True}, "matrix"), ({}, "text"), ({"dual": True}, "text")],
)
def test_sheets_of_words_follow_those_of_pictures(tmp_path, kind, last):
    record = text_record(3, planted=2, verdicts=(Verdict(HOSTILE, "a question", False),) * 3, **kind)
    found = sheets(record)
    gallery = Gallery(tmp_path, title="x")
    gallery.media(5, AttentionMedia(record=record, sheets=found))
    page = Page(tmp_path / "attention" / "index.html")
    images = [source.split("/")[1].removesuffix(".png") for source in page.attributes("img", "src")]
    assert images[:4] == ["self_overlay", "self_layers", "probe", "self_heads"] and len(images) == len(found)
    assert images[-1].endswith(last) and images[4] in ("cross_words", "cross_similarity")
    assert "Which patches" in page.text and "Blue words" in page.text and "a question" in page.text
    assert len(found) + 5 <= 14  # with the heat maps: 70 captures stay below the thousand files of a W&B run
    assert Gallery(tmp_path, title="x").captures == gallery.captures


def test_metrics_that_are_missing_broken_or_not_finite(tmp_path):
    assert read_rows(tmp_path / "metrics.jsonl") == []
    text = '{"step": 1, "train/loss": NaN}\n[1]\n\n{"step": 2, "train/loss": 0.5}\n{"step": 3, "train/lo'
    (tmp_path / "metrics.jsonl").write_text(text)
    rows = read_rows(tmp_path / "metrics.jsonl")
    assert points(rows, "train/loss") == [(2, 0.5)]
    assert len(charts(rows, TRAINING)) == 1 and charts(rows, STATISTICS) == []
    assert charts([{"step": 0, "val/loss": 0.0}], TRAINING)[0].count("<circle") == 1


def test_long_runs_are_thinned_and_keep_their_ends():
    rows = [{"step": s, "train/loss": float(s)} for s in range(100_003)]
    found = points(rows, "train/loss")
    assert len(found) <= 300 and found[0] == (0, 0.0) and found[-1] == (100_002, 100_002.0)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.01, 2.3), (-3, 7), (5, 5), (0, 0), (1e-9, 2e-9), (0.93, 0.98), (-2, -2)]
)
def test_ticks_are_round_and_enclose(low, high):
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low + 1e-12 and ticks[-1] >= high - 1e-12 and 2 <= len(ticks) <= 7
    np.testing.assert_allclose(np.diff(ticks), ticks[1] - ticks[0])


def test_a_run_that_goes_on_keeps_earlier_captures_and_replaces_later_ones(tmp_path):
    first = Gallery(tmp_path, title=HOSTILE)
    for step in (0, 10, 20):
        first.media(step, media(step, class_names=(HOSTILE,) * 13))
    again = Gallery(tmp_path, title=HOSTILE)
    assert again.captures == first.captures
    again.media(10, media(10))
    assert [capture.step for capture in again.captures] == [0, 10]
    (tmp_path / "attention" / "index.html").write_text("<html>another page</html>")
    assert Gallery(tmp_path, title="x").captures == []
