"""The gallery's page: HTML around curves and pictures. Everything that comes from a run is escaped as text.

No network, no storage, no `eval`, and a policy in the page that forbids them; without scripts all captures are simply
listed below each other.
"""

import dataclasses
import html
import json
from importlib import resources

from vitcross.attention_maps import colour_maps

STATE_ID = "captures"
# One place for the order on the page, and what each sheet answers: first what the picture's tokens read of each other,
# then picture and text.
SHEETS = {
    "attention/self/overlay": "Where does it look?",
    "attention/self/layers": "How does that form through the layers?",
    "attention/probe": "What did the model see and say?",
    "attention/self/heads": "Do heads look at different things?",
    "attention/cross/words": "Which patches does each word look at?",
    "attention/cross/similarity": "Which patches are like the text, and like each of its words?",
    "attention/cross/matrix": "Which tokens share a patch, and which patch does every token read?",
    "attention/self/text": "Which words decide the text's embedding?",
}
POLICY = "default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """One sheet of one capture: what it is and the file that holds it, relative to the page."""

    key: str
    title: str
    caption: str
    file: str
    width: int
    height: int
    vmax: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Capture:
    """One capture: its step, its pictures, and for every probe `(said, truth, right or None)`."""

    step: int
    pictures: list[Picture]
    probes: list


def page(*, title, status, facts, training, statistics, captures, colour_map="viridis") -> str:
    """The whole page.

    Args:
        title: str, name of the run.
        status: `"running"`, `"finished"`, `"stopped"` or `"failed"`.
        facts: list of (label, value) str.
        training: list of HTML figures, curves above the captures.
        statistics: list of HTML figures, curves below them.
        captures: list of Capture, oldest first.
        colour_map: str, the one of the sheets.
    """
    steps = [capture.step for capture in captures]
    tables = [_figure(p) for p in captures[-1].pictures if p.key not in SHEETS] if captures else []
    body = "".join(
        (
            _header(title, status, facts, steps),
            _how_to_read(colour_map, any(p.key.startswith("attention/cross") for c in captures for p in c.pictures)),
            _section("curves", "Training", _grid("charts", training)),
            _section("captures", "Captures", _slider(steps) + "".join(map(_capture, reversed(captures)))),
            _section("statistics", "Statistics", _grid("charts", statistics) + _grid("tables", tables)),
            "<footer>Made by <b>vitcross</b>. Weights of every capture: <code>step_*/record.npz</code>.</footer>",
        )
    )
    return _TEMPLATE.format(
        title=html.escape(title),
        policy=html.escape(POLICY),
        style=_asset("gallery.css"),
        body=body,
        state_id=STATE_ID,
        state=_json([dataclasses.asdict(capture) for capture in captures]),
        script=_asset("gallery.js"),
    )


_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title} - attention</title>
<style>{style}</style>
</head>
<body>
{body}
<script type="application/json" id="{state_id}">{state}</script>
<script>{script}</script>
</body>
</html>
"""


def _asset(name) -> str:
    return resources.files("vitcross.sinks").joinpath(name).read_text(encoding="utf-8")


def _json(value) -> str:
    """JSON that no text in it can end: `</script>` arrives as `\\u003c/script>`."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _section(name, title, content) -> str:
    return f'<section id="{name}"><h2>{title}</h2>{content}</section>' if content else ""


def _grid(name, figures) -> str:
    return f'<div class="{name}">{"".join(figures)}</div>' if figures else ""


def _header(title, status, facts, steps) -> str:
    known = [("captures", str(len(steps))), *([("last step", f"{steps[-1]:,}")] if steps else []), *facts]
    items = "".join(f"<div><dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd></div>" for k, v in known)
    hint = '<p class="hint">Reload to see newer captures.</p>' if status == "running" else ""
    return (
        f'<header><p class="kind">Attention maps</p><h1>{html.escape(title)} '
        f'<span class="status {status}">{status}</span></h1>{hint}<dl class="facts">{items}</dl></header>'
    )


_BLUE_WORDS = """<li><b>Blue words</b> name an object whose box is known and drawn. A word of a caption shows what was
looked at to say it, in the row that predicts it; a word of a question shows its own row.</li>
"""


def _how_to_read(colour_map, with_words) -> str:
    table = colour_maps.table(colour_map)[::17]
    stops = ", ".join("#{:02x}{:02x}{:02x}".format(*colour) for colour in table)
    return f"""<section id="how"><h2>How to read this</h2>
<div class="scale"><span>0</span><i style="background:linear-gradient(90deg,{stops})"></i>
<span>top, printed at each bar</span></div>
<ul>
<li><b>Colours start at 0</b> and their top is shared by the maps of one row, so that noise does not look
like structure. <i>Uniform</i> is the value that every patch has when nothing is preferred.</li>
<li><b>One square is one patch</b>, the finest detail that the model can point at.</li>
<li><b>Prefix</b> is the share that goes to the class token and registers, which the map leaves out.</li>
<li><b>Outlined patches</b> have tokens of outstanding norm: brightness there is a sink, not evidence.</li>
{_BLUE_WORDS if with_words else ""}\
<li><b>Attention is not by itself evidence</b> of why the model decided. Rollout follows it through all layers but knows
no class. Lift and pointing game say how far maps agree with the object where its box is known.</li>
</ul></section>"""


def _slider(steps) -> str:
    if not steps:
        return "<p>No capture yet.</p>"
    last = len(steps) - 1
    return (
        '<div class="slider" hidden><button type="button" id="earlier" aria-label="Earlier capture">&#8592;</button>'
        f'<input type="range" id="pick" min="0" max="{last}" value="{last}" step="1" aria-label="Capture">'
        '<button type="button" id="later" aria-label="Later capture">&#8594;</button>'
        '<output id="picked" for="pick"></output></div>'
    )


def _capture(capture) -> str:
    order = list(SHEETS)
    pictures = sorted((p for p in capture.pictures if p.key in SHEETS), key=lambda p: order.index(p.key))
    probes = "".join(_probe(*probe) for probe in capture.probes)
    return (
        f'<article class="capture" id="step-{capture.step}"><h3>Step {capture.step:,}</h3>'
        f'<ol class="probes" aria-label="Predictions">{probes}</ol>'
        f'<div class="sheets">{"".join(map(_figure, pictures))}</div></article>'
    )


def _probe(said, truth, right) -> str:
    kind = "" if right is None else ' class="right"' if right else ' class="wrong"'
    note = f" <span>{html.escape(truth)}</span>" if truth else ""
    return f"<li{kind}><b>{html.escape(said)}</b>{note}</li>"


def _figure(picture) -> str:
    question = SHEETS.get(picture.key)
    scale = "" if picture.vmax is None else f'<span class="top">scale 0 to {picture.vmax:.3g}</span>'
    lead = f"<p>{question}</p>" if question else ""
    file, caption = html.escape(picture.file), html.escape(picture.caption)
    # A sheet of many words is unreadable in half the page.
    wide = ' class="wide"' if picture.key.startswith(("attention/cross", "attention/self/text")) else ""
    return (
        f"<figure{wide}><figcaption><h4>{html.escape(picture.title)} {scale}</h4>{lead}</figcaption>"
        f'<a href="{file}" title="Open at full size"><img src="{file}" width="{picture.width}" '
        f'height="{picture.height}" loading="lazy" alt="{caption}"></a>'
        f"<details><summary>Caption and colour scale</summary><p>{caption}</p></details></figure>"
    )
