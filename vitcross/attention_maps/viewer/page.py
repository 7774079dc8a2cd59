"""The viewer's page: one file without network, storage or `eval`, and a policy in it that forbids them.

Scripts and styles are allowed by their hash alone, so that even a text that broke out of the data could not run.
Everything of a run is JSON in which no `<` stands, and reaches the page as text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib import resources

SCRIPTS = ("data", "maps", "scale", "draw", "words", "trust", "overview", "controls", "app")
PAYLOAD_ID = "payload"


def page(content: dict) -> str:
    """The whole page around `payload.payload(...)`."""
    style = _asset("viewer.css")
    script = '(() => {\n"use strict";\n' + "\n".join(_asset(f"{name}.js") for name in SCRIPTS) + "})();\n"
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy,
        "style": style,
        "payload_id": PAYLOAD_ID,
        "payload": to_json(content),
        "script": script,
    }
    # One pass: what is put in is never searched for places again.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _asset("viewer.html"))


def to_json(value) -> str:
    """JSON that no text in it can end: `</script>` arrives as `\\u003c/script\\u003e`."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _asset(name: str) -> str:
    return resources.files("vitcross.attention_maps.viewer").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
