"""The gallery's first question, "Is it trustworthy?": the table of methods, what it says in words, and every probe.

Numbers are those of the newest capture that was measured (`TrustReport`); everything that comes from a run is escaped.
"""

import html
import math

from vitcross.attention_maps.methods.rollout import NAMES, ORDER, meaning
from vitcross.attention_maps.records.trust_report import FOLLOWS, NO_BETTER, NOTHING
from vitcross.attention_maps.trust.significance import ALPHA
from vitcross.metric_keys import grounding, lookup, trust

# Kind and shape of a verdict's mark: a tick, a wave, an empty ring. The words beside it say the same.
MARKS = {
    FOLLOWS: ("follows", '<path d="M3 8.6 6.6 12 13 4.4"/>'),
    NO_BETTER: ("random", '<path d="M2 9.5q3-5.5 6-1.5t6-1.5"/>'),
    NOTHING: ("nothing", '<circle cx="8" cy="8" r="4.6"/>'),
}
REFERENCE = "leave_one_out"
NO_EFFECT = "Dropping patches hardly changes what the model says, so that no map can be right or wrong."
MISSING = '<span class="missing" title="not measured">&ndash;</span>'


def _column(key):
    row = lookup(key)
    return row.title, row.meaning + ("; in brackets: by chance" if row.reference == "chance" else "")


COLUMNS = (
    *(_column(trust("raw", measure)) for measure in ("verdict", "gap", "deletion", "insertion")),
    (
        "Gap to another image's map",
        "the same against the map of another image; near 0: the map does not know this one",
    ),
    ("Gap to the center", "the same against pointing at the center; near 0: objects lie there anyway"),
    *(_column(trust("raw", measure)) for measure in ("gap_share", "sanity")),
    *(_column(grounding("raw", measure)) for measure in ("pointing", "lift")),
)
# Of a planted mark, which most runs do not have: not a lack where it is missing.
MARK_COLUMNS = tuple(_column(grounding("raw", measure, "grounding_mark")) for measure in ("pointing", "lift"))


def trust_section(capture, charts) -> str:
    """Inner HTML of the section.

    Args:
        capture: `CaptureEntry` whose `trust` is a TrustReport, the newest one that was measured; or None.
        charts: list of HTML figures.
    """
    grid = f'<div class="charts">{"".join(charts)}</div>' if charts else ""
    if capture is None:
        return (
            "<p>The maps of this run have not been measured by dropping patches: nothing is known of whether they "
            f"follow the model. Read them as a question, not as an answer.</p>{grid}"
        )
    report = capture.trust
    measured, probes = _measured(report), _probes(capture)
    if not report.fidelity:
        where = "below each map its gap on that image alone" if probes else "no map has one"
        return f'<p class="lead">{measured}.</p><p>Too few images for a verdict: {where}.</p>{grid}{probes}'
    methods = [method for method in ORDER if method in report.fidelity]
    if all(report.fidelity[method].verdict == NOTHING for method in methods):
        words = f"<li>{verdict_mark(NOTHING)}<b>There is nothing to explain.</b> {NO_EFFECT}</li>"
    else:
        words = "".join(f"<li>{sentence(method, report)}</li>" for method in methods)
    return (
        f'<p class="lead">{measured}, {"these images" if report.same_images else "none of them an image below"}.'
        f'</p><ul class="verdicts">{words}</ul>{_table(methods, capture)}{grid}{probes}'
    )


def _measured(report) -> str:
    examples = "no example" if report.explainable == 0 else f"{report.explainable} of {report.examples} examples"
    return (
        f"Measured at <b>step {report.step:,}</b>: <b>{examples}</b> explainable (dropping patches changes what the "
        "model says)"
    )


