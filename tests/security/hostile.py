"""Texts that try to break out of where they are shown, and data sets that are full of them."""

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TINY = ["model.embed_dim=16", "model.num_heads=2", "model.depth=1", "trainer.steps=2", "data.image_size=[32,40]"]
NO_WANDB = "sinks.wandb.mode=disabled"

# A page that takes one of them for HTML has an element `pwned`, an attribute `on...`, or sets `window.pwned`.
ELEMENT = "\"><img id=pwned src=x onerror=window.pwned=1>'><b id=pwned>"
ATTRIBUTE = "' onmouseover=window.pwned=1 autofocus onfocus=window.pwned=1 x=\" onclick=window.pwned=1 "
SCRIPT = "</script><script>window.pwned=1</script><!--<script>]]>&lt;b id=pwned&gt;\u2028window.pwned=1\u2029//"
ADDRESS = "javascript:window.pwned=1"
# A terminal that obeys one of them changes colors, title, clipboard or screen, or shows a line that nobody wrote.
TERMINAL = "\x1b[31m\x1b[2J\x1b]0;title\x07\x1b]8;;http://evil.example\x07\x1b]52;c;ZXZpbA==\x07\x9b5n\x7f\b\b\x00"
FORGED = "step 99/99  loss 0.0000  finished"
LINES = f"a\r{FORGED}\n{FORGED}\n"
REVERSED = "\u202egnp.tac\u202c\u2066\u200f"
FORMULA = "=cmd|' /C calc'!A0"
ALL = (ELEMENT, ATTRIBUTE, SCRIPT, ADDRESS, TERMINAL, LINES, REVERSED, FORMULA)


def file_name(text, ending=""):
    """A text as the name of a file, which holds neither `/` nor NUL."""
    return text.replace("/", "\u2215").replace("\0", "")[:70] + ending


CLASSES = tuple(file_name(text) for text in (ELEMENT, ATTRIBUTE, TERMINAL, LINES, REVERSED, FORMULA))


def write_folder(root):
    """An image folder, a hostile name for each class and each image; one image of each class cannot be read."""
    for position, name in enumerate(CLASSES):
        folder = root / name
        folder.mkdir(parents=True)
        for k, text in enumerate(ALL):
            Image.new("RGB", (33 + k, 41), (40 * position, 30 * k, 99)).save(folder / file_name(text, f"{k}.png"))
        (folder / file_name(LINES + TERMINAL, ".png")).write_bytes(b"no image")
        # A name in another encoding, as old archives have: not to be decoded.
        Image.new("RGB", (37, 41)).save(os.fsencode(folder) + b"/caf\xe9\xff.png", "png")
    return root


def write_questions(folder, count=24):
    """A JSONL file whose questions, answers, types and image names are hostile."""
    lines = []
    for k in range(count):
        text = ALL[k % len(ALL)].replace("\0", "")
        name = file_name(ALL[k % len(ALL)], f"{k}.png")
        Image.new("RGB", (33 + k, 41), (9 * k, 3 * k, 99)).save(folder / name)
        kind = ALL[(k + 1) % len(ALL)]
        lines.append({"image": name, "question": f"{text} what?", "answer": ALL[k % 3], "type": kind})
    lines.append({"image": LINES + "missing.png", "question": "Where?", "answer": "here"})
    lines.append({"image": lines[0]["image"], "question": "Which?", "answer": "x", "type": "half \ud800"})
    (folder / "pairs.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    return folder / "pairs.jsonl"


def unprintable(text):
    """What of an output could drive a terminal or hide what it says."""
    return [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")]


def check_output(done):
    """A process's output, bytes, is plain lines, none of them begun by a stranger."""
    for stream in (done.stdout, done.stderr):
        text = stream.decode("utf-8")
        assert unprintable(text) == [], text
        assert not [line for line in text.splitlines() if line.startswith(FORGED)], text


def run(script, *arguments, status=0):
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=300)
    assert done.returncode == status, (done.stdout + done.stderr).decode(errors="replace")
    check_output(done)
    return done


def pages(folder):
    return sorted(Path(folder).rglob("*.html"))


# The viewer counts what it has begun to draw and what it has drawn; other pages do neither.
DRAWN = "() => document.body.dataset.drawing === document.body.dataset.drawn"
LOOK = """() => ({
  ran: window.pwned,
  elements: document.querySelectorAll('#pwned').length,
  handlers: [...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()).filter(a => /^on/.test(a)).length,
  links: [...document.querySelectorAll('a[href]')].filter(a => a.href.startsWith('javascript:')).length,
  scripts: document.querySelectorAll('script').length,
  text: document.body.textContent,
})"""


def look(browser, path):
    """What a page holds once its scripts ran and everything on it was pointed at, and what its console said."""
    page = browser.new_page()
    console = []
    page.on("console", lambda message: console.append(message.text))
    page.on("pageerror", lambda error: console.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else console.append(r.url))
    page.goto(Path(path).as_uri())
    page.wait_for_function(DRAWN)
    page.evaluate(
        "() => { for (const e of document.querySelectorAll('*'))"
        " for (const kind of ['mouseover', 'focus', 'click'])"
        " if (e.tagName !== 'A') e.dispatchEvent(new Event(kind, {bubbles: false})); }"
    )
    page.wait_for_timeout(200)
    page.wait_for_function(DRAWN)
    found = page.evaluate(LOOK) | {"console": console}
    page.close()
    return found


def check_page(found):
    assert (found["ran"], found["console"]) == (None, [])
    assert (found["elements"], found["handlers"], found["links"]) == (0, 0, 0)
