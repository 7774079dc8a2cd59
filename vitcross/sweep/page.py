"""The page of a sweep, `trials.html`: plots and the table of its trials. Everything that was typed is escaped; no
script, no network.
"""

import html
from urllib.parse import quote

from vitcross.pages.html_page import html_page, stylesheet
from vitcross.sweep.charts import Dot, charts

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
SHORT = 20  # letters of a value that is not broken into lines
STYLE = """
svg .dot{fill:var(--c0);fill-opacity:.65;stroke:var(--card)}svg .dot.best{fill:var(--c1);fill-opacity:1}
svg .failed{stroke:var(--wrong);stroke-width:2;fill:none}svg text.name{fill:var(--ink);font-size:12px}
svg .series{opacity:.6}svg a{outline-offset:3px}
pre{white-space:pre-wrap;margin:8px 0 0;font-size:13px}
.trials{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:4px 16px}
.trials table{overflow-wrap:normal;border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
.trials th,.trials td{text-align:left;padding:8px 16px 8px 0;vertical-align:top;border-bottom:1px solid var(--line)}
.trials thead th{font-weight:500;color:var(--muted);font-size:13px}.trials tbody tr:last-child>*{border-bottom:0}
.trials td{max-width:420px}.trials .whole{white-space:nowrap}.trials .long{min-width:160px;overflow-wrap:anywhere}
.trials .first td{font-weight:600}.trials .failed{color:var(--wrong)}.trials small{display:block;color:var(--muted)}
"""


def page(record):
    """The whole page of a `vitcross.sweep.record.Record`, as far as its sweep has come."""
    finished = record.finished()
    best = finished[0] if finished else None
    metric = record.metric or "value"
    dots = [
        _dot(record, trial, trial is best, metric) for trial in record.trials if trial.state in ("finished", "failed")
    ]
    plots = "".join(charts(record.sweep.space, dots, metric)) if dots else ""
    body = (
        _header(record, best, metric)
        + (_best(record, best) if best else "")
        + f'<section><h2>What the values do</h2><p class="hint">A point is a trial: it leads to its attention maps. '
        f'The best one stands out.</p><div class="charts">{plots}</div></section>'
        + f'<section><h2>Trials, best first</h2><div class="trials">{_table(record, metric)}</div></section>'
    )
    footer = "<footer>Made by <b>vitcross</b>. The same as a table: <code>trials.csv</code>.</footer>"
    return html_page(title=f"{record.folder.name} - sweep", policy=POLICY, style=_style(), body=f"{body}\n{footer}")


def _style():
    return stylesheet() + STYLE


def _header(record, best, metric):
    count = {state: sum(t.state == state for t in record.trials) for state in ("finished", "failed", "stopped")}
    facts = [(f"trials {state}", str(number)) for state, number in count.items() if number or state == "finished"]
    facts += [(f"best {metric}", f"{best.value:.4f}")] if best else []
    facts += [("minutes", f"{sum(trial.minutes for trial in record.trials):.0f}")]
    items = "".join(f"<div><dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd></div>" for k, v in facts)
    kind = "Sweep, Optuna" if record.sweep.sweeper == "optuna" else "Sweep, every combination"
    return (
        f'<header><p class="kind">{kind}</p><h1>{html.escape(record.folder.name)}</h1><dl class="facts">{items}</dl>'
        "</header>"
    )


def _best(record, best):
    where = f'<a href="{_link(record, best)}">{best.number}</a>'
    again = html.escape(record.sweep.command(best.values))
    return f"<section><h2>The best trial: {where}</h2><pre>{again}</pre></section>"


def _dot(record, trial, best, metric):
    lines = [f"trial {trial.number}", *(f"{key}={text}" for key, text in trial.values.items())]
    lines.append(f"{trial.state} {trial.note}" if trial.value is None else f"{metric} {trial.value:.4f}")
    return Dot(trial.number, trial.values, trial.value, best, _link(record, trial), "\n".join(lines))


def _link(record, trial):
    """Where a trial is to be looked at: its gallery, or its folder where it has none."""
    gallery = record.trial_folder(trial) / "attention" / "index.html"
    return quote(f"{trial.number}/attention/index.html" if gallery.is_file() else f"{trial.number}/")


def _table(record, metric):
    names = ["trial", *record.sweep.space, metric, "minutes", "state"]
    head = "".join(f"<th>{html.escape(name).replace('.', '.<wbr>')}</th>" for name in names)
    finished = record.finished()
    rows = []
    for trial in record.ranked():
        first = ' class="first"' if finished and trial is finished[0] else ""
        rows.append(f"<tr{first}>{_cells(record, trial)}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _cells(record, trial):
    note = f"<small>{html.escape(trial.note)}</small>" if trial.note else ""
    values = record.texts(trial)
    cells = [
        f'<a href="{_link(record, trial)}">{trial.number}</a>',
        *map(html.escape, values),
        "" if trial.value is None else f"{trial.value:.4f}",
        f"{trial.minutes:.1f}",
    ]
    fits = ["whole", *("whole" if len(value) <= SHORT else "long" for value in values), "whole", "whole"]
    state = f'<td class="{trial.state}">{trial.state}{note}</td>'
    return "".join(f'<td class="{fit}">{cell}</td>' for fit, cell in zip(fits, cells, strict=True)) + state
