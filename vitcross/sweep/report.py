"""Reports a sweep: console header and results, and the files `trials.json`, `trials.csv` and `trials.html`."""

import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vitcross import atomic_files
from vitcross.pages.csv_text import csv_text
from vitcross.pages.numbers import padded_number
from vitcross.sweep.page import page
from vitcross.terminal import printable, printable_rows, say

MAX_UNFOLDED = 10  # letters of a value that stays in one line on a narrow terminal


def header(record):
    """What the sweep is going to do, for the console."""
    sweep, options = record.sweep, record.sweep.options
    if sweep.sweeper == "optuna":
        kind = f"Optuna, {options['sampler']}, seed {options['seed']}"
        total = min(options["n_trials"], sweep.size())
    else:
        kind, total = "every combination", sweep.size()
    done = len(record.finished())
    finished = f", {done} of them finished before" if done else ""
    rows = {
        "sweep": f"{', '.join(sweep.space) or 'nothing'}: {kind}",
        "trials": f"{total}{finished}, one process each",
        "results": str(record.folder),
    }
    return printable_rows(rows)


def write_report(record):
    """Update the files of a sweep; a full disk does not end it."""
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


def print_results(record):
    """Print the table, the best trial, the command that runs it again, and where the results are."""
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
    """The failed trials as lines of text; empty if there are none."""
    failed = [trial for trial in record.trials if trial.state == "failed"]
    if not failed:
        return ""
    lines = [f"  {record.trial_folder(trial)}: {' '.join(printable(trial.note).split())}" for trial in failed]
    return "\n".join([f"vitcross: {len(failed)} trials failed:", *lines])


def console_table(record):
    """`rich.table.Table` of all trials, best first."""
    table = Table(title_justify="left")
    for name in ("trial", *short_names(record.sweep.space), record.metric or "value", "minutes", "state"):
        side = "right" if name in ("trial", "minutes") else "left"
        table.add_column(Text(printable(name), overflow="fold"), justify=side, min_width=5)
    for trial in record.ranked():
        value = "" if trial.value is None else padded_number(trial.value)
        cells = [trial.number, *record.texts(trial), value, f"{trial.minutes:.1f}", trial.state]
        for column, cell in zip(table.columns, cells, strict=True):
            # Numbers stay in one line as long as there is room; longer values are folded.
            column.min_width = max(column.min_width, min(len(str(cell)), MAX_UNFOLDED))
        table.add_row(*(Text(printable(cell), overflow="fold") for cell in cells))
    return table


def short_names(keys):
    """The last part of each dotted key if it is unique, else the whole key."""
    last = [key.rpartition(".")[2] for key in keys]
    return [name if last.count(name) == 1 else key for key, name in zip(keys, last, strict=True)]


def print_table(table, console):
    """Print a table in full: as wide as needed in a file, with folded words on a narrow terminal."""
    if not console.is_terminal:
        console = Console(file=console.file, width=Console(width=10_000).measure(table).maximum)
    elif sum(column.min_width for column in table.columns) + 3 * len(table.columns) >= console.width:
        for column in table.columns:
            column.min_width = None
    console.print(table)
