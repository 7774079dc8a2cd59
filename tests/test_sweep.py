"""Sweeps as a user types them, in processes of their own; and what is made of their trials: table, files, page."""

import csv
import json
import re
import signal
import sys
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.browser import chromium
from tests.test_train import rows, run, start, wait_for_training
from vitcross.config import compose
from vitcross.config.compatibility import ConfigError
from vitcross.config.search_space import Interval, Values
from vitcross.pages.axes import log_ticks
from vitcross.sweep.charts import key_axis
from vitcross.sweep.page import page
from vitcross.sweep.process import outcome
from vitcross.sweep.record import Record, open_record
from vitcross.sweep.report import console_table, failures, print_table, table_text, write_report

RATES = "optimizer.learning_rate=tag(log,interval(1e-4,3e-3))"
OPTUNA = ["hydra/sweeper=optuna", RATES, "model.depth=choice(2,4,6)"]
LONG = "a_recipe_of_somebody_whose_name_is_longer_than_any_axis_has_room_for_in_one_line"


def needs_optuna():
    pytest.importorskip("optuna", reason="Optuna is not installed: pip install -e '.[sweep]'")


def optuna_record(folder, *typed):
    needs_optuna()
    return Record(folder, compose.read_sweep([*OPTUNA, *typed]))


def finish(record, values, value):
    trial = record.add(values)
    trial.state, trial.value, trial.minutes = "finished", value, 1.5
    return trial


def record_of_all_kinds(folder, mode="max"):
    """7 trials: 5 finished with the values 0.1 ... 0.5 in another order, one failed, one stopped."""
    sweep = compose.read_sweep(["seed=1,2,3", "experiment=fashion_mnist,scenes_vqa", "trainer.steps=17"])
    sweep.space["experiment"] = Values(("null", LONG, "<b>bold</b>"))
    record = Record(folder, sweep, metric="val/accuracy", mode=mode)
    for place, value in enumerate((0.2, 0.5, 0.1, 0.3, 0.4)):
        finish(record, {"seed": str(1 + place % 3), "experiment": sweep.space["experiment"].texts[place % 3]}, value)
    failed, stopped = (record.add({"seed": seed, "experiment": "null"}) for seed in ("2", "3"))
    failed.state, failed.note = "failed", 'failed at step 3: <script>alert("x")</script>'
    stopped.state = "stopped"
    return record


# ---------------------------------------------------------------------------------------------------- real processes


def test_a_grid_runs_each_trial_in_its_own_process_and_ends_with_a_table(tiny_scenes, tmp_path):
    typed = ["-m", *tiny_scenes, "trainer.steps=2", "seed=0,1", f"hydra.sweep.dir={tmp_path / 'a, b'}"]
    done = run("train.py", *typed)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "a, b"
    first, second = (json.loads((folder / trial / "summary.json").read_text()) for trial in ("0", "1"))
    assert first["state"] == second["state"] == "finished"
    assert rows(folder / "0")[0] != rows(folder / "1")[0]
    values = {trial["best/value"] for trial in (first, second)}
    ending = done.stdout[done.stdout.index("┏") :]
    assert "seed" in ending and "val/accuracy" in ending and ending.count("finished") == 2
    best = "0" if first["best/value"] >= second["best/value"] else "1"
    assert f"{folder}/{best}" in ending and f"seed={best}" in ending
    with (folder / "trials.csv").open() as file:
        assert {float(row["val/accuracy"]) for row in csv.DictReader(file)} == values
    assert 'href="0/attention/index.html"' in (folder / "trials.html").read_text()

    again = run("train.py", *typed)
    assert again.returncode == 0 and "starting TensorFlow" not in again.stdout
    assert again.stdout[again.stdout.index("┏") :] == ending and "2 of them finished before" in again.stdout


