"""The gallery in a real browser, without a window: what it shows, that it obeys, and that nothing leaves the page."""

import html
import json
import re
import shutil
import subprocess

import pytest

from tests.attention_maps.measured import measured
from tests.attention_maps.records import random_record
from vitcross.attention_maps import AttentionMedia, sheets
from vitcross.sinks.gallery.sink import Gallery

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")

# Opens the gallery in a frame and writes down what it finds: one start of the browser for all tests.
DRIVER = """<!doctype html><iframe id="frame" src="SOURCE" style="width:1200px;height:900px;border:0"></iframe>
<pre id="found"></pre><script>
const frame = document.getElementById("frame");
const loaded = () => new Promise((done) => frame.addEventListener("load", done, { once: true }));
const inside = () => frame.contentDocument;
const state = () => ({
  shown: [...inside().querySelectorAll("article")].filter((article) => !article.hidden).map((article) => article.id),
  hash: frame.contentWindow.location.hash,
  picked: inside().getElementById("picked").textContent,
});
const sizes = async (width) => {
  frame.style.width = width + "px";
  await new Promise((done) => setTimeout(done, 300));
  const page = inside();
  const cells = [...page.querySelectorAll(".trust tbody td")];
  return {
    overflow: page.documentElement.scrollWidth - width,
    beyond: [...page.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > width + 1 &&
      !e.closest(".sheets a, .tables a, .strip, thead")).map((e) => e.tagName + "." + e.className).slice(0, 5),
    tiles: [...page.querySelectorAll(".card .tile")].map((tile) => {
      const box = tile.getBoundingClientRect();
      return Math.round(10 * box.width / box.height) / 10;
    }),
    cut: cells.filter((cell) => cell.scrollWidth > cell.clientWidth + 1).length,
  };
};
(async () => {
  const found = {};
  try {
    await loaded();
    found.first = state();
    inside().getElementById("earlier").click();
    found.earlier = state();
    frame.contentWindow.location.reload();
    await loaded();
    found.again = state();
    inside().querySelector('.strip a[data-step="0"]').click();
    found.strip = state();
    found.current = inside().querySelector(".strip a[aria-current]").dataset.step;
    const pick = inside().getElementById("pick");
    pick.value = 2;
    pick.dispatchEvent(new Event("input"));
    found.last = state();
    inside().querySelector('header nav a[href="#training"]').click();
    found.jumped = [frame.contentWindow.location.hash, frame.contentWindow.scrollY > 0];
    found.wide = await sizes(1200);
    found.phone = await sizes(390);
    const images = [...inside().querySelectorAll("article:not([hidden]) img")];
    for (const image of images) {
      image.loading = "eager";
      if (!image.complete) await new Promise((done) => { image.onload = image.onerror = done; });
    }
    found.images = images.map((image) => image.naturalWidth);
    found.scripts = inside().querySelectorAll("script").length;
  } catch (error) {
    found.error = String(error);
  }
  document.getElementById("found").textContent = JSON.stringify(found);
})();
</script>"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What the driver found, and what the browser's console said (`console`)."""
    folder = tmp_path_factory.mktemp("gallery")
    page = folder / "driver.html"
    page.write_text(DRIVER.replace("SOURCE", write_gallery(folder / "run").path.as_uri()))
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
        f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=20000",
        "--window-size=1300,1000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.S)[1]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return {**json.loads(html.unescape(found)), "console": console}


def write_gallery(folder):
    (folder / "attention").mkdir(parents=True)
    rows = [{"step": s, "train/loss": 1.0 / (1 + s), "trust/raw/gap": 0.1} for s in (0, 10)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    gallery = Gallery(folder, title="a run </script> שלום " + "x" * 90)
    for step in (0, 10, 500):
        record = random_record(step=step, depth=2, batch=3, class_names=("</script> שלום " + "y" * 70,) * 13)
        record = measured(record, targets=("z" * 90,) * 3)
        gallery.media(step, AttentionMedia(record=record, sheets=sheets(record)))
    return gallery


def test_nothing_fails_and_no_text_becomes_a_script(seen):
    # What the page's policy forbids, a request to anywhere, is an error of the console.
    assert "error" not in seen and seen["console"] == [] and seen["scripts"] == 2


def test_captures_are_picked_and_survive_reloading(seen):
    assert seen["first"] == {"shown": ["step-500"], "hash": "", "picked": "Step 500 (3 of 3)"}
    assert seen["earlier"] == {"shown": ["step-10"], "hash": "#step-10", "picked": "Step 10 (2 of 3)"}
    assert seen["again"] == seen["earlier"]
    assert seen["strip"]["shown"] == ["step-0"] and seen["current"] == "0"
    assert seen["last"] == seen["first"]  # who looks at the newest one follows it


def test_a_jump_to_a_section_leaves_the_picked_capture_in_the_address(seen):
    assert seen["jumped"] == ["", True]


@pytest.mark.parametrize("width", ["wide", "phone"])
def test_no_content_is_cut_off(seen, width):
    assert seen[width]["beyond"] == [] and seen[width]["overflow"] <= 0 and seen[width]["cut"] == 0
    assert seen[width]["tiles"] == [2.5] * 15  # images of 12 x 30 pixels


def test_every_image_is_loaded(seen):
    assert len(seen["images"]) == 5 and min(seen["images"]) > 0
