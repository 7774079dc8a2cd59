"""Renders the page of a sweep, `trials.html`: charts and the table of its trials."""

from urllib.parse import quote

from vitcross.pages.html_page import html_page
from vitcross.sweep.charts import Dot, charts


def page(record):
    """The whole page of a `vitcross.sweep.record.Record` in its current state."""
    best = next(iter(record.finished()), None)
    metric = record.metric or "value"
    links = [_link(record, trial) for trial in record.trials]
    dots = [
        Dot(trial.number, trial.values, trial.value, trial is best, links[trial.number], _tip(trial, metric))
        for trial in record.trials
        if trial.state in ("finished", "failed")
    ]
    return html_page(
        "sweep/page.html",
        styles=("pages/page.css", "sweep/page.css"),
        title=f"{record.folder.name} - sweep",
        record=record,
        best=best,
        facts=_facts(record, best, metric),
        charts=charts(record.sweep.space, dots, metric) if dots else [],
        columns=["trial", *record.sweep.space, metric, "minutes", "state"],
        links=links,
    )


def _facts(record, best, metric):
    count = {state: sum(t.state == state for t in record.trials) for state in ("finished", "failed", "stopped")}
    facts = [(f"trials {state}", str(number)) for state, number in count.items() if number or state == "finished"]
    facts += [(f"best {metric}", f"{best.value:.4f}")] if best else []
    return [*facts, ("minutes", f"{sum(trial.minutes for trial in record.trials):.0f}")]


def _tip(trial, metric):
    lines = [f"trial {trial.number}", *(f"{key}={text}" for key, text in trial.values.items())]
    lines.append(f"{trial.state} {trial.note}" if trial.value is None else f"{metric} {trial.value:.4f}")
    return "\n".join(lines)


def _link(record, trial):
    """Link to a trial's gallery, or to its folder if it has none."""
    gallery = record.trial_folder(trial) / "attention" / "index.html"
    return quote(f"{trial.number}/attention/index.html" if gallery.is_file() else f"{trial.number}/")