def sentence(method, report) -> str:
    """What was measured of one method, in plain words, as HTML."""
    found, name = report.fidelity[method], NAMES[method]
    gap, low, high = (_number(value, "{:+.2f}") for value in (found.gap, found.gap_low, found.gap_high))
    interval = f"gap {gap}, 99 % interval {low} to {high}"
    if found.verdict == NOTHING:
        said = [NO_EFFECT]
    elif found.verdict == FOLLOWS:
        said = [
            f"Dropping the patches that it marks changes the answer more than dropping random ones ({interval}).",
            *_limits(method, found),
        ]
    else:
        worse = "less than" if _below_zero(found.gap_high) else "not clearly more than"
        test = f"; p = {_p_value(found.p_value)}, not below .01" if _above_zero(found.gap) else ""
        said = [
            f"Dropping the patches that it marks changes the answer {worse} dropping random ones ({interval}{test}). "
            "Do not read it as the model's reasons."
        ]
    said += _pointing(report.grounding.get(method), "the boxes of what is explained")
    said += _pointing(report.grounding_mark.get(method), "the planted mark")
    verb = {FOLLOWS: " ", NO_BETTER: " is ", NOTHING: ": "}[found.verdict]
    return f"{verdict_mark(found.verdict)}<b>{name}{verb}{found.words}.</b> {' '.join(said)}"


def _pointing(grounded, where) -> list[str]:
    if not grounded:
        return []
    hits, chance = (_number(grounded.get(measure), "{:.0%}") for measure in ("pointing", "chance"))
    return [f"Its brightest patch is on {where} in {hits} of images (chance {chance})."]


def _limits(method, found) -> list[str]:
    limits = []
    if found.p_other is not None and not (_above_zero(found.gap_other) and found.p_other < ALPHA):
        limits.append(
            "But it is no better than another image's map: it shows where such images matter, not what is special "
            "about this one."
        )
    if found.p_center is not None and not (_above_zero(found.gap_center) and found.p_center < ALPHA):
        limits.append("But it is no better than a bright middle.")
    if method != REFERENCE and found.gap_share is not None:
        limits.append(f"That is {_number(found.gap_share, '{:.0%}')} of what leaving out patches one by one reaches.")
    return limits


def verdict_mark(verdict) -> str:
    """The mark of a verdict; it needs the words beside it."""
    kind, shape = MARKS[verdict]
    return f'<svg class="mark {kind}" viewBox="0 0 16 16" aria-hidden="true">{shape}</svg>'


def _table(methods, capture) -> str:
    report, every = capture.trust, COLUMNS + MARK_COLUMNS
    rows = {f"{NAMES[m]}<small>{meaning(m, capture.held)}</small>": _cells(m, report) for m in methods}
    baselines = {"deletion": report.random_deletion, "insertion": report.random_insertion}
    random = {lookup(trust("random", measure)).title: value for measure, value in baselines.items()}
    baseline = [_number(random[name], "{:.3f}") if name in random else "" for name, _ in every]
    rows["Random orders<small>the baseline</small>"] = baseline
    # A column without any number is named below the table instead.
    shown = [any(_cells(m, report)[k] != MISSING for m in methods) for k in range(len(every))]
    columns = [column for column, is_shown in zip(every, shown, strict=True) if is_shown]
    missing = ", ".join(name for (name, _), is_shown in zip(COLUMNS, shown, strict=False) if not is_shown)
    head = "".join(f'<th scope="col" title="{html.escape(about)}">{html.escape(name)}</th>' for name, about in columns)
    body = "".join(_row(name, columns, [v for v, s in zip(row, shown, strict=True) if s]) for name, row in rows.items())
    terms = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(about)}</dd>" for name, about in columns)
    note = f'<p class="hint">Not measured: {html.escape(missing.lower())}.</p>' if missing else ""
    return (
        '<div class="trust" tabindex="0" role="region" aria-label="Trust of every method"><table>'
        f'<thead><tr><th scope="col">Method</th>{head}</tr></thead><tbody>{body}</tbody></table></div>{note}'
        f'<details><summary>What the columns say</summary><dl class="terms">{terms}</dl></details>'
    )


def _row(name, columns, values) -> str:
    cells = "".join(
        f'<td data-label="{html.escape(column)}">{value}</td>' if value else '<td class="empty"></td>'
        for (column, _), value in zip(columns, values, strict=True)
    )
    return f'<tr><th scope="row">{name}</th>{cells}</tr>'


