"""The viewer in a real browser: what is clicked, what the canvas shows, what the read-out says, against NumPy."""

import dataclasses
import time

import numpy as np
import pytest

from tests.attention_maps.viewer_samples import (
    HOSTILE,
    PATCH,
    RIGHT_TO_LEFT,
    caption_run,
    classifier_record,
    classifier_run,
    dual_record,
)
from tests.browser import chromium
from vitcross.attention_maps import rollout
from vitcross.attention_maps.methods.words import patch_words, word_maps
from vitcross.attention_maps.sheets import color_maps
from vitcross.attention_maps.viewer import write_viewer

PREFIX, GRID = 2, (3, 5)
VIRIDIS = color_maps.table("viridis").astype(int)


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def runs():
    return {"classifier": classifier_run(), "captions": caption_run(), "pairs": [dual_record()]}


@pytest.fixture(scope="module")
def pages(runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("viewer")
    for name, records in runs.items():
        write_viewer(records, folder / f"{name}.html", title=name)
    other = classifier_record(step=300, planted=1.0, patch=(8, 8), depth=2, seed=3)
    write_viewer(runs["classifier"], folder / "compare.html", compare=[other], names=("first", "second"))
    return folder


@pytest.fixture
def view(browser, pages):
    """A function that opens a page; at the end of the test its console must be empty and nothing must have left it."""
    opened, problems = [], []

    def open_page(name, **options):
        options = {"viewport": {"width": 1300, "height": 900}, **options}
        page = browser.new_context(**options).new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: problems.extend([request.url] if not _own(request.url) else []))
        page.goto((pages / f"{name}.html").as_uri())
        opened.append(page)
        settle(page)
        return page

    yield open_page
    for page in opened:
        assert page.locator("#failure").text_content() == ""
        page.context.close()
    assert problems == []


def _own(url):
    return url.startswith("data:") or (url.startswith("file:") and url.endswith(".html"))


def settle(page, seconds=20):
    """Wait until the page has drawn what was chosen last; `wait_for_function` needs `eval`, which it forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate("(d => d.drawn && d.drawn === d.drawing)(document.body.dataset)"):
        assert time.monotonic() < end, "the page does not finish drawing: " + page.locator("#failure").text_content()
        page.wait_for_timeout(5)


def do(page, action, *arguments, **options):
    getattr(page, action)(*arguments, **options)
    settle(page)


def choose(page, **selects):
    for name, value in selects.items():
        do(page, "select_option", f"#{name}", value)


def scale(page, value):
    do(page, "check", f"[name=scale][value={value}]", force=True)


def direction(page, value):
    do(page, "check", f"[name=direction][value={value}]", force=True)


def opaque(page):
    page.evaluate("const o = document.getElementById('opacity'); o.value = 100; o.dispatchEvent(new Event('input'))")
    settle(page)


def click_patch(page, row, column, grid=GRID, panel=0):
    box = page.locator(f"#map-{panel}").bounding_box()
    x, y = (column + 0.5) * box["width"] / grid[1], (row + 0.5) * box["height"] / grid[0]
    do(page, "click", f"#map-{panel}", position={"x": x, "y": y})


def shares(page, grid=GRID, panel=0):
    """(P,) place of every patch's color in the color table, in [0, 1], read from the middle of the patch."""
    pixels = page.evaluate(
        """([panel, rows, columns]) => {
          const canvas = document.getElementById(`map-${panel}`), context = canvas.getContext("2d");
          return Array.from({length: rows * columns}, (_, p) => [...context.getImageData(
            Math.floor((p % columns + 0.5) * canvas.width / columns),
            Math.floor((Math.floor(p / columns) + 0.5) * canvas.height / rows), 1, 1).data].slice(0, 3));
        }""",
        [panel, *grid],
    )
    distance = np.abs(np.array(pixels)[:, None] - VIRIDIS).sum(axis=-1)
    assert distance.min(axis=1).max() == 0, "every color is one of the table's"
    return distance.argmin(axis=1) / 255


def read_out(page, panel=0):
    rows = page.locator(f"#read-out-{panel} > div")
    return dict(
        rows.evaluate_all("rows => rows.map(row => [row.children[0].textContent, row.children[1].textContent])")
    )


