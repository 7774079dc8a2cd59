"""The gallery's page: HTML around curves and images. Everything that comes from a run is escaped as text.

No network, no storage, no `eval`, and a policy in the page that forbids them; without scripts all captures are simply
listed below each other.
"""

import dataclasses
import html
import re
from importlib import resources

from vitcross.attention_maps.methods.rollout import NAMES
from vitcross.attention_maps.sheets import color_maps
from vitcross.metric_keys import ANIMATION, MEDIA, SECTIONS, lookup_media
from vitcross.pages.html_page import html_page, stylesheet
from vitcross.sinks.gallery.state import Extra
from vitcross.sinks.gallery.trust_section import tile, trust_section
from vitcross.sinks.local_files import to_json

STATE_ID = "captures"
SELF_SHEETS, TEXT_SHEETS = (
    {media.key: media.question for media in MEDIA if media.section == section} for section in ("self", "text")
)
SHEETS = SELF_SHEETS | TEXT_SHEETS
# In half the page they are unreadable.
WIDE = {media.key for media in MEDIA if media.wide}
POLICY = "default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def page(*, title, status, facts, captures, trust=(), health=(), training=(), extra=None, color_map="viridis") -> str:
    """The whole page.

    Args:
        title: str, name of the run.
        status: `"running"`, `"finished"`, `"stopped"` or `"failed"`.
        facts: list of (label, value) str.
        captures: list of CaptureEntry, oldest first.
        trust, health, training: lists of HTML figures, the curves of these sections.
        extra: Extra or None.
        color_map: str, the one of the sheets.
    """
    steps = [capture.step for capture in captures]
    measured = next((capture for capture in reversed(captures) if capture.trust), None)
    tables = [_figure(p) for p in captures[-1].images if p.key not in SHEETS] if captures else []
    with_words = any(p.key in TEXT_SHEETS for c in captures for p in c.images)
    maps = _section("self", _captures(captures, SELF_SHEETS, ""))
    maps += _section("text", _captures(captures, TEXT_SHEETS, "-text") if with_words else "")
    sections = (
        _section("trust", trust_section(measured, trust) if captures else ""),
        f'<div id="maps">{_slider(captures)}{maps}</div>' if captures else _none_yet(status),
        _section("explore", _explore(extra or Extra())),
        _section("health", _grid("charts", health) + _grid("tables", tables)),
        _section("training", _grid("charts", training)),
    )
    body = "".join((_how_to_read(color_map, with_words) if captures else "", *sections))
    state = _json([dataclasses.asdict(capture) for capture in captures])
    scripts = (
        f'<script type="application/json" id="{STATE_ID}">{state}</script>\n<script>{_asset("gallery.js")}</script>'
    )
    return html_page(
        title=f"{title} - attention",
        policy=POLICY,
        style=stylesheet(),
        body=f"{_header(title, status, facts, steps, body)}{body}{_footer(captures)}\n{scripts}",
    )


def _footer(captures) -> str:
    weights = " Weights of every capture: <code>step_*/record.npz</code>." if captures else ""
    return f"<footer>Made by <b>vitcross</b>.{weights}</footer>"


def _asset(name) -> str:
    return resources.files("vitcross.sinks.gallery").joinpath(name).read_text(encoding="utf-8")


def _json(value) -> str:
    """JSON that no text in it can end: `</script>` arrives as `\\u003c/script>`."""
    text = to_json(value)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _section(name, content) -> str:
    title = SECTIONS[name]
    return f'<section id="{name}" data-title="{title}"><h2>{title}</h2>{content}</section>' if content else ""


def _grid(name, figures) -> str:
    return f'<div class="{name}">{"".join(figures)}</div>' if figures else ""


def _header(title, status, facts, steps, body) -> str:
    known = [("captures", str(len(steps))), *([("last step", f"{steps[-1]:,}")] if steps else []), *facts]
    items = "".join(f"<div><dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd></div>" for k, v in known)
    hint = '<p class="hint">Reload to see newer captures.</p>' if status == "running" else ""
    links = "".join(f'<a href="#{name}">{name_of}</a>' for name, name_of in _SECTION.findall(body))
    return (
        f'<header><p class="kind">Attention maps</p><h1>{html.escape(title)} '
        f'<span class="status {status}">{status}</span></h1>{hint}<dl class="facts">{items}</dl>'
        f'<nav aria-label="Sections">{links}</nav></header>'
    )


_SECTION = re.compile(r'<section id="(\w+)" data-title="([^"]+)">')
_BLUE_WORDS = """<li><b>Blue words</b> name an object whose box is known and drawn. A word of a caption shows what was
looked at to say it, in the row that predicts it; a word of a question shows its own row.</li>
"""


