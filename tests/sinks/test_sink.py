"""One sink that fails is told once and left out; the essential one ends the run."""

import pytest

from vitcross.sinks.sink import FanOut, Sink


class Recorder(Sink):
    def __init__(self, log=None, name="recorder"):
        self.calls = [] if log is None else log
        self.name = name

    def scalars(self, step, values):
        self.calls.append((self.name, "scalars", step, values))

    def media(self, step, media):
        self.calls.append((self.name, "media", step, media))

    def animation(self, step, gif):
        self.calls.append((self.name, "animation", step, gif))

    def close(self, summary, exit_code):
        self.calls.append((self.name, "close", summary, exit_code))


class Broken(Recorder):
    def scalars(self, step, values):
        raise ConnectionError("the cable is\nout")


class Essential(Broken):
    essential = True

    def scalars(self, step, values):
        raise OSError(28, "No space left on device", "metrics.jsonl")


def test_base_class_accepts_everything_and_does_nothing():
    sink = Sink()
    assert (sink.scalars(1, {}), sink.media(1, None), sink.animation(1, b""), sink.close({}, 0)) == (None,) * 4


def test_everything_reaches_every_sink_in_order():
    log = []
    sinks = FanOut([Recorder(log, "a"), Recorder(log, "b")])
    sinks.scalars(3, {"train/loss": 0.5})
    sinks.media(5, "sheets")
    sinks.animation(5, b"GIF")
    sinks.close({"x": 1}, 7)
    expected = [
        ("scalars", 3, {"train/loss": 0.5}),
        ("media", 5, "sheets"),
        ("animation", 5, b"GIF"),
        ("close", {"x": 1}, 7),
    ]
    assert log == [(name, *call) for call in expected for name in "ab"]


def test_a_failing_sink_is_reported_once_and_the_others_continue():
    told = []
    healthy, broken = Recorder(), Broken()
    sinks = FanOut([broken, healthy], report=told.append)
    for step in range(3):
        sinks.scalars(step, {})
    sinks.media(3, None)
    assert told == ["Broken failed, the run continues without it: ConnectionError: the cable is\nout"]
    assert [call[1] for call in healthy.calls] == ["scalars"] * 3 + ["media"]
    assert broken.calls == []


def test_a_sink_that_failed_is_still_closed():
    broken = Broken()
    sinks = FanOut([broken], report=lambda text: None)
    sinks.scalars(0, {})
    sinks.close({}, 1)
    assert [call[1] for call in broken.calls] == ["close"]


def test_default_report_goes_to_stderr(capsys):
    FanOut([Broken()]).scalars(0, {})
    captured = capsys.readouterr()
    assert captured.out == "" and "warning: Broken failed" in captured.err


def test_error_of_an_essential_sink_is_raised_after_the_others_had_the_call():
    healthy = Recorder()
    sinks = FanOut([Essential(), healthy])
    with pytest.raises(RuntimeError, match="Essential failed.*No space left on device.*metrics.jsonl"):
        sinks.scalars(0, {})
    assert len(healthy.calls) == 1
    sinks.close({}, 1)  # what the command line does afterwards reaches both without a second error
    assert len(healthy.calls) == 2


def test_interrupts_are_not_swallowed():
    class Interrupted(Sink):
        def scalars(self, step, values):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FanOut([Interrupted()]).scalars(0, {})