def assert_shows(page, expected, top=None, **place):
    """The canvas has the colors of `expected` (P,), the read-out its largest value, its place and its sum."""
    top = expected.max() if top is None else top
    # Rounded twice, to codes and to colors, of which the table has two that are equal.
    error = 2e-3 * expected.max() / top + 1.51 / 255
    np.testing.assert_allclose(shares(page, **place), np.clip(expected / top, 0, 1), atol=error)
    found, most = read_out(page, place.get("panel", 0)), int(expected.argmax())
    columns = place.get("grid", GRID)[1]
    assert float(found["Maximum"].split()[0]) == pytest.approx(expected.max(), rel=6e-3)
    assert f"at row {most // columns + 1}, column {most % columns + 1}" in found["Maximum"]
    assert float(found["Shown mass"]) == pytest.approx(expected.sum(), rel=6e-3)
    assert float(found["Top of the scale"].split(",")[0]) == pytest.approx(top, rel=6e-3)


def layer_of(record, layer, example=0):
    return list(record.self_attention.values())[layer][example].astype(float)


def test_a_patch_becomes_the_query_and_the_class_token_comes_back(view, runs):
    page, record = view("classifier"), runs["classifier"][-1]
    choose(page, view="layer", layer="1", head="1")
    scale(page, "map")
    opaque(page)
    weights = layer_of(record, 1)[1]
    assert_shows(page, weights[0, PREFIX:])
    assert read_out(page)["Query"] == "class token (the read-out)"
    assert read_out(page)["Left out"] == f"{weights[0, :PREFIX].sum() * 100:.0f} % (class token and 1 register)"
    click_patch(page, 1, 3)
    assert_shows(page, weights[PREFIX + 8, PREFIX:])
    assert read_out(page)["Query"] == "patch in row 2, column 4"
    assert page.locator("#stage svg .query:not(.under)").count() == 1
    click_patch(page, 1, 3)
    assert_shows(page, weights[0, PREFIX:])


def test_the_other_direction_is_the_column(view, runs):
    page, record = view("classifier"), runs["classifier"][-1]
    choose(page, view="layer", head="-1")
    scale(page, "map")
    opaque(page)
    weights = layer_of(record, 2).mean(axis=0)
    click_patch(page, 2, 0)
    direction(page, "by")
    assert_shows(page, weights[PREFIX:, PREFIX + 10])
    assert read_out(page)["Direction"] == "attended by the patches"
    assert float(read_out(page)["Left out"].split()[0]) == pytest.approx(weights[:PREFIX, PREFIX + 10].sum(), rel=0.01)
    do(page, "focus", "#map-0")
    page.keyboard.press("Escape")
    settle(page)
    # Who attends to the class token; then a register as query.
    assert_shows(page, weights[PREFIX:, 0])
    direction(page, "to")
    choose(page, token="prefix 1")
    assert_shows(page, weights[1, PREFIX:])
    assert read_out(page)["Query"] == "register 1"


def test_rollout_takes_patches_and_relevance_does_not(view, runs):
    page, record = view("classifier"), runs["classifier"][-1]
    assert page.input_value("#view") == "relevance"
    scale(page, "map")
    opaque(page)
    assert_shows(page, record.maps["relevance"][0])
    assert read_out(page)["Query"] == f'target "{record.targets[0]}"'
    click_patch(page, 0, 1)
    assert_shows(page, record.maps["relevance"][0])
    assert "has no other query" in page.locator(".note").first.text_content()
    choose(page, view="rollout")
    matrix = rollout([w[:1] for w in record.self_attention.values()])[0]
    assert_shows(page, matrix[PREFIX + 1, PREFIX:])
    do(page, "click", "#examples button:nth-child(4)")
    matrix = rollout([w[3:4] for w in record.self_attention.values()])[0]
    assert_shows(page, matrix[0, PREFIX:])


def test_the_slider_moves_through_the_run(view, runs):
    page = view("classifier")
    choose(page, view="layer", layer="0", head="0")
    scale(page, "map")
    opaque(page)
    click_patch(page, 1, 1)
    page.focus("#capture-0")
    page.keyboard.press("ArrowLeft")
    settle(page)
    assert page.locator("#capture-0").get_attribute("aria-valuetext") == "step 100"
    # Of earlier captures the page has the read-out, and says so.
    assert_shows(page, layer_of(runs["classifier"][1], 0)[0][0, PREFIX:])
    assert "only the last capture has single patches" in page.locator(".note").first.text_content()
    page.keyboard.press("Home")
    settle(page)
    assert_shows(page, layer_of(runs["classifier"][0], 0)[0][0, PREFIX:])
    page.keyboard.press("End")
    settle(page)
    assert_shows(page, layer_of(runs["classifier"][2], 0)[0][PREFIX + 6, PREFIX:])


