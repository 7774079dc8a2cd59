"""Shows a run on the console: a live bar on a terminal, plain lines in a log file.

The header is printed by the command line; this sink prints from the first training step to the final table.
"""

import numbers
import time

from rich.console import Console as RichConsole
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Column
from rich.text import Text

from vitcross.metric_keys import IMAGES_PER_SECOND, formatted, lookup, train, val
from vitcross.pages.numbers import padded_number
from vitcross.sinks.sink import Sink
from vitcross.terminal import printable

PROGRESS = ("auto", "bar", "lines")
COMPILING = "compiling the training step, 10 to 30 seconds ..."
# Shown below the final table, in this order.
PLACES = {"run_folder": "run folder", "gallery": "attention maps", "wandb_url": "Weights & Biases"}


class Console(Sink):
    """Prints progress, validation results, captures, and the final table.

    No name from a user or a data set can move the cursor, change colors or be read as markup.

    Args:
        total_steps: int, optimizer steps of the whole run.
        progress: "bar", "lines" (without escape codes), or "auto": the bar if the output is a terminal.
        seconds_between_lines: float, shortest time between lines of training progress; the first and the last step and
            every validation are always printed.
        console: `rich.console.Console` or None for standard output.
        clock: callable without arguments, seconds; for tests.

    Raises:
        ValueError: for an unknown `progress`.
    """

    def __init__(self, *, total_steps, progress="auto", seconds_between_lines=10.0, console=None, clock=time.monotonic):
        if progress not in PROGRESS:
            raise ValueError(
                f"sinks.console.progress must be one of {', '.join(PROGRESS)}. Received: progress={progress!r}"
            )
        self._total, self._pause, self._clock = total_steps, seconds_between_lines, clock
        self._console = console or RichConsole()
        self._live = progress == "bar" or (progress == "auto" and is_live(self._console))
        self._bar = self._task = None
        self._begun = False
        self._first = None  # (step, time) of the first row; the compilation before it must not count as speed
        self._last_line = None
        self._values = {}

    def begin(self):
        """Say that the first step is being compiled. Every event calls this; a second call does nothing."""
        if self._begun:
            return
        self._begun = True
        if not self._live:
            self.line(COMPILING)
            return
        self._bar = live_bar(self._console)
        self._task = self._bar.add_task("", total=None, status=COMPILING)
        self._bar.start()

    def line(self, text, style=""):
        """Print one line, above the bar if there is one. Other sinks print their messages with it, too."""
        text = printable(text, self._console.encoding)
        if self._live:
            self._console.print(Text(text, style=style), soft_wrap=True, highlight=False)
        else:
            print(text, file=self._console.file, flush=True)

    def scalars(self, step, values):
        self.begin()
        self._values.update(values)
        if any(key.startswith(val("")) for key in values):
            self.line(f"step {step}/{self._total}  validation  {metrics(values, val(''), 6)}", style="bold")
        if any(key.startswith(train("")) for key in values):
            self._train_row(step)

    def media(self, step, media):
        self.begin()
        self.line(f"step {step}/{self._total}  attention maps of {len(media.predictions)} images captured")
        if media.trust is not None:
            self.line(f"step {step}/{self._total}  maps measured on {media.trust['source']}")
            for line in verdicts(media.trust["methods"]):
                self.line(f"  {line}")

    def close(self, summary, exit_code):
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self.line("finished" if exit_code == 0 else f"stopped, exit status {exit_code}", style="bold")
        places = {label: summary[key] for key, label in PLACES.items() if summary.get(key)}
        for rows in ({key: value for key, value in summary.items() if key not in PLACES}, places):
            for row in table(rows):
                self.line(row)

    def _train_row(self, step):
        now = self._clock()
        self._first = self._first or (step, now)
        status = self._status(step, now)
        if self._live:
            self._bar.update(self._task, total=self._total, completed=step, status=status)
        elif self._last_line is None or now - self._last_line >= self._pause or step >= self._total:
            self._last_line = now
            self.line(f"step {status}")

    def _status(self, step, now):
        """Text of the progress, most important first: a narrow terminal cuts off the rest."""
        parts = [f"{step}/{self._total}", f"{100 * step // self._total} %", self._left(step, now)]
        parts.append(metrics(self._values, train(""), 2))
        if (accuracy := val("accuracy")) in self._values:
            parts.append(f"{accuracy.replace('/', ' ')} {padded_number(self._values[accuracy])}")
        if (speed := IMAGES_PER_SECOND) in self._values:
            parts.append(f"{formatted(speed, self._values[speed])} {lookup(speed).unit}")
        return "  ".join(part for part in parts if part)

    def _left(self, step, now):
        """Time left at the mean speed since the first row, including validation and captures."""
        first_step, began = self._first
        if step <= first_step or step >= self._total:
            return ""
        return f"{duration((now - began) / (step - first_step) * (self._total - step))} left"


def is_live(console):
    """Whether a `rich.console.Console` can show a bar. With FORCE_COLOR set rich considers a log file a terminal; a bar
    needs a real one."""
    return console.is_interactive and console.file.isatty()


def live_bar(console, transient=False):
    """A `rich.progress.Progress` whose tasks have a field `status`, the text beside the bar."""
    return Progress(
        SpinnerColumn(finished_text=" "),
        BarColumn(bar_width=24 if console.width >= 110 else 10),
        # No markup; text that is too long is cut off instead of wrapped.
        TextColumn("{task.fields[status]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        console=console,
        refresh_per_second=4,
        transient=transient,
    )


def verdicts(rows):
    """`follows the model: rollout, relevance`, one line for each verdict in rows of `trust_table`."""
    methods = {}
    for row in rows:
        words = f"{row['words']} ({row['reason']})" if row["reason"] else row["words"]
        methods.setdefault(words, []).append(row["name"].lower())
    return [f"{words}: {', '.join(names)}" for words, names in methods.items()]


def duration(seconds):
    """`0:07`, `3:20`, `1:02:05`."""
    minutes, seconds = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def metrics(values, prefix, limit):
    """`loss 0.5312  accuracy 0.8310`: at most `limit` of the values directly below `prefix`, loss first."""
    names = [key.removeprefix(prefix) for key in values if key.startswith(prefix)]
    names = sorted((name for name in names if "/" not in name), key=lambda name: name != "loss")
    return "  ".join(f"{name.replace('_', ' ')} {padded_number(values[prefix + name])}" for name in names[:limit])


def table(summary):
    """A summary as lines of two aligned columns; nested dicts become `outer/inner`, None is omitted."""
    rows = [(printable(key), value) for key, value in _flat(summary) if value is not None]
    width = max((len(key) for key, _ in rows), default=0)
    return [f"  {key:<{width}}  {_cell(value)}" for key, value in rows]


def _flat(summary, prefix=""):
    """Pairs of key and value of a nested dict, in its order."""
    for key, value in summary.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value


def _cell(value):
    return str(value) if isinstance(value, bool | str) or not isinstance(value, numbers.Real) else padded_number(value)
