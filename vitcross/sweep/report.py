"""What a sweep says of itself: its header, its last words, and its files `trials.json`, `trials.csv`, `trials.html`."""

import sys

from rich.console import Console

from vitcross import atomic_files
from vitcross.pages.csv_text import csv_text
from vitcross.pages.numbers import padded_number
from vitcross.sweep.page import page
from vitcross.sweep.table import console_table, print_table
from vitcross.terminal import printable, printable_rows, say


def header(record):
    """What a sweep is going to do."""
    sweep, options = record.sweep, record.sweep.options
    if sweep.sweeper == "optuna":
        kind = f"Optuna, {options['sampler']}, seed {options['seed']}"
        total = min(options["n_trials"], sweep.size())
    else:
        kind, total = "every combination", sweep.size()
    done = len(record.finished())
    gone_on = f", {done} of them finished before" if done else ""
    rows = {
        "sweep": f"{', '.join(sweep.space) or 'nothing'}: {kind}",
        "trials": f"{total}{gone_on}, one process each",
        "results": str(record.folder),
    }
    return printable_rows(rows)


def write_report(record):
    """Bring the files of a sweep up to date; a disk that is full does not end it."""
    try:
        record.save()
        atomic_files.write_text(record.folder / "trials.csv", table_text(record))
        atomic_files.write_text(record.folder / "trials.html", page(record))
    except OSError as error:
        say(f"vitcross: the files of the sweep cannot be written: {error}", file=sys.stderr)


def table_text(record):
    """`trials.csv`: one row per trial, by number."""
    columns = ["trial", *record.sweep.space, record.metric or "value", "minutes", "state", "note", "folder"]
    lines = []
    for trial in record.trials:
        value = "" if trial.value is None else repr(trial.value)
        ending = [value, f"{trial.minutes:.2f}", trial.state, trial.note, record.trial_folder(trial)]
        lines.append([trial.number, *record.texts(trial), *ending])
    return csv_text(columns, lines)


def last_words(record):
    """Print the table, the best trial and how to run it again, and where to look."""
    if record.trials:
        print_table(console_table(record), Console())
    rows = {}
    if finished := record.finished():
        best = finished[0]
        what = f"{record.metric} {padded_number(best.value)}"
        rows["best"] = f"trial {best.number}, {what}: {record.trial_folder(best)}"
        rows["again"] = record.sweep.command(best.values)
    rows["trials"] = f"{record.folder}/trials.html, trials.csv"
    print(printable_rows(rows), flush=True)


def failures(record):
    """Which trials failed, in a few lines; empty where none did."""
    failed = [trial for trial in record.trials if trial.state == "failed"]
    if not failed:
        return ""
    lines = [f"  {record.trial_folder(trial)}: {' '.join(printable(trial.note).split())}" for trial in failed]
    return "\n".join([f"vitcross: {len(failed)} trials failed:", *lines])