def test_scales_are_shared_or_absolute_as_they_say(view, runs):
    page, record = view("classifier"), runs["classifier"][-1]
    choose(page, view="layer", layer="2", head="0")
    opaque(page)
    values = layer_of(record, 2)[0][0, PREFIX:]
    top = max(layer_of(r, 2)[:, 0, PREFIX:].max() for r in runs["classifier"])
    assert_shows(page, values, top=top)
    assert "all heads of this layer and captures" in read_out(page)["Top of the scale"]
    assert "and all heads of a layer, share one top" in page.locator("#scale-hint").text_content()
    scale(page, "absolute")
    assert_shows(page, values, top=10 / 17)
    do(page, "fill", "#top", "0.05")
    assert_shows(page, values, top=0.05)
    assert "the number that you chose" in read_out(page)["Top of the scale"]


def test_relevance_shares_its_scale_with_what_is_shown_only(view, runs):
    page, maps = view("classifier"), [record.maps["relevance"][0] for record in runs["classifier"]]
    assert page.input_value("#view") == "relevance"
    opaque(page)
    page.focus("#capture-0")
    page.keyboard.press("Home")
    settle(page)
    assert_shows(page, maps[0])
    assert read_out(page)["Top of the scale"].endswith(", the largest value of this map")
    assert "captures have no common scale" in page.locator("#scale-hint").text_content()
    do(page, "check", "#compare")
    top = max(maps[0].max(), maps[2].max())
    for panel, values in ((0, maps[0]), (1, maps[2])):
        assert_shows(page, values, panel=panel, top=top)
        assert "of the two maps shown" in read_out(page, panel)["Top of the scale"]


def test_relevance_of_words_shares_its_scale_with_the_words_of_this_capture(view, runs):
    page, record = view("captions"), runs["captions"][-1]
    choose(page, view="words/relevance")
    do(page, "click", "#examples button:nth-child(5)")
    opaque(page)
    do(page, "click", "#text [data-word='1']")
    each = [record.text.token_maps["relevance"][4, list(w.tokens)].mean(axis=0) for w in record.text.texts[4].words]
    assert_shows(page, each[1].astype(float), grid=record.token_layout.grid, top=max(map(np.max, each)))
    assert "all words of this text, this capture" in read_out(page)["Top of the scale"]


def test_a_few_own_images_cannot_tell_and_the_reason_is_said(browser, tmp_path):
    record = classifier_record()
    unknown = {"verdict": -2, "reason": "too few examples with something to explain: 4 of them, at least 8 are needed"}
    unknown |= {"gap_low": np.nan, "gap_high": np.nan}
    rows = {method: dataclasses.replace(row, **unknown) for method, row in record.trust.fidelity.items()}
    few = dataclasses.replace(record.trust, fidelity=rows, grounding={}, splits={}, measured=(True,) * 5, examples=5)
    write_viewer([dataclasses.replace(record, trust=few)], tmp_path / "few.html", title="few")
    page = browser.new_page()
    page.goto((tmp_path / "few.html").as_uri())
    settle(page)
    words = page.locator("#trust").text_content()
    assert "Relevance: cannot tell" in words and "Too few examples with something to explain: 4 of them" in words
    assert "This image+0.31" in words and "on 5 examples, the ones shown here." in words and "NaN" not in words
    assert page.locator("#trust .gauge .interval").count() == 0 and "99 %:" not in words
    page.close()


