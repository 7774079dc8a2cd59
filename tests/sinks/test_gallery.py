"""The gallery page: complete, self-contained, safe with any text, and able to go on. How it looks was judged by eye."""

import dataclasses
import html.parser
import json
import math
import os
import re

import numpy as np
import pytest
from PIL import Image

from tests.attention_maps.measured import METHODS, measured, measured_text, trust_report
from tests.attention_maps.records import random_record
from tests.attention_maps.text_records import text_record
from vitcross.attention_maps import AttentionMedia, Prediction, heat_map_sheet, sheets
from vitcross.attention_maps.records.trust_report import CANNOT_TELL, NOTHING
from vitcross.pages.axes import nice_ticks
from vitcross.sinks.gallery.charts import HEALTH, TRAINING, TRUST, by_key, charts, read_rows, thinned
from vitcross.sinks.gallery.sink import Gallery

HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">&amp;\u2028'
VOID = {"meta", "img", "input", "link", "br"}


def media(step, trust=False, **changes):
    record = random_record(step=step, depth=2, batch=3, **changes)
    record = measured(record, seed=step) if trust else record
    statistics = {"attention_stats/entropy": heat_map_sheet("entropy", [0, step], np.ones((2, 2)))}
    return AttentionMedia(record=record, sheets={**sheets(record), **statistics})