def test_optuna_continues_after_a_failed_trial_and_the_sweep_exits_1(tiny_scenes, tmp_path):
    needs_optuna()
    done = run(
        "train.py", "-m", "hydra/sweeper=optuna", *tiny_scenes, "attention_maps=off", "trainer.steps=2",
        "optimizer.warmup=0", "optimizer.learning_rate=choice(1e38,1e-3)", f"hydra.sweep.dir={tmp_path}",
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the sweep continues" in done.stderr and "1 trials failed" in done.stderr
    assert "all 2 combinations have been tried" in done.stdout
    trials = json.loads((tmp_path / "trials.json").read_text())["trials"]
    states = {trial["values"]["optimizer.learning_rate"]: trial["state"] for trial in trials}
    assert states == {"1e+38": "failed", "0.001": "finished"}
    assert "not finite" in next(trial["note"] for trial in trials if trial["state"] == "failed")


def test_a_sweep_passes_a_signal_to_its_trial_and_later_resumes_it(tiny_scenes, tmp_path):
    length = ["attention_maps=off", "trainer.steps=100000"]
    typed = ["train.py", "-m", *tiny_scenes, *length, "seed=0,1", f"hydra.sweep.dir={tmp_path}"]
    for expected in ("starting TensorFlow", "resume      at step"):
        steps = (tmp_path / "0/metrics.jsonl").stat().st_size if (tmp_path / "0/metrics.jsonl").exists() else 0
        process = start(*typed)
        wait_for_training(process, tmp_path / "0")
        while (tmp_path / "0/metrics.jsonl").stat().st_size <= steps and process.poll() is None:
            signal.sigtimedwait([], 0.2)
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=60)[0].decode()
        assert process.returncode == 128 + signal.SIGTERM, output
        assert expected in output and "SIGTERM" in json.loads((tmp_path / "0/summary.json").read_text())["state"]
        assert output.count("resume with: ") == 1
        assert output.rstrip().endswith(f"trainer.steps=100000 seed=0,1 hydra.sweep.dir={tmp_path}")
        assert not (tmp_path / "1").exists()
        (trial,) = json.loads((tmp_path / "trials.json").read_text())["trials"]
        assert trial["state"] == "stopped" and "stopped" in output[output.index("┏") :]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ([*OPTUNA, "model.dpth=1"], "Did you mean 'model.depth'"),
        (["--cfg", "job", "seed=1,2"], "no flag besides -m"),
        (["resume=x", "seed=1,2"], "to continue a sweep, type it again"),
        (["seed=1,2", "hydra.sweep.dir=."], "must be a new folder or that of a sweep"),
    ],
)
def test_a_wrong_sweep_ends_with_status_2_and_one_message(typed, message, tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    done = run("train.py", "-m", *typed, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert message in done.stderr and done.stderr.startswith("vitcross: ") and "Traceback" not in done.stderr
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


# ------------------------------------------------------------------------------------------------- what can be typed


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ([*OPTUNA[:2], "model.depth=interval(2,6)"], r"Received: 2.0. Whole numbers are 'model.depth=int\(interval"),
        ([*OPTUNA, "model.num_heads=choice(4,7)"], "num_heads must divide"),
        ([OPTUNA[0], "optimizer.learning_rate=interval(-1,1)"], "must be greater than 0. Received: -1"),
        ([OPTUNA[0], "optimizer.learning_rate=interval(1,-1)"], "an interval must have low < high"),
        ([OPTUNA[0], "optimizer.learning_rate=tag(log,interval(0,1))"], "an interval must have 0 < low < high"),
        ([OPTUNA[0], "data=choice(scenes,scnes)"], "data has no option 'scnes'"),
        ([OPTUNA[0], "seed=1"], "needs something to search"),
        ([*OPTUNA, "hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials must be a positive integer. Received: 0"),
        ([*OPTUNA, "hydra.sweeper.n_trial=3"], "there is no key 'hydra.sweeper.n_trial'"),
        ([*OPTUNA, "hydra.sweeper.sampler=cma"], "hydra.sweeper.sampler must be 'tpe' or 'random'"),
        (["hydra.sweeper.n_trials=3", "seed=1,2"], "hydra/sweeper=optuna has sampler, n_trials"),
        (["hydra/sweeper=optna", "seed=1,2"], "hydra/sweeper must be one of basic, optuna"),
        (["hydra/launcher=joblib", "seed=1,2"], "of Hydra's own keys a sweep takes.*Received: hydra/launcher"),
        ([RATES], "hydra/sweeper=optuna searches it"),
        (["seed=1,2", "seed=3"], "seed is swept and typed twice"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_a_trial_starts(typed, message):
    if OPTUNA[0] in typed:
        needs_optuna()
    with pytest.raises(ConfigError, match=message):
        compose.check_trials(compose.read_sweep(typed))


def test_missing_optuna_is_reported_with_the_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)  # what an import takes for "not installed"
    with pytest.raises(ConfigError, match=r"hydra/sweeper=optuna needs Optuna: pip install -e '.\[sweep\]'"):
        compose.read_sweep(OPTUNA)
    assert compose.read_sweep(["seed=1,2"]).sweeper == "basic"


def test_every_kind_of_list_and_interval_is_read():
    needs_optuna()
    typed = ["seed=1,2", "model.depth=range(2,7,2)", "model.embed_dim=tag(log,int(interval(16,64)))"]
    sweep = compose.read_sweep([OPTUNA[0], *typed, "data=glob(*mnist)", RATES, "trainer.steps=3"])
    assert sweep.space == {
        "seed": Values(("1", "2")),
        "model.depth": Values(("2", "4", "6"), ordered=True),
        "model.embed_dim": Interval(16, 64, log=True, integer=True),
        "data": Values(("fashion_mnist", "mnist")),
        "optimizer.learning_rate": Interval(1e-4, 3e-3, log=True),
    }
    assert sweep.fixed == ("trainer.steps=3",)


def test_the_corners_hold_every_listed_value_and_both_ends(tmp_path):
    record = optuna_record(tmp_path, "seed=5")
    found = list(record.sweep.corners())
    assert [v["model.depth"] for v in found] == ["2", "2", "4", "6"]
    assert [v["optimizer.learning_rate"] for v in found] == ["0.0001", "0.003", "0.0001", "0.0001"]
    assert len(compose.check_trials(record.sweep)) == 4


@given(st.floats(0.001234567, 0.98765432))
def test_a_number_of_an_interval_is_short_and_stays_in_it(value):
    interval = Interval(0.001234567, 0.98765432)
    text = interval.text(value)
    assert interval.low <= float(text) <= interval.high
    assert float(text) == pytest.approx(value, rel=1e-3)
    assert len(text) <= 10 or float(text) in (interval.low, interval.high)


# --------------------------------------------------------------------------------------------------------- proposals


def score(values):
    """Best at 0.001; in 4 blocks a little better."""
    from math import log10

    return -abs(log10(float(values["optimizer.learning_rate"])) + 3) + 0.1 * (values["model.depth"] == "4")


def proposed(record, count):
    from vitcross.sweep.optuna_proposals import propose

    for _ in range(count):
        values = propose(record)
        finish(record, values, score(values))
    return [trial.values for trial in record.trials]


def test_a_sweep_that_was_stopped_proposes_what_it_would_have_proposed(tmp_path):
    whole = proposed(optuna_record(tmp_path, "hydra.sweeper.n_startup_trials=3"), 9)
    record = optuna_record(tmp_path, "hydra.sweeper.n_startup_trials=3")
    record.mode = "max"
    proposed(record, 4)
    record.save()
    assert proposed(open_record(tmp_path, record.sweep), 5) == whole
    assert len({tuple(values.items()) for values in whole}) == 9
    assert proposed(optuna_record(tmp_path, "hydra.sweeper.seed=1"), 2) != whole[:2]


@pytest.mark.parametrize("mode", ["max", "min"])
def test_optuna_learns_from_the_trials_before(mode, tmp_path):
    record = optuna_record(tmp_path)
    from vitcross.sweep.optuna_proposals import propose

    record.mode = mode
    for _ in range(30):
        values = propose(record)
        finish(record, values, score(values) if mode == "max" else -score(values))
    scores = [score(trial.values) for trial in record.trials]
    assert sum(scores[20:]) / 10 > sum(scores[:10]) / 10 + 0.1


def test_optuna_avoids_values_that_failed(tmp_path):
    record = optuna_record(tmp_path)
    from vitcross.sweep.optuna_proposals import propose

    record.mode = "max"
    for _ in range(30):
        trial = record.add(propose(record))
        high = float(trial.values["optimizer.learning_rate"]) > 5e-4
        trial.state, trial.value = ("failed", None) if high else ("finished", 0.5)
    failed = [trial.state == "failed" for trial in record.trials]
    assert sum(failed[20:]) < sum(failed[:10])


def test_no_combination_is_proposed_twice_and_a_small_space_ends(tmp_path):
    needs_optuna()
    from vitcross.sweep.optuna_proposals import propose

    sweep = compose.read_sweep(["hydra/sweeper=optuna", "seed=range(0,5)", "model.depth=choice(2,4,6)"])
    record = Record(tmp_path, sweep, mode="max")
    while (values := propose(record)) is not None:
        finish(record, values, float(values["seed"]))
    assert len({tuple(trial.values.values()) for trial in record.trials}) == len(record.trials) == 15


# ------------------------------------------------------------------------------------------------- record and outcome


def test_a_record_is_read_back_and_a_running_trial_counts_as_stopped(tmp_path):
    record = record_of_all_kinds(tmp_path)
    record.trials[2].state = "running"
    record.save()
    kept = open_record(tmp_path, record.sweep)
    assert kept.trials[2].state == "stopped" and (kept.metric, kept.mode) == ("val/accuracy", "max")
    kept.trials[2].state = "running"
    assert kept.trials == record.trials


def test_a_grid_may_grow_and_report_elsewhere_but_not_become_another_sweep(tmp_path):
    Record(tmp_path, compose.read_sweep(["seed=1,2", "trainer.steps=17"])).save()
    open_record(tmp_path, compose.read_sweep(["trainer.steps=17", "seed=1,2,3", "sinks=local"]))
    with pytest.raises(ValueError, match=r"holds another sweep(.|\n)*trainer.steps: 17 -> 19"):
        open_record(tmp_path, compose.read_sweep(["seed=1,2", "trainer.steps=19"]))
    with pytest.raises(ValueError, match="model.depth: not typed -> 2,4"):
        open_record(tmp_path, compose.read_sweep(["seed=1,2", "trainer.steps=17", "model.depth=2,4"]))
    (tmp_path / "trials.json").write_text("{half")
    with pytest.raises(ValueError, match="trials.json cannot be read as the record of a sweep"):
        open_record(tmp_path, compose.read_sweep(["seed=1,2"]))


@pytest.mark.parametrize(
    ("status", "summary", "state", "note"),
    [
        (0, {"state": "finished", "best/metric": "val/loss", "best/value": 0.5}, "finished", ""),
        (0, {"state": "finished", "best/metric": "val/loss", "best/value": None}, "failed", "val/loss is None"),
        (1, {"state": "failed at step 3: the loss"}, "failed", "failed at step 3: the loss"),
        (2, None, "failed", "exit status 2"),
        (-9, {"state": "finished"}, "failed", "killed by SIGKILL"),
        (143, {"state": "interrupted"}, "stopped", "stopped by SIGTERM"),
        (-2, None, "stopped", "stopped by SIGINT"),
    ],
)
def test_how_a_trial_ended_is_read_from_its_status_and_its_folder(status, summary, state, note, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/index.json").write_text('{"mode": "min"}')
    if summary is not None:
        (tmp_path / "summary.json").write_text(json.dumps(summary))
    found = outcome(tmp_path, status)
    assert (found.state, found.note) == (state, note)
    assert (found.value, found.mode) == ((0.5, "min") if state == "finished" else (None, None))


# ----------------------------------------------------------------------------------------------------- table and page


@pytest.mark.parametrize(("mode", "best"), [("max", [1, 4, 3, 0, 2]), ("min", [2, 0, 3, 4, 1])])
def test_the_table_has_the_best_first_and_those_without_a_value_last(mode, best, tmp_path):
    record = record_of_all_kinds(tmp_path, mode)
    assert [trial.number for trial in record.ranked()] == [*best, 5, 6]
    with (tmp_path / "console.txt").open("w", encoding="utf-8") as file:
        print_table(console_table(record), Console(file=file))
    lines = (tmp_path / "console.txt").read_text().splitlines()
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    assert [int(row[0]) for row in cells] == [*best, 5, 6]
    assert [row[-1] for row in cells] == ["finished"] * 5 + ["failed", "stopped"]
    assert any(LONG in row for row in cells), "a file has room for long names"
    assert "1 trials failed" in failures(record) and f"{tmp_path}/5: failed at step 3" in failures(record)


def test_the_table_fits_a_narrow_terminal_and_loses_nothing(tmp_path):
    with (tmp_path / "console.txt").open("w", encoding="utf-8") as file:
        print_table(console_table(record_of_all_kinds(tmp_path)), Console(file=file, width=50, force_terminal=True))
    text = re.sub(r"\x1b\[[0-9;]*m", "", (tmp_path / "console.txt").read_text())
    lines = text.splitlines()
    assert max(map(len, lines)) <= 50
    column = ["".join(line.split("│")[3:4]).strip() for line in lines if line.startswith("│")]
    assert LONG in "".join(column)


def test_the_csv_has_one_row_per_trial_and_the_command_runs_it_again(tmp_path):
    record = record_of_all_kinds(tmp_path)
    table = list(csv.DictReader(table_text(record).splitlines()))
    assert [row["trial"] for row in table] == list("0123456")
    assert [row["val/accuracy"] for row in table] == ["0.2", "0.5", "0.1", "0.3", "0.4", "", ""]
    assert table[1]["experiment"] == LONG and table[5]["note"].startswith("failed at step 3")
    assert record.sweep.command(record.trials[2].values) == (
        "python train.py trainer.steps=17 seed=3 'experiment=<b>bold</b>'"
    )


class Elements(HTMLParser):
    """Tags with their attributes, texts, and whether each tag that was opened was closed in its order."""

    def __init__(self, text):
        super().__init__()
        self.found, self.texts, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in ("meta", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.append(text)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_page_draws_every_trial_in_every_chart_and_escapes_text(mode, tmp_path):
    record = record_of_all_kinds(tmp_path, mode)
    elements = Elements(page(record))
    assert elements.open == []
    marks = [attributes.get("class") for tag, attributes in elements.found if tag in ("circle", "path")]
    # 3 panels: from trial to trial, seed, experiment; the one that was stopped has nothing to show.
    assert (marks.count("dot"), marks.count("dot best"), marks.count("failed")) == (12, 3, 3)
    tags = [tag for tag, _ in elements.found]
    assert "script" not in tags and "b" in tags and tags.count("b") == 1, "only our own <b>, in the footer"
    assert not [a for _, attributes in elements.found for a in attributes.values() if "http" in (a or "")]
    (line,) = [attributes["points"] for tag, attributes in elements.found if tag == "polyline"]
    heights = [float(point.split(",")[1]) for point in line.split()]
    assert heights == sorted(heights, reverse=mode == "max") and len(set(heights)) == 2, "two records were set"


@pytest.mark.parametrize("trials", [0, 1])
def test_a_sweep_of_no_trial_or_one_has_a_page(trials, tmp_path):
    record = Record(tmp_path, compose.read_sweep(["seed=7"]), metric="val/loss", mode="min")
    for _ in range(trials):
        finish(record, {}, 0.25)
    write_report(record)
    elements = Elements((tmp_path / "trials.html").read_text())
    assert [tag for tag, _ in elements.found].count("circle") == trials


def test_a_browser_shows_the_page_with_every_word_inside_its_image(tmp_path):
    write_report(record_of_all_kinds(tmp_path))
    outside = """() => [...document.querySelectorAll('svg text')].filter(text => {
        const box = text.getBBox(), view = text.ownerSVGElement.viewBox.baseVal
        return box.x < 0 || box.x + box.width > view.width || box.y < 0 || box.y + box.height > view.height
    }).map(text => text.textContent)"""
    with chromium() as browser:
        for scheme in ("light", "dark"):
            opened, said = browser.new_page(color_scheme=scheme, viewport={"width": 390, "height": 800}), []
            opened.on("console", lambda message, said=said: said.append(message.text))
            opened.goto((tmp_path / "trials.html").as_uri())
            assert opened.evaluate(outside) == [] and said == []
            assert opened.evaluate("document.querySelectorAll('svg text').length") > 20
            assert opened.evaluate("document.documentElement.scrollWidth") <= 390


@given(st.floats(1e-8, 1e8), st.floats(1.001, 1e12))
def test_a_logarithmic_axis_has_2_to_7_numbers_inside(low, ratio):
    ticks = log_ticks(low, low * ratio)
    assert 2 <= len(ticks) <= 7 and list(ticks) == sorted(set(ticks))
    assert ticks[0] >= low and ticks[-1] <= low * ratio


def test_axes_suit_the_swept_values():
    assert key_axis(Values(("2", "4", "6"))).ticks == (2, 4, 6)
    assert key_axis(Values(("8", "512", "64"))).log and not key_axis(Values(("0", "512", "64"))).log
    assert key_axis(Values(("small", "2"))) is None and key_axis(Values(("nan", "1"))) is None
    scale = key_axis(Interval(1e-4, 1e-2, log=True))
    assert [scale.at(value) for value in (1e-4, 1e-3, 1e-2)] == pytest.approx([0, 0.5, 1])
