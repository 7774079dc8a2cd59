"""The table of a sweep's trials on the console."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vitcross.pages.numbers import padded_number
from vitcross.terminal import printable

MAX_UNFOLDED = 10  # letters of a value that stays whole on a narrow terminal


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
            # Numbers stay whole as long as there is room; what is longer is folded.
            column.min_width = max(column.min_width, min(len(str(cell)), MAX_UNFOLDED))
        table.add_row(*(Text(printable(cell), overflow="fold") for cell in cells))
    return table


def short_names(keys):
    """The last part of each dotted key, where no other key has the same; else the key."""
    last = [key.rpartition(".")[2] for key in keys]
    return [name if last.count(name) == 1 else key for key, name in zip(keys, last, strict=True)]


def print_table(table, console):
    """Print a table without cutting it off: a file takes any width, a narrow terminal has its words folded."""
    if not console.is_terminal:
        console = Console(file=console.file, width=Console(width=10_000).measure(table).maximum)
    elif sum(column.min_width for column in table.columns) + 3 * len(table.columns) >= console.width:
        for column in table.columns:
            column.min_width = None
    console.print(table)