def test_everything_goes_by_keyboard(view, runs):
    page, record = view("classifier"), runs["classifier"][-1]
    choose(page, view="layer", head="-1")
    scale(page, "map")
    opaque(page)
    page.focus("#map-0")
    for key in ("ArrowUp", "ArrowUp", "ArrowLeft"):
        page.keyboard.press(key)
        settle(page)
    assert read_out(page)["Query"] == "patch in row 1, column 2"
    assert_shows(page, layer_of(record, 2).mean(axis=0)[PREFIX + 1, PREFIX:])
    page.keyboard.press("Escape")
    settle(page)
    assert read_out(page)["Query"].startswith("class token")
    for key, step in (("[", "step 100"), ("]", "step 500")):
        page.keyboard.press(key)
        settle(page)
        assert page.locator("#capture-0").get_attribute("aria-valuetext") == step
    page.keyboard.press("Shift+>")
    settle(page)
    assert page.locator("#examples [aria-pressed=true]").get_attribute("aria-label").startswith("Image 2:")
    # Every stop of the Tab key shows where it is, and none is a dead end.
    page.focus("#examples button")
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        place = page.evaluate(
            """() => { const e = document.activeElement, s = getComputedStyle(e), n = e.nextElementSibling;
              const near = n && e.type === 'radio' ? getComputedStyle(n) : s;
              return e === document.body ? null : [e.id || e.name || e.tagName, near.outlineStyle !== 'none']; }"""
        )
        if place is None:
            break
        seen.append(place)
    assert place is None and all(visible for _, visible in seen)
    assert {"view", "layer", "head", "direction", "scale", "opacity", "boxes", "compare", "map-0", "capture-0"} <= {
        n for n, _ in seen
    }


def test_small_maps_choose_layer_and_head(view, runs):
    page, record = view("classifier"), runs["classifier"][-1]
    scale(page, "map")
    opaque(page)
    do(page, "click", "#atlas [data-layer='0'][data-head='1']")
    assert [page.input_value("#view"), page.input_value("#layer"), page.input_value("#head")] == ["layer", "0", "1"]
    assert_shows(page, layer_of(record, 0)[1][0, PREFIX:])
    page.keyboard.press("ArrowDown")
    settle(page)
    assert_shows(page, layer_of(record, 1)[1][0, PREFIX:])


def test_trust_stands_beside_the_map(view, runs):
    page = view("classifier")
    box = page.locator("#trust")
    fidelity = runs["classifier"][-1].trust.fidelity["relevance"]
    assert "Relevance: follows the model" in box.text_content()
    rows = box.locator(".numbers tr")
    numbers = dict(
        rows.evaluate_all(
            "rows => rows.map(r => [r.children[0].textContent, [r.children[1].textContent, r.children[2].textContent]])"
        )
    )
    assert numbers["Deletion"] == [f"{fidelity.deletion:.2f}", "random 0.52; lower is better"]
    assert numbers["Insertion"][0] == f"{fidelity.insertion:.2f}" and "random 0.53" in numbers["Insertion"][1]
    assert numbers["Gap to random"] == ["+0.31", "99 %: +0.27 to +0.36; p < 0.001"]
    assert numbers["to another image's map"] == ["+0.25", "is it about this image?; p < 0.001"]
    assert numbers["to the center"] == ["+0.19", "not clearly more than a bright middle; p 0.02"]
    assert numbers["On the planted mark"] == ["75 %", "chance 6 %; the brightest patch; lift 5.5"]
    assert numbers["Share of leave one out"][0] == "82 %"
    assert numbers["This image"] == ["+0.31", "gap; deletion 0.30, insertion 0.70"]
    assert numbers["Pointing game"][0] == "90 %" and "chance 13 %" in numbers["Pointing game"][1]
    assert numbers["Energy on the boxes"] == ["40 %", "lift 3.1; 1 is chance"] and numbers["Sanity"][0] == "0.12"
    do(page, "click", "#examples button:nth-child(3)")
    assert "nothing to explain" in box.locator(".numbers").text_content()
    do(page, "click", "#trust .link >> text=Rollout")
    assert page.input_value("#view") == "rollout" and "Rollout: no better than random" in box.text_content()
    choose(page, view="layer", layer="0")
    assert "not for single layers, heads or patches" in box.text_content()
    choose(page, layer="2", head="-1")
    assert "Raw attention: follows the model" in box.text_content()
    # Step 100 was not measured: the nearest before it is step 0.
    page.focus("#capture-0")
    page.keyboard.press("ArrowLeft")
    settle(page)
    assert "Not measured at this capture; these numbers are of step 0" in box.text_content()