def _how_to_read(color_map, with_words) -> str:
    table = color_maps.table(color_map)[::17]
    stops = ", ".join("#{:02x}{:02x}{:02x}".format(*color) for color in table)
    return f"""<section id="how"><h2>How to read this</h2>
<div class="scale"><span>0</span><i style="background:linear-gradient(90deg,{stops})"></i>
<span>top, printed at each bar</span></div>
<ul>
<li><b>First ask whether a map can be trusted.</b> Attention is not by itself evidence of why the model decided. The
gap says whether dropping the patches that a map marks changes the answer more than dropping random ones.</li>
<li><b>Colors start at 0</b> and their top is shared, so that noise does not look like structure. <i>Uniform</i> is the
value that every patch has when nothing is preferred.</li>
<li><b>One square is one patch</b>, the finest detail that the model can point at. <b>Prefix</b> is the share that goes
to the class token and registers, which the map leaves out.</li>
<li><b>Outlined patches</b> have tokens of outstanding norm: brightness there is a sink, not evidence.</li>
{_BLUE_WORDS if with_words else ""}</ul></section>"""


def _none_yet(status) -> str:
    return _section("self", f"<p>No capture{' yet' if status == 'running' else ' in this run'}.</p>")


def _slider(captures) -> str:
    last = len(captures) - 1
    return (
        '<div class="slider" hidden><label for="pick">Capture</label>'
        '<button type="button" id="earlier" aria-label="Earlier capture">&#8592;</button>'
        f'<input type="range" id="pick" min="0" max="{last}" value="{last}" step="1" aria-label="CaptureEntry">'
        '<button type="button" id="later" aria-label="Later capture">&#8594;</button>'
        f'<output id="picked" for="pick"></output></div>{_film_strip(captures)}'
    )


def _film_strip(captures) -> str:
    """The first probe's map at every capture, each a link to that capture."""
    known = [capture for capture in captures if capture.thumbnails]
    if len(known) < 2:
        return ""
    column = "relevance" if all("relevance" in c.thumbnails.columns for c in known) else "rollout"
    frames = "".join(
        f'<a href="#step-{c.step}" data-step="{c.step}">{tile(c, 0, column, "")}<span>{c.step:,}</span></a>'
        for c in known
    )
    return (
        f'<p class="hint">{NAMES[column]} of image 1, capture by capture, each on its own color scale.</p>'
        f'<nav class="strip" aria-label="Captures">{frames}</nav>'
    )


def _captures(captures, sheets, suffix) -> str:
    return "".join(_capture(capture, sheets, suffix) for capture in reversed(captures))


def _capture(capture, sheets, suffix) -> str:
    order = list(sheets)
    images = sorted((p for p in capture.images if p.key in sheets), key=lambda p: order.index(p.key))
    probes = "".join(_probe(*probe) for probe in capture.probes)
    said = f'<ol class="probes" aria-label="Predictions">{probes}</ol>' if sheets is SELF_SHEETS else ""
    return (
        f'<article class="capture" id="step-{capture.step}{suffix}" data-step="{capture.step}">'
        f'<h3>Step {capture.step:,}</h3>{said}<div class="sheets">{"".join(map(_figure, images))}</div></article>'
    )


def _probe(said, truth, right) -> str:
    kind = "" if right is None else ' class="right"' if right else ' class="wrong"'
    note = f" <span>{html.escape(truth)}</span>" if truth else ""
    return f"<li{kind}><b>{html.escape(said)}</b>{note}</li>"


def _explore(extra) -> str:
    parts = []
    if extra.viewer:
        parts.append(
            f'<p><a class="button" href="{html.escape(extra.viewer)}">Open the viewer</a> Click a patch or a word and '
            "see what it attends to: every layer, head and method, all captures on a slider.</p>"
        )
    if extra.animation:
        width, height = extra.film_size
        parts.append(
            f'<figure class="animation"><figcaption><h3>{lookup_media(ANIMATION).question}</h3></figcaption>'
            f'<img width="{width}" height="{height}" src="{html.escape(extra.animation)}" loading="lazy" '
            'alt="The maps, capture after capture"></figure>'
        )
    return "".join(parts)


def _figure(image) -> str:
    question = SHEETS.get(image.key)
    scale = "" if image.vmax is None else f'<span class="top">scale 0 to {image.vmax:.3g}</span>'
    lead = f"<p>{question}</p>" if question else ""
    file, caption = html.escape(image.file), html.escape(image.caption)
    wide = ' class="wide"' if image.key in WIDE else ""
    return (
        f"<figure{wide}><figcaption><h4>{html.escape(image.title)} {scale}</h4>{lead}</figcaption>"
        f'<a href="{file}" title="Open at full size"><img src="{file}" width="{image.width}" '
        f'height="{image.height}" loading="lazy" alt="{caption}"></a>'
        f"<details><summary>Caption and color scale</summary><p>{caption}</p></details></figure>"
    )