def _cells(method, report) -> list[str]:
    """One cell for each of `COLUMNS` and `MARK_COLUMNS`, as HTML."""
    found = report.fidelity[method]
    low, high = (_number(value, "{:+.3f}") for value in (found.gap_low, found.gap_high))
    return [
        f'<span class="verdict {MARKS[found.verdict][0]}">{verdict_mark(found.verdict)}{found.words}</span>',
        f"{_number(found.gap, '{:+.3f}')} <small>[{low}, {high}]</small>",
        _number(found.deletion, "{:.3f}"),
        _number(found.insertion, "{:.3f}"),
        _number(found.gap_other, "{:+.3f}"),
        _number(found.gap_center, "{:+.3f}"),
        _number(found.gap_share, "{:.0%}"),
        _number(report.sanity.get(method), "{:.2f}"),
        *_grounded(report.grounding.get(method)),
        *_grounded(report.grounding_mark.get(method)),
    ]


def _grounded(row) -> list[str]:
    if not row:
        return [MISSING, MISSING]
    pointing, chance, lift = (_number(row.get(measure), "{:.2f}") for measure in ("pointing", "chance", "lift"))
    return [f"{pointing} <small>({chance})</small>", lift]


def _number(value, form) -> str:
    # What is not finite came out of a network that diverged; kept in the page it is null.
    return MISSING if value is None or not math.isfinite(value) else form.format(value)


def _p_value(value) -> str:
    """Without the 0 before the point, as fine as it must be to be told from .01."""
    return _number(value, "{:.3f}" if value is not None and value < 0.0995 else "{:.2f}").removeprefix("0")


def _below_zero(value) -> bool:
    return value is not None and value < 0


def _above_zero(value) -> bool:
    return value is not None and value > 0


def _probes(capture) -> str:
    title = f'<h3 class="over">The images of step {capture.step:,}, one by one</h3>'
    cards = "".join(_card(capture, i) for i in range(capture.thumbnails.rows if capture.thumbnails else 0))
    return f'{title}<ol class="cards">{cards}</ol>' if cards else ""


def _card(capture, example) -> str:
    said, truth, right = capture.probes[example]
    kind = "" if right is None else "right" if right else "wrong"
    target = capture.targets[example] if capture.targets else ""
    explained = f'<p class="target">Explained: <b>{html.escape(target)}</b></p>' if target else ""
    tiles = "".join(_tile(capture, example, column) for column in capture.thumbnails.columns)
    return (
        f'<li class="card"><p class="said {kind}"><b>{html.escape(said)}</b> <span>{html.escape(truth)}</span></p>'
        f'{explained}<div class="tiles">{tiles}</div></li>'
    )


def _tile(capture, example, column) -> str:
    if column == "image":
        return f"<figure>{tile(capture, example, column, 'The image')}<figcaption>SheetEntry</figcaption></figure>"
    report = capture.trust
    rows, found = report.probes.get(column, ()), report.fidelity.get(column)
    words = rows[example].words if example < len(rows) else "not measured"
    strength = "" if example < len(rows) and rows[example].explainable else ' class="missing"'
    mark = verdict_mark(found.verdict) if found else ""
    method = found.words if found else "not measured" if report.fidelity else "too few images for a verdict"
    return (
        f"<figure>{tile(capture, example, column, f'{NAMES[column]}: {words}')}"
        f'<figcaption><span title="{NAMES[column]} over all examples: {method}">{mark}{NAMES[column]}</span>'
        f"<b{strength}>{html.escape(words)}</b></figcaption></figure>"
    )


def tile(capture, example, column, label) -> str:
    """One cell of a capture's thumbnails as HTML, at any size."""
    cells = capture.thumbnails
    across, down = len(cells.columns), cells.rows
    x = 100 * cells.columns.index(column) / max(1, across - 1)
    y = 100 * example / max(1, down - 1)
    return (
        f'<span class="tile" role="img" aria-label="{html.escape(label)}" style="aspect-ratio:{cells.width}/'
        f'{cells.height};background:url({html.escape(cells.file)}) {x:.4g}% {y:.4g}%/{100 * across}% {100 * down}%">'
        "</span>"
    )