def test_a_word_lights_its_patches_and_a_patch_its_words(view, runs):
    page, record = view("captions"), runs["captions"][-1]
    grid = record.token_layout.grid
    choose(page, view="cross")
    scale(page, "map")
    opaque(page)
    do(page, "click", "#examples button:nth-child(4)")
    do(page, "click", "#text [data-word='2']")
    maps = word_maps(record)[3].mean(axis=1)
    assert_shows(page, maps[2], grid=grid)
    assert read_out(page)["Query"] == f'word "{record.text.texts[3].words[2].text}"'
    assert page.locator("#text [aria-pressed=true]").count() == 1
    boxes = record.text.texts[3].word_boxes[2]
    assert page.locator("#stage svg .truth:not(.under)").count() == (0 if boxes is None else len(boxes))
    click_patch(page, 1, 4, grid=grid)
    assert_shows(page, maps.mean(axis=0), grid=grid)
    expected = patch_words(record)[3].mean(axis=1)[11]
    received = word_maps(record)[3].mean(axis=1)[:, 11]
    np.testing.assert_allclose(received / received.sum(), expected, atol=0.02)
    titles = page.locator("#text .word").evaluate_all("words => words.map(w => Number(w.title.split(': ').pop()))")
    np.testing.assert_allclose(titles, received / received.sum(), atol=6e-3)
    colors = page.locator("#text .word").evaluate_all("words => words.map(w => getComputedStyle(w).backgroundColor)")
    brightest = "rgb({}, {}, {})".format(*VIRIDIS[255])
    assert colors[int(np.argmax(received))] == brightest
    choose(page, head="2")
    do(page, "click", "#text [data-word='0']")
    assert_shows(page, word_maps(record)[3][0, 2], grid=grid)


def test_a_word_in_a_view_of_images_opens_a_view_of_words(view, runs):
    page, record = view("captions"), runs["captions"][-1]
    choose(page, view="relevance")
    do(page, "click", "#examples button:nth-child(5)")
    scale(page, "map")
    opaque(page)
    do(page, "click", "#text [data-word='1']")
    assert page.input_value("#view") == "words/relevance"
    tokens = list(record.text.texts[4].words[1].tokens)
    assert_shows(
        page, record.text.token_maps["relevance"][4, tokens].mean(axis=0).astype(float), grid=record.token_layout.grid
    )


def test_cosines_have_a_scale_with_two_sides(view, runs):
    page, record = view("pairs"), runs["pairs"][0]
    choose(page, view="similarity", token="read")
    scale(page, "map")
    found = read_out(page)
    similarity = record.text.text_similarity[0]
    assert float(found["Maximum"].split()[0]) == pytest.approx(similarity.max(), abs=3e-3)
    low = float(page.locator(".ticks span").first.text_content())
    assert low == pytest.approx(-np.abs(similarity).max(), abs=2e-3)
    assert float(found["Mean"]) == pytest.approx(similarity.mean(), abs=1e-3)


def test_hostile_and_right_to_left_texts_are_text(view):
    page = view("captions")
    text = page.locator("#text")
    assert (
        text.evaluate(
            "e => [...e.childNodes].map(n => n.firstChild ? n.firstChild.textContent : n.textContent).join('')"
        )
        == HOSTILE
    )
    assert page.locator("#text img, #text b").count() == 0 and page.title() == "captions - viewer"
    assert text.evaluate("e => getComputedStyle(e).direction") == "ltr"
    do(page, "click", "#examples button:nth-child(2)")
    assert text.evaluate("e => getComputedStyle(e).direction") == "rtl"
    words = page.locator("#text .word")
    assert words.count() == len(RIGHT_TO_LEFT.split())
    assert words.nth(0).bounding_box()["x"] > words.nth(1).bounding_box()["x"]


def test_two_steps_stand_side_by_side(view, runs):
    page = view("classifier")
    choose(page, view="layer", layer="2", head="-1")
    do(page, "check", "#compare")
    opaque(page)
    tops = max(layer_of(r, 2)[:, 0, PREFIX:].max() for r in runs["classifier"])
    for panel, record in ((0, runs["classifier"][0]), (1, runs["classifier"][2])):
        assert_shows(page, layer_of(record, 2).mean(axis=0)[0, PREFIX:], panel=panel, top=tops)
    assert page.locator("#trust .trust-side").count() == 2
    assert page.locator(".panel h2").all_text_contents() == [
        "A, step 0: layer 2, mean of heads",
        "B, step 500: layer 2, mean of heads",
    ]
    page.focus("#capture-1")
    page.keyboard.press("ArrowLeft")
    settle(page)
    assert_shows(page, layer_of(runs["classifier"][1], 2).mean(axis=0)[0, PREFIX:], panel=1, top=tops)
    do(page, "uncheck", "#compare")
    assert page.locator(".panel").count() == 1


