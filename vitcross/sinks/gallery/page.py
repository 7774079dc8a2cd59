"""Makes the gallery's page: what its template shows. Without scripts all captures are listed below each other."""

import dataclasses
import math

from vitcross.pages.html_page import html_page
from vitcross.sinks.gallery.state import Extra

STATE_ID = "captures"
SECTIONS = {
    "trust": "Is it trustworthy?",
    "self": "Self-attention",
    "text": "Image and text",
    "explore": "Explore",
    "health": "Health",
    "training": "Training",
}


@dataclasses.dataclass(frozen=True)
class _Media:
    question: str
    section: str
    wide: bool = False


# One place for the order on the page, and what each sheet answers: first what the image's tokens read of each other,
# then image and text.
QUESTIONS = {
    "attention/self/overlay": _Media("Where does it look?", "self"),
    "attention/self/methods": _Media("Do the methods agree, and what was measured of each?", "self", wide=True),
    "attention/self/layers": _Media("How does that form through the layers?", "self"),
    "attention/probe": _Media("What did the model see and say?", "self"),
    "attention/self/heads": _Media("Do heads look at different things?", "self"),
    "attention/cross/relevance": _Media("What decides each word, through all layers?", "text", wide=True),
    "attention/cross/words": _Media("Which patches does each word look at?", "text", wide=True),
    "attention/cross/similarity": _Media(
        "Which patches are like the text, and like each of its words?", "text", wide=True
    ),
    "attention/cross/matrix": _Media(
        "Which tokens share a patch, and which patch does every token read?", "text", wide=True
    ),
    "attention/self/text": _Media("Which words decide the text's embedding?", "text", wide=True),
}
# Measure, name of its column, what it says.
COLUMNS = (
    ("verdict", "Verdict", "what the sign-flip test over all examples says, at 1 %"),
    (
        "gap",
        "Gap",
        "(insertion - deletion) minus that of random orders, with its 99 % interval; above 0: better than random",
    ),
    (
        "deletion",
        "Deletion",
        "mean probability of the answer while patches are dropped, most important first; lower is better",
    ),
    ("insertion", "Insertion", "the same while patches come in, most important first; higher is better"),
    (
        "gap_other",
        "Gap to another image's map",
        "the same against the map of another image; near 0: the map does not know this one",
    ),
    (
        "gap_center",
        "Gap to the center",
        "the same against pointing at the center; near 0: objects lie there anyway",
    ),
    ("gap_share", "Share of leave one out", "the gap as a share of that of leaving out patches one by one"),
    (
        "sanity",
        "Untrained likeness",
        "rank correlation with the map of an untrained model; high: not what was learned",
    ),
    (
        "pointing",
        "Pointing",
        "how often the brightest patch is on the boxes of what is explained; in brackets: by chance",
    ),
    ("lift", "Lift", "energy on the boxes of what is explained / their share of the image; 1: chance"),
)
# Of a planted mark, which most runs do not have: not a lack where it is missing.
MARK_COLUMNS = (
    (
        "mark_pointing",
        "Pointing at the mark",
        "how often the brightest patch is on the planted mark; in brackets: by chance",
    ),
    ("mark_lift", "Lift on the mark", "energy on the planted mark / its share of the image; 1: chance"),
)


def page(*, title, status, facts, captures, trust=(), health=(), training=(), extra=None) -> str:
    """The whole page.

    Args:
        title: str, name of the run.
        status: `"running"`, `"finished"`, `"stopped"` or `"failed"`.
        facts: list of (label, value) str.
        captures: list of CaptureEntry, oldest first.
        trust, health, training: lists of HTML figures, the curves of these sections.
        extra: Extra or None.
    """
    extra = extra or Extra()
    keys = {image.key for capture in captures for image in capture.images}
    tables = [image for image in captures[-1].images if image.key not in QUESTIONS] if captures else []
    shown = {
        "trust": captures,
        "self": True,
        "text": any(QUESTIONS[key].section == "text" for key in keys & QUESTIONS.keys()),
        "explore": extra.viewer or extra.animation,
        "health": [*health, *tables],
        "training": training,
    }
    measured = next((capture for capture in reversed(captures) if capture.trust), None)
    columns, missing = _columns(measured.trust["methods"] if measured else [])
    strip = [capture for capture in captures if capture.thumbnails]
    last = [("last step", f"{captures[-1].step:,}")] if captures else []
    return html_page(
        "sinks/gallery/page.html",
        policy="img-src 'self' file:; style-src-attr 'unsafe-inline'",
        scripts=["sinks/gallery/gallery.js"],
        title=f"{title} - attention",
        name=title,
        status=status,
        facts=[("captures", str(len(captures))), *last, *facts],
        captures=captures,
        sections={name: title for name, title in SECTIONS.items() if shown[name]},
        questions=QUESTIONS,
        measured=measured,
        columns=columns,
        missing=missing,
        strip=strip,
        strip_column="relevance" if all("relevance" in c.thumbnails.columns for c in strip) else "rollout",
        tables=tables,
        trust=trust,
        health=health,
        training=training,
        extra=extra,
        state_id=STATE_ID,
        state=[dataclasses.asdict(capture) for capture in captures],
    )


def _columns(rows):
    """The columns with any number, and the names of those without one, which are told below the table."""

    def known(column):
        return any(row[column[0]] is not None and math.isfinite(row[column[0]]) for row in rows)

    shown = [column for column in COLUMNS + MARK_COLUMNS if known(column)]
    return shown, [column[1] for column in COLUMNS if not known(column)]
