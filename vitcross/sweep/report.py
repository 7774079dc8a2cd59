"""What a sweep says of itself: its header, the table of its trials on the console, and its files `trials.json`,
`trials.csv` and `trials.html`.
"""

import csv
import io
import shlex
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vitcross import atomic_files
from vitcross.sinks.console_text import number, printable
from vitcross.sweep.page import page

MAX_UNFOLDED = 10  # letters


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
    return _rows(rows)


def write_report(record):
    """Bring the files of a sweep up to date; a disk that is full does not end it."""
    try:
        record.save()
        atomic_files.write_text(record.folder / "trials.csv", csv_text(record))
        atomic_files.write_text(record.folder / "trials.html", page(record))
    except OSError as error:
        print(f"vitcross: the files of the sweep cannot be written: {error}", file=sys.stderr)


def csv_text(record):
    """One row per trial, by number."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["trial", *record.sweep.space, record.metric or "value", "minutes", "state", "note", "folder"])
    for trial in record.trials:
        value = "" if trial.value is None else repr(trial.value)
        ending = [value, f"{trial.minutes:.2f}", trial.state, trial.note, record.trial_folder(trial)]
        writer.writerow([trial.number, *_values(record, trial), *ending])
    return file.getvalue()


def console_table(record):
    """`rich.table.Table` of all trials, best first."""
    table = Table(title_justify="left")
    for name in ("trial", *short_names(record.sweep.space), record.metric or "value", "minutes", "state"):
        side = "right" if name in ("trial", "minutes") else "left"
        table.add_column(Text(printable(name), overflow="fold"), justify=side, min_width=5)
    for trial in record.ranked():
        value = "" if trial.value is None else number(trial.value)
        cells = [trial.number, *_values(record, trial), value, f"{trial.minutes:.1f}", trial.state]
        for column, cell in zip(table.columns, cells, strict=True):
            # Numbers stay whole as long as there is room; what is longer is folded.
            column.min_width = max(column.min_width, min(len(str(cell)), MAX_UNFOLDED))
        table.add_row(*(Text(printable(cell), overflow="fold") for cell in cells))
    return table


def short_names(keys):
    """The last part of each dotted key, where no other key has the same; else the key."""
    last = [key.rpartition(".")[2] for key in keys]
    return [name if last.count(name) == 1 else key for key, name in zip(keys, last, strict=True)]


def last_words(record):
    """Print the table, the best trial and how to run it again, and where to look."""
    if record.trials:
        print_table(console_table(record), Console())
    rows = {}
    if finished := record.finished():
        best = finished[0]
        what = f"{record.metric} {number(best.value)}"
        rows["best"] = f"trial {best.number}, {what}: {record.trial_folder(best)}"
        rows["again"] = command(record.sweep, best)
    rows["trials"] = f"{record.folder}/trials.html, trials.csv"
    print(printable_rows(rows), flush=True)


def print_table(table, console):
    """Print a table without cutting it off: a file takes any width, a narrow terminal has its words folded."""
    if not console.is_terminal:
        console = Console(file=console.file, width=Console(width=10_000).measure(table).maximum)
    elif sum(column.min_width for column in table.columns) + 3 * len(table.columns) >= console.width:
        for column in table.columns:
            column.min_width = None
    console.print(table)


def command(sweep, trial):
    """What is typed to run a trial again."""
    return f"python train.py {shlex.join(sweep.overrides(trial.values))}"


def failures(record):
    """Which trials failed, in a few lines; empty where none did."""
    failed = [trial for trial in record.trials if trial.state == "failed"]
    if not failed:
        return ""
    lines = [f"  {record.trial_folder(trial)}: {' '.join(printable(trial.note).split())}" for trial in failed]
    return "\n".join([f"vitcross: {len(failed)} trials failed:", *lines])


def _values(record, trial):
    return [trial.values.get(key, "") for key in record.sweep.space]


def _rows(rows):
    return "\n".join(f"{name:<12}{value}" for name, value in rows.items())


def printable_rows(rows):
    return _rows({name: printable(value) for name, value in rows.items()})
