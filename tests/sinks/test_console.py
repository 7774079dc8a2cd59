"""The console: plain lines without escape codes in a log file, a bar on a terminal, no word of a stranger obeyed."""

import io
import re

import pytest
from rich.console import Console as RichConsole

from tests.sinks.samples import sample_media
from vitcross.pages.numbers import padded_number
from vitcross.sinks.console import Console, duration, metrics, table, verdicts
from vitcross.terminal import printable

TRAIN = {"epoch": 0.5, "train/loss": 0.53125, "train/accuracy": 0.75, "speed/images_per_second": 1210.4}


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def plain(**options):
    out, clock = io.StringIO(), Clock()
    rich_console = RichConsole(file=out, width=200)
    return Console(total_steps=100, console=rich_console, clock=clock, **options), out, clock


def terminal(width=160, **options):
    out, clock = io.StringIO(), Clock()
    rich_console = RichConsole(file=out, width=width, force_terminal=True, color_system=None)
    return Console(total_steps=100, console=rich_console, clock=clock, progress="bar", **options), out, clock


def test_a_log_file_gets_plain_lines():
    console, out, clock = plain()
    console.begin()
    console.media(0, sample_media(0))
    console.scalars(1, TRAIN)
    clock.now = 20.0
    console.scalars(51, TRAIN)
    console.scalars(51, {"val/loss": 0.25, "val/accuracy": 0.875, "val/accuracy/3_objects": 0.5})
    clock.now = 30.0
    console.scalars(80, TRAIN)
    console.close({"val/accuracy": 0.875, "parameters": 5717416, "run_folder": "outputs/x", "gallery": "g.html"}, 0)
    assert out.getvalue().splitlines() == [
        "compiling the training step, 10 to 30 seconds ...",
        "step 0/100  attention maps of 5 images captured",
        "step 1/100  1 %  loss 0.5312  accuracy 0.7500  1,210 images/s",
        "step 51/100  51 %  0:20 left  loss 0.5312  accuracy 0.7500  1,210 images/s",
        "step 51/100  validation  loss 0.2500  accuracy 0.8750",
        "step 80/100  80 %  0:08 left  loss 0.5312  accuracy 0.7500  val accuracy 0.8750  1,210 images/s",
        "finished",
        "  val/accuracy  0.8750",
        "  parameters    5,717,416",
        "  run folder      outputs/x",
        "  attention maps  g.html",
    ]


def test_lines_keep_their_distance_but_the_last_step_is_printed():
    console, out, clock = plain(seconds_between_lines=10)
    for step in range(1, 101):
        clock.now = step / 4
        console.scalars(step, TRAIN)
    steps = [int(line.split()[1].split("/")[0]) for line in out.getvalue().splitlines()[1:]]
    assert steps == [1, 41, 81, 100]


def test_a_terminal_gets_a_bar_with_lines_above_it():
    console, out, clock = terminal()
    console.begin()
    console.scalars(1, TRAIN)
    clock.now = 10.0
    console.scalars(51, TRAIN | {"train/loss": 0.125})
    console.scalars(51, {"val/loss": 0.25, "val/accuracy": 0.875})
    console.scalars(100, TRAIN)
    console.close({}, 0)
    text = out.getvalue()
    assert "compiling the training step" in text
    assert "step 51/100  validation  loss 0.2500  accuracy 0.8750\n" in text
    assert "100/100  100 %  loss 0.5312  accuracy 0.7500  val accuracy 0.8750  1,210 images/s" in text
    assert text.endswith("finished\n") and "\x1b[?25h" in text  # the cursor is shown again


def test_a_narrow_terminal_never_breaks_the_bar_into_two_lines():
    console, out, _ = terminal(width=40)
    console.scalars(51, TRAIN)
    console.close({}, 0)
    frames = re.split(r"[\r\n]+", re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", out.getvalue()))
    assert any("51/100" in frame for frame in frames)
    assert all(len(frame) <= 40 for frame in frames)


def test_foreign_text_moves_no_cursor_and_is_no_markup():
    evil = "x\x1b[31m\x1b]0;title\x07[bold red]y[/bold red]\r\nz\u202e\udcff"
    for make in (plain, terminal):
        console, out, _ = make()
        console.line(evil)
        assert out.getvalue() == "x?[31m?]0;title?[bold red]y[/bold red]??z??\n"
        console.close({"run_folder": evil, evil: 1, "name": evil}, 0)
        assert "\x1b[31m" not in out.getvalue() and "\x07" not in out.getvalue()


def test_a_stream_that_knows_only_ascii_gets_question_marks():
    raw = io.BytesIO()
    console = Console(total_steps=1, console=RichConsole(file=io.TextIOWrapper(raw, encoding="ascii"), width=80))
    console.line("caf\u00e9 \u2192")
    assert raw.getvalue() == b"caf? ?\n"


def test_a_failed_run_says_so():
    console, out, _ = plain()
    console.close({"val": {"loss": float("nan")}, "reason": None}, 143)
    assert out.getvalue() == "stopped, exit status 143\n  val/loss  nan\n"


def test_auto_is_lines_unless_it_is_a_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # what CI services set: rich takes the log file for a terminal then
    out = io.StringIO()
    console = Console(total_steps=10, console=RichConsole(file=out, width=80))
    console.scalars(1, TRAIN)
    console.close({}, 0)
    assert "\x1b" not in out.getvalue()


def test_unknown_progress_is_refused():
    with pytest.raises(ValueError, match="sinks.console.progress must be one of auto, bar, lines. Received.*'fancy'"):
        Console(total_steps=1, progress="fancy")


def test_numbers_and_times():
    assert [padded_number(v) for v in (5717416, 1210.4, 0.53125, 12.3456, 1.2e-5, 0.0, float("inf"), -0.5)] == [
        "5,717,416",
        "1,210",
        "0.5312",
        "12.35",
        "1.2e-05",
        "0",
        "inf",
        "-0.5000",
    ]
    assert [duration(s) for s in (-1, 7.4, 200, 3725)] == ["0:00", "0:07", "3:20", "1:02:05"]


def test_metrics_put_the_loss_first_and_omit_deeper_levels():
    values = {"val/top_5": 0.5, "val/loss": 1.0, "val/accuracy/3": 0.1, "train/loss": 9.0}
    assert metrics(values, "val/", 4) == "loss 1.0000  top 5 0.5000"


def test_table_flattens():
    assert table({"a": {"b": 1, "c": {"d": "x"}}, "none": None, "t": True}) == [
        "  a/b    1",
        "  a/c/d  x",
        "  t      True",
    ]
    assert table({}) == []


def test_printable_keeps_ordinary_words():
    assert printable("Stra\u00dfe \u4e2d\u6587 \u2192 50 %") == "Stra\u00dfe \u4e2d\u6587 \u2192 50 %"


def test_verdicts_are_grouped_with_the_reason_why_there_is_none():
    few = "too few examples with something to explain: 5 of them, at least 8 are needed"
    rows = [
        {"name": "Raw attention", "words": "cannot tell", "reason": few},
        {"name": "Rollout", "words": "follows the model", "reason": ""},
        {"name": "Relevance", "words": "cannot tell", "reason": few},
    ]
    assert verdicts(rows) == [f"cannot tell ({few}): raw attention, relevance", "follows the model: rollout"]