def plain(content):
    """The text of a piece of HTML, blanks collapsed."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", content)).split())


def section(page, name):
    """The HTML of one section."""
    return re.search(rf'<section id="{name}".*?</section>', page.source, re.S)[0]


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


def test_the_page_shows_every_capture_newest_first_with_its_images(tmp_path):
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


def test_images_that_another_sink_wrote_are_not_rewritten(tmp_path):
    folder = tmp_path / "attention" / "step_00000007"
    folder.mkdir(parents=True)
    (folder / "probe.png").write_bytes(b"theirs")
    content = media(7)
    Gallery(tmp_path, title="x").media(7, content)
    assert (folder / "probe.png").read_bytes() == b"theirs"
    assert (folder / "self_heads.png").read_bytes() == content.sheets["attention/self/heads"].png


def test_foreign_text_is_escaped(tmp_path):
    gallery = Gallery(tmp_path, title=HOSTILE)
    gallery.media(3, media(3, class_names=(HOSTILE,) * 13))
    gallery.close({"val/loss": 0.5}, 0)
    page = Page(tmp_path / "attention" / "index.html")
    tags = [tag for tag, _ in page.tags]
    assert tags.count("script") == 2 and len(page.scripts) == 2
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    outside = [target for target in page.attributes("a", "href") if not target.startswith("#")]
    assert set(page.attributes("img", "src")) == set(outside)
    assert page.text.count("</script><script>alert(1)</script>") >= 2
    assert json.loads(page.scripts[0])[0]["step"] == 3


def test_the_page_needs_no_network_no_storage_and_no_eval(tmp_path):
    gallery = Gallery(tmp_path, title="x")
    gallery.media(3, media(3))
    source = Page(tmp_path / "attention" / "index.html").source
    assert not re.search(r"https?://|//cdn|@import|eval\(|localStorage|sessionStorage|fetch\(|XMLHttpRequest", source)
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', source)[1]
    assert policy.startswith("default-src 'none'; img-src 'self' file:; style-src-attr 'unsafe-inline'; ")
    assert policy.count("unsafe") == 1 and policy.count("'sha256-") == 2  # one script, one style
    assert len(source) < 80_000  # images are files beside it


def test_controls_have_labels_and_images_have_texts(tmp_path):
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
    assert word in page.text and "98.3%" in page.text and "12,345" in page.text
    assert "No capture in this run" in page.text


def test_curves_come_from_metrics(tmp_path):
    rows = [{"step": s, "train/loss": 2.0 - s / 100, "attention_stats/entropy/mean": 0.5} for s in range(0, 100, 10)]
    rows += [{"step": 90, "attention_stats/entropy/min": 0.25, "attention_stats/entropy/max": 0.75}]
    rows += [{"step": 90, "val/loss": 1.25, "grounding/raw/lift": 2.5}]
    write_metrics(tmp_path, rows)
    gallery = Gallery(tmp_path, title="x")
    gallery.media(90, media(90))
    page = Page(tmp_path / "attention" / "index.html")
    # Loss, lift, entropy; what has no value has no chart.
    assert page.attributes("figure", "class").count("chart") == 3
    labels = page.attributes("svg", "aria-label")
    assert "Loss: train 1.1, validation 1.25 at step 90" in labels
    assert "reference" in page.source and "polygon" in page.source


def test_curves_of_layers_and_kinds_that_are_not_known_in_advance(tmp_path):
    rows = [{"step": 5, f"grounding/words/block_{layer:02d}/lift": 1.0 + layer} for layer in range(13)]
    rows += [{"step": 5, "grounding/words/block_00/chance": 0.25, "grounding/words/block_00/pointing": 0.5}]
    rows += [{"step": 9, "val/accuracy/<b>color": 0.5, "val/accuracy": 0.7, "val/accuracy/a/b": 0.1}]
    found = {figure.split("<h3>")[1].split("</h3>")[0]: figure for figure in charts(rows, TRUST + TRAINING)}
    lift, kinds = found["Words: lift"], found["Accuracy by group"]
    assert lift.count("<circle") == 6 and "layer 00 <b>1</b>" in lift and "layer 12 <b>13</b>" in lift
    assert "&lt;b&gt;color <b>0.5</b>" in kinds and kinds.count("<circle") == 1
    assert 'class="reference"' in found["Words: pointing game"]


@pytest.mark.parametrize(
    ("kind", "last"),
    [({"predicts_next": True}, "matrix"), ({}, "text"), ({"dual": True}, "text")],
)
def test_sheets_of_words_follow_those_of_images(tmp_path, kind, last):
    record = text_record(3, planted=2, predictions=(Prediction(HOSTILE, "a question", False),) * 3, **kind)
    found = sheets(record)
    gallery = Gallery(tmp_path, title="x")
    gallery.media(5, AttentionMedia(record=record, sheets=found))
    page = Page(tmp_path / "attention" / "index.html")
    images = [source.split("/")[1].removesuffix(".png") for source in page.attributes("img", "src")]
    assert images[:4] == ["self_overlay", "self_layers", "probe", "self_heads"] and len(images) == len(found)
    assert images[-1].endswith(last) and images[4] in ("cross_words", "cross_similarity")
    ids = page.attributes("section", "id")
    assert ids == ["how", "trust", "self", "text"] and "cross_" not in section(page, "self")
    assert "Which patches" in page.text and "Blue words" in page.text and "a question" in page.text
    assert len(found) + 5 <= 14  # with the heat maps: 70 captures stay below the thousand files of a W&B run
    assert Gallery(tmp_path, title="x").captures == gallery.captures


def test_metrics_that_are_missing_broken_or_not_finite(tmp_path):
    assert read_rows(tmp_path / "metrics.jsonl") == []
    text = '{"step": 1, "train/loss": NaN}\n[1]\n\n{"step": 2, "train/loss": 0.5}\n{"step": 3, "train/lo'
    (tmp_path / "metrics.jsonl").write_text(text)
    rows = read_rows(tmp_path / "metrics.jsonl")
    assert by_key(rows)["train/loss"] == [(2, 0.5)]
    assert len(charts(rows, TRAINING)) == 1 and charts(rows, HEALTH) == []
    assert charts([{"step": 0, "val/loss": 0.0}], TRAINING)[0].count("<circle") == 1


def test_long_runs_are_thinned_and_keep_their_ends():
    rows = [{"step": s, "train/loss": float(s)} for s in range(100_003)]
    found = thinned(by_key(rows)["train/loss"])
    assert len(found) <= 300 and found[0] == (0, 0.0) and found[-1] == (100_002, 100_002.0)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.01, 2.3), (-3, 7), (5, 5), (0, 0), (1e-9, 2e-9), (0.93, 0.98), (-2, -2)]
)
def test_ticks_are_round_and_enclose(low, high):
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low + 1e-12 and ticks[-1] >= high - 1e-12 and 2 <= len(ticks) <= 7
    np.testing.assert_allclose(np.diff(ticks), ticks[1] - ticks[0])


def test_a_resumed_run_keeps_earlier_captures_and_replaces_later_ones(tmp_path):
    first = Gallery(tmp_path, title=HOSTILE)
    for step in (0, 10, 20):
        first.media(step, media(step, class_names=(HOSTILE,) * 13))
    again = Gallery(tmp_path, title=HOSTILE)
    assert again.captures == first.captures
    again.media(10, media(10))
    assert [capture.step for capture in again.captures] == [0, 10]
    (tmp_path / "attention" / "index.html").write_text("<html>another page</html>")
    assert Gallery(tmp_path, title="x").captures == []


SECTIONS = ["Is it trustworthy?", "Self-attention", "Image and text", "Explore", "Health", "Training"]


def full_page(tmp_path):
    """A gallery with everything: a captioner, curves of all kinds, a viewer and a film."""
    record = measured_text(text_record(3, predicts_next=True, planted=2), seed=4)
    folder = tmp_path / "attention"
    folder.mkdir()
    (folder / "viewer.html").write_text("<p>viewer</p>")
    Image.new("RGB", (31, 17)).save(folder / "evolution.gif")
    write_metrics(tmp_path, [{"step": 5, "train/loss": 1.0, "attention_stats/entropy/mean": 0.5}])
    gallery = Gallery(tmp_path, title="x")
    gallery.media(5, AttentionMedia(record=record, sheets=sheets(record)))
    return gallery, record, Page(folder / "index.html")


def test_sections_come_in_the_order_of_the_questions(tmp_path):
    _, _, page = full_page(tmp_path)
    assert re.findall(r"<h2>(.*?)</h2>", page.source) == ["How to read this", *SECTIONS]
    links = re.search(r'<nav aria-label="Sections">(.*?)</nav>', page.source)[1]
    assert re.findall(r">([^<]+)</a>", links) == SECTIONS
    ids = page.attributes("section", "id")
    assert [f"#{name}" for name in ids[1:]] == re.findall(r'href="([^"]+)"', links)


def test_the_table_holds_the_numbers_of_the_report(tmp_path):
    gallery = Gallery(tmp_path, title="x")
    content = media(10, trust=True)
    gallery.media(10, content)
    report = content.record.trust
    trust = section(Page(tmp_path / "attention" / "index.html"), "trust")
    rows = [re.findall(r"<t[hd].*?</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", trust, re.S)]
    head = [plain(cell) for cell in rows[0]]
    assert head[:5] == ["Method", "Verdict", "Gap to random orders", "Deletion", "Insertion"]
    assert head[5:8] == ["Gap to another image's map", "Gap to the center", "Share of leave one out"]
    assert head[8:] == ["Untrained likeness", "Pointing game", "Lift"]
    for method, row in zip(METHODS, rows[1:], strict=False):
        fidelity, grounding = report.fidelity[method], report.grounding[method]
        assert [plain(cell) for cell in row][1:] == [
            fidelity.words,
            f"{fidelity.gap:+.3f} [{fidelity.gap_low:+.3f}, {fidelity.gap_high:+.3f}]",
            f"{fidelity.deletion:.3f}",
            f"{fidelity.insertion:.3f}",
            f"{fidelity.gap_other:+.3f}",
            f"{fidelity.gap_center:+.3f}",
            f"{fidelity.gap_share:.0%}" if method != "leave_one_out" else "\u2013",
            f"{report.sanity[method]:.2f}" if method != "leave_one_out" else "\u2013",
            f"{grounding['pointing']:.2f} ({grounding['chance']:.2f})",
            f"{grounding['lift']:.2f}",
        ]
    assert [plain(cell) for cell in rows[5]][:5] == ["Random orders the baseline", "", "", "0.438", "0.562"]
    words = plain(trust)
    assert "Measured at step 10 : 53 of 61 examples explainable" in words
    assert "Raw attention is no better than random." in words and "Relevance follows the model." in words
    assert "Leave one out: nothing to explain." in words


def test_every_probe_has_its_maps_and_its_numbers(tmp_path):
    gallery = Gallery(tmp_path, title="x")
    content = media(10, trust=True)
    gallery.media(10, content)
    trust = section(Page(tmp_path / "attention" / "index.html"), "trust")
    cards = re.findall(r'<li class="card">.*?</li>', trust, re.S)
    assert len(cards) == 3
    for b, card in enumerate(cards):
        words = plain(card)
        assert f"Explained: target {b}" in words and gallery.captures[0].probes[b][0] in words
        numbers = [plain(caption) for caption in re.findall(r"<figcaption>(.*?)</figcaption>", card)]
        expected = [content.record.trust.probes[method][b].words for method in METHODS]
        assert [number.endswith(end) for number, end in zip(numbers[1:], expected, strict=True)] == [True] * 4
        assert ("nothing to explain" in words) == (b == 1)
        places = re.findall(r"\) ([\d.]+)% ([\d.]+)%/500% 300%", card)
        assert [(float(x), float(y)) for x, y in places] == [(25.0 * k, 50.0 * b) for k in range(5)]
    with Image.open(tmp_path / "attention" / "step_00000010" / "thumbnails.png") as file:
        cells = gallery.captures[0].thumbnails
        assert file.size == (cells["width"] * 5, cells["height"] * 3)
    assert "background:url(step_00000010/thumbnails.png)" in cards[0]


def test_the_newest_measured_capture_is_named(tmp_path):
    gallery = Gallery(tmp_path, title="x")
    for step, trust in ((0, True), (10, True), (500, False)):
        gallery.media(step, media(step, trust=trust))
    page = Page(tmp_path / "attention" / "index.html")
    assert "Measured at step 10 " in plain(section(page, "trust"))
    assert [a["id"] for tag, a in page.tags if tag == "article"] == ["step-500", "step-10", "step-0"]
    frames = re.findall(r'<a href="#step-(\d+)" data-step="(\d+)">', page.source)
    assert frames == [("0", "0"), ("10", "10"), ("500", "500")]
    again = Gallery(tmp_path, title="x")
    assert again.captures == gallery.captures
    assert again.captures[1].trust["methods"][0]["words"] == "no better than random"


def test_runs_without_trust_without_boxes_and_without_captures(tmp_path):
    gallery = Gallery(tmp_path / "a", title="x")
    gallery.media(0, media(0))
    words = plain(section(Page(gallery.path), "trust"))
    assert "have not been measured" in words and "<table>" not in Page(gallery.path).source
    record = random_record(step=3, depth=1, batch=3)
    record = dataclasses.replace(measured(record), trust=trust_report(record, grounded=False, sanity={}))
    gallery.media(3, AttentionMedia(record=record, sheets=sheets(record)))
    trust = section(Page(gallery.path), "trust")
    assert "Not measured: untrained likeness, pointing game, lift." in plain(trust) and "Lift" not in trust
    off = Gallery(tmp_path / "b", title="x")
    (tmp_path / "b").mkdir()
    write_metrics(tmp_path / "b", [{"step": 2, "train/loss": 0.5, "optimizer/learning_rate": 0.1}])
    off.close({}, 0)
    page = Page(off.path)
    assert "No capture in this run" in page.text and page.attributes("section", "id") == ["self", "training"]
    assert "Learning rate: learning rate 0.1 at step 2" in page.attributes("svg", "aria-label")


def words_of(tmp_path, fidelity=None, **changes):
    """What the section says of a report whose "relevance" has other numbers."""
    record = random_record(step=3, depth=1, batch=3)
    report = trust_report(record, **changes)
    for method, numbers in (fidelity or {}).items():
        report.fidelity[method] = dataclasses.replace(report.fidelity[method], **numbers)
    gallery = Gallery(tmp_path, title="x")
    record = dataclasses.replace(measured(record), trust=report)
    gallery.media(3, AttentionMedia(record=record, sheets=sheets(record)))
    return section(Page(gallery.path), "trust")


@pytest.mark.parametrize(
    ("gap", "p", "better"), [(0.2, 0.009, True), (0.2, 0.01, False), (-0.2, 0.0, False), (0.2, None, True)]
)
def test_only_what_the_test_finds_is_better_than_another_map(tmp_path, gap, p, better):
    numbers = {"gap_other": gap, "p_other": p, "gap_center": -gap, "p_center": p}
    words = plain(words_of(tmp_path, {"relevance": numbers}))
    assert ("not clearly better than another image's map: it may show where such images matter" not in words) == better
    assert ("not clearly better than a bright middle" in words) == (p is not None and (gap > 0 or p >= 0.01))


def test_a_gap_that_is_no_verdict_has_its_p(tmp_path):
    words = plain(words_of(tmp_path, {"raw": {"gap": 0.1, "p_value": 0.0249}}))
    assert "; p = .025, not below .01)" in words
    words = plain(words_of(tmp_path / "b", {"raw": {"gap": -0.1, "p_value": 0.0249}}))
    assert "not below .01" not in words


def test_a_planted_mark_has_its_sentence_and_its_columns(tmp_path):
    row = {"pointing": 1.0, "energy": 0.5, "lift": 7.25, "chance": 0.125}
    trust = words_of(tmp_path, grounding_mark={"raw": row})
    words = plain(trust)
    said = "Its brightest patch is on the planted mark in 100% of the images where it is known (chance 12%)."
    assert words.count(said) == 1
    assert words.count("Its brightest patch is on the boxes of what is explained in ") == 4
    head = [plain(cell) for cell in re.findall(r"<th scope=\"col\".*?</th>", trust)]
    assert head[-4:] == ["Pointing game", "Lift", "Pointing at the mark", "Lift on the mark"]
    cells = [plain(c) for c in re.findall(r"<td.*?</td>", re.findall(r"<tr>(.*?)</tr>", trust, re.S)[1])]
    assert cells[-2:] == ["1.00 (0.12)", "7.25"]


def test_the_page_names_which_examples_were_measured_by_their_overlap_with_the_shown_ones(tmp_path):
    for k, (among, expected) in enumerate(
        {
            (): "61 validation examples.",
            (False,) * 3: "61 validation examples, none of them shown here.",
            (True, False, True): "61 validation examples, 2 of the 3 images shown here among them.",
            (True,) * 3: "61 validation examples, all 3 images shown here among them.",
        }.items()
    ):
        words = plain(words_of(tmp_path / str(k), splits={"validation": 61}, measured=among))
        assert f"Measured on {expected}" in words
    own = plain(words_of(tmp_path / "own", splits={}, examples=3, explainable=2, measured=(True,) * 3))
    assert "2 of 3 examples explainable" in own and "Measured on 3 examples, the ones shown here." in own


def test_the_reasons_of_the_model_are_denied_only_where_the_data_bears_it_out(tmp_path):
    denied = "Do not read it as the model's reasons."
    reason = "too few examples with something to explain: 7 of them, at least 8 are needed"
    unknown = {"verdict": CANNOT_TELL, "reason": reason, "gap": 0.25, "gap_low": math.nan, "gap_high": math.nan}
    page = words_of(tmp_path, dict.fromkeys(METHODS, unknown))
    words = plain(page)
    assert denied not in words and not page.count('class="verdict random"')
    assert words.count(f"cannot tell. {reason.capitalize()} (gap +0.25).") == 4
    assert page.count('<span class="verdict unknown">') == 4 and "nan" not in words
    assert plain(words_of(tmp_path / "b")).count(denied) == 1  # of the method that is no better than random


def test_a_model_that_nothing_changes_has_nothing_to_explain(tmp_path):
    record = random_record(step=3, depth=1, batch=3)
    report = trust_report(record, verdicts=dict.fromkeys(METHODS, NOTHING), explainable=0)
    report.fidelity["raw"] = dataclasses.replace(report.fidelity["raw"], gap=float("nan"), gap_high=float("inf"))
    gallery = Gallery(tmp_path, title="x")
    record = dataclasses.replace(measured(record), trust=report)
    gallery.media(3, AttentionMedia(record=record, sheets=sheets(record)))
    words = plain(section(Page(gallery.path), "trust"))
    assert "no example explainable" in words and words.count("There is nothing to explain.") == 1
    again = Gallery(tmp_path, title="x")  # what was not finite is null in the page
    assert again.captures[0].trust["methods"][0]["gap"] is None
    again.close({}, 0)
    assert plain(section(Page(again.path), "trust")) == words


def test_explained_texts_are_escaped(tmp_path):
    record = measured_text(text_record(3, predictions=(Prediction(HOSTILE, HOSTILE),) * 3), targets=(HOSTILE,) * 3)
    gallery = Gallery(tmp_path, title="x")
    gallery.media(5, AttentionMedia(record=record, sheets=sheets(record)))
    page = Page(gallery.path)
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    trust = section(page, "trust")
    assert trust.count("&lt;/script&gt;&lt;script&gt;alert(1)") == 9 and "through both towers" in trust


def test_viewer_and_animation_are_shown_once_they_exist(tmp_path):
    _, _, page = full_page(tmp_path)
    explore = section(page, "explore")
    assert 'href="viewer.html"' in explore and 'src="evolution.gif"' in explore
    assert 'width="31" height="17"' in explore
    bare = Gallery(tmp_path / "bare", title="x")
    bare.media(0, media(0))
    assert "explore" not in Page(bare.path).attributes("section", "id")


def test_curves_of_trust_have_their_intervals_and_colors():
    rows = [
        {"step": s, "trust/relevance/gap": 0.25, "trust/relevance/gap_low": 0.125, "trust/relevance/gap_high": 0.5}
        for s in (0, 10)
    ]
    rows += [{"step": 10, "grounding/leave_one_out/pointing": 0.75, "grounding/leave_one_out/chance": 0.25}]
    gap, pointing = charts(rows, TRUST)
    assert 'class="band s2"' in gap and 'class="series s2"' in gap and "Relevance <b>0.25</b>" in gap
    assert gap.count("polygon") == 1 and 'class="reference"' in gap
    assert 'class="end s3"' in pointing and 'class="reference"' in pointing
    corners = re.search(r'<polygon class="band s2" points="([^"]+)"', gap)[1].split()
    heights = [float(corner.split(",")[1]) for corner in corners]
    middle = float(re.search(r'<polyline class="series s2" points="[\d.]+,([\d.]+)', gap)[1])
    assert max(heights[:2]) == min(heights[:2]) > middle > max(heights[2:])


def test_an_unreadable_old_page_is_replaced(tmp_path):
    gallery = Gallery(tmp_path, title="x")
    gallery.media(0, media(0))
    text = gallery.path.read_text()
    state = json.loads(re.search(r'id="captures">(.*?)</script>', text)[1])
    for name in ("targets", "trust", "thumbnails", "colors"):
        del state[0][name]
    gallery.path.write_text(re.sub(r'(id="captures">).*?(</script>)', lambda m: m[1] + json.dumps(state) + m[2], text))
    again = Gallery(tmp_path, title="x")
    again.media(10, media(10, trust=True))
    assert [c.step for c in again.captures] == [10]
    assert "Measured at step 10 " in plain(Page(again.path).source)
