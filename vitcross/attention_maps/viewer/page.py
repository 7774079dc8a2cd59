"""Makes the viewer's page: one file without network, storage or `eval`. Everything of a run is JSON in which no `<`
stands, and reaches the page as text.
"""

from __future__ import annotations

from vitcross.pages.html_page import html_page

ASSETS = "attention_maps/viewer/assets"
SCRIPTS = ("data", "maps", "scale", "draw", "words", "trust", "overview", "controls", "app")
PAYLOAD_ID = "payload"


def page(content: dict) -> str:
    """The whole page around `payload.payload(...)`."""
    return html_page(
        "attention_maps/viewer/page.html",
        policy="img-src data:",
        styles=[f"{ASSETS}/viewer.css"],
        scripts=[f"{ASSETS}/{name}.js" for name in SCRIPTS],
        title="Attention viewer",
        payload_id=PAYLOAD_ID,
        payload=content,
    )