def test_two_runs_of_other_grids_and_depths_stand_side_by_side(view, runs):
    page = view("compare")
    other = classifier_record(step=300, planted=1.0, patch=(8, 8), depth=2, seed=3)
    choose(page, view="layer", layer="2", head="-1")
    scale(page, "map")
    opaque(page)
    assert_shows(page, layer_of(other, 1).mean(axis=0)[0, PREFIX:], panel=1, grid=(6, 10))
    click_patch(page, 4, 7, grid=(6, 10), panel=1)
    assert_shows(page, layer_of(runs["classifier"][-1], 2).mean(axis=0)[PREFIX + 13, PREFIX:])
    # The middle of that patch of the coarse grid.
    assert_shows(page, layer_of(other, 1).mean(axis=0)[PREFIX + 57, PREFIX:], panel=1, grid=(6, 10))
    assert page.locator("#compare-field").is_hidden()


@pytest.mark.parametrize("name", ["classifier", "captions", "pairs", "compare"])
def test_a_phone_needs_no_sideways_scrolling(view, name):
    page = view(name, viewport={"width": 360, "height": 740}, has_touch=True)
    if name == "classifier":
        do(page, "check", "#compare")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.click("#how summary")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    small = page.locator("button:visible, select:visible, summary:visible").evaluate_all(
        """all => all.filter(e => !e.closest('#atlas, #trust') && e.getBoundingClientRect().height < 24)
          .map(e => e.outerHTML)"""
    )
    assert small == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_are_readable_in_light_and_dark(view, scheme):
    page = view("classifier", color_scheme=scheme)
    found = page.evaluate(
        """() => ["body", ".muted", ".chip", ".readout dd", ".link", ".good", ".bad", ".wrong", ".right"].map((s) => {
          const e = document.querySelector(s);
          let back = e; while (getComputedStyle(back).backgroundColor === "rgba(0, 0, 0, 0)") back = back.parentElement;
          return [s, getComputedStyle(e).color, getComputedStyle(back).backgroundColor]; })"""
    )
    for selector, ink, canvas in found:
        assert contrast(ink, canvas) >= 4.5, selector
    assert (luminance(found[0][2]) < 0.1) == (scheme == "dark")


def luminance(color):
    channels = np.array([int(v) for v in color.strip("rgba()").split(",")[:3]]) / 255
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(one, other):
    """Contrast ratio of WCAG 2.2, section 1.4.3."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_every_control_has_a_name(view):
    page = view("captions")
    nameless = page.locator("button:visible, select:visible, input:visible, canvas[tabindex]").evaluate_all(
        """all => all.filter(e => !(e.getAttribute("aria-label") || e.textContent.trim() && e.tagName === "BUTTON"
          || (e.labels && [...e.labels].some(l => l.textContent.trim())))).map(e => e.outerHTML)"""
    )
    assert nameless == []
    assert page.locator("#read-out-0").get_attribute("aria-live") == "polite"


def test_boxes_and_artifacts_are_outlined(view, runs):
    page, record = view("classifier"), runs["classifier"][-1]
    artifact = page.locator("#stage svg .artifact:not(.under)")
    assert [float(artifact.get_attribute(k)) for k in ("x", "y", "width", "height")] == [
        4 * PATCH[1],
        0,
        PATCH[1],
        PATCH[0],
    ]
    truth = page.locator("#stage svg .truth:not(.under)")
    top, left, bottom, right = record.boxes[0] * np.array([48, 80, 48, 80])
    found = [float(truth.get_attribute(k)) for k in ("x", "y", "width", "height")]
    np.testing.assert_allclose(found, [left, top, right - left, bottom - top], atol=0.01)
    do(page, "uncheck", "#boxes")
    assert truth.count() == 0 and artifact.count() == 1


def test_without_unpacking_the_page_says_what_it_needs(browser, pages):
    context = browser.new_context()
    context.add_init_script("delete window.DecompressionStream")
    page = context.new_page()
    page.goto((pages / "classifier.html").as_uri())
    assert "Safari 16.4" in page.locator("#failure").text_content()
    context.close()
