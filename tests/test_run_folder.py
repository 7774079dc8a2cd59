"""Run folders before anything heavy is there: in use, finished, of another experiment; what is typed with `resume`."""

import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_train import ROOT, run
from vitcross.command_line.arguments import with_latest
from vitcross.config import compose
from vitcross.config.typed_text import quote
from vitcross.experiment import resume, run_folder
from vitcross.experiment.parts import dataset_properties

HOLD = "import sys, time; from vitcross.experiment import run_folder as runs; runs.lock(sys.argv[1]); "
HOLD += "print('held', flush=True); "
keys = st.sampled_from(["seed", "trainer.steps", "model.depth", "optimizer.learning_rate"])


@pytest.fixture
def begun(tmp_path):
    """`(folder, configuration)` of a run that was begun and got nowhere."""
    settings, choices = compose.compose("train", ["trainer.steps=17", "model.depth=2"])
    run_folder.begin(settings, choices, tmp_path / "run")
    run_folder._LOCKS.pop().close()  # other processes, and this one again, take the folder
    return tmp_path / "run", settings


def holder(folder, then="time.sleep(60)"):
    command = [sys.executable, "-c", HOLD + then, str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_folder_in_use_is_refused_until_its_process_is_killed(begun):
    folder, _ = begun
    process = holder(folder)
    done = run("train.py", f"resume={folder}")
    assert done.returncode == 2 and "is in use by a live run" in done.stderr and str(folder) in done.stderr
    again = run("train.py", "trainer.steps=17", "model.depth=2", f"hydra.run.dir={folder}")
    assert again.returncode == 2 and "is in use by a live run" in again.stderr
    process.kill()
    process.wait()
    holder(folder, "").wait()  # what a killed process leaves holds nobody back


def test_a_child_that_outlives_its_run_does_not_hold_the_folder(tmp_path):
    process = holder(tmp_path, "import os; os.fork() or time.sleep(30); time.sleep(30)")
    time.sleep(0.2)
    process.kill()
    process.wait()
    holder(tmp_path, "").wait()


def test_the_threads_of_the_first_part_stay(begun):
    folder, _ = begun
    path = folder / "run.json"
    kept = json.loads(path.read_text())
    assert kept["threads"] == run_folder.num_threads(folder) >= 1 and kept["choices"]["data"] == "scenes"
    path.write_text(json.dumps({**kept, "threads": 13}))
    assert run_folder.num_threads(folder) == 13


def test_resume_is_the_configuration_of_the_run_and_what_is_typed(begun):
    folder, settings = begun
    before, now = compose.resumed(folder, [])
    assert before == now == settings
    _, now = compose.resumed(folder, ["sinks.console.progress=lines", "trainer.epochs=3", "attention_maps=off"])
    assert now["sinks"]["console"]["progress"] == "lines" and now["model"]["depth"] == 2
    assert (now["trainer"]["steps"], now["trainer"]["epochs"]) == (None, 3)
    assert now["attention_maps"]["enabled"] is False


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["optimizer.lrr=1"], "Did you mean 'optimizer.learning_rate'"),
        (["optimizer.learning_rate=fast"], "optimizer.learning_rate must be"),
        (["model=vision_transformer"], "model cannot be chosen again"),
        (["experiment=fashion_mnist"], "experiment cannot be chosen again"),
        (["+trainer.more=1"], "keys that its run has"),
        (["seed=1,2"], "keys that its run has"),
        (["trainer.steps=5", "trainer.epochs=2"], "type one of them"),
    ],
)
def test_a_wrong_key_beside_resume_is_refused(begun, typed, message):
    with pytest.raises(ValueError, match=message):
        compose.resumed(begun[0], typed)


def test_what_the_data_fills_in_is_no_other_setting():
    """A command that is typed again leaves open what `config.yaml` has filled in."""
    data = SimpleNamespace(
        image_shape=(11, 13, 3),
        num_classes=5,
        multilabel=False,
        max_text_length=7,
        options=SimpleNamespace(value_range=(0, 4095)),
        tokenizer=SimpleNamespace(vocabulary_size=17),
    )
    assert dataset_properties(data).keys() <= set(run_folder.FROM_DATA)


def test_other_settings_are_listed_and_refused_unless_they_are_allowed(begun, capsys):
    folder, _ = begun
    typed = [f"resume={folder}", "optimizer.learning_rate=0.25", "trainer.steps=19", "trainer.keep_checkpoints=5"]
    with pytest.raises(ValueError, match="other settings") as refused:
        resume.resume(typed)
    lines = str(refused.value).splitlines()[1:]
    assert lines == ["  optimizer.learning_rate: 0.001 -> 0.25", "  trainer.steps: 17 -> 19"]
    resumed = resume.resume([*typed, "allow_changes=true"])
    assert resumed.settings["optimizer"]["learning_rate"] == 0.25 and str(resumed.folder) == str(folder)
    assert "changed     trainer.steps: 17 -> 19" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["resume=/nonexistent"], "resume must be the folder of a run"),
        (["resume=x", "hydra.run.dir=y"], "hydra.run.dir cannot be typed beside it"),
        (["resume=x", "allow_changes=maybe"], "allow_changes must be true or false"),
    ],
)
def test_what_cannot_be_gone_on_with(typed, message):
    with pytest.raises(ValueError, match=message):
        resume.resume(typed)


def test_the_same_command_again_goes_on_and_another_one_is_refused(begun):
    folder, settings = begun
    assert resume.resume_same_folder(folder, settings, {"data": "scenes"}).folder == folder
    with pytest.raises(ValueError, match="seed: 0 -> 7"):
        resume.resume_same_folder(folder, {**settings, "seed": 7}, {})


def test_a_finished_run_says_so_and_exits_0(begun):
    folder, _ = begun
    summary = {"state": "finished", "steps": 17, "best/metric": "val/accuracy", "best/value": 0.5}
    (folder / "summary.json").write_text(json.dumps({**summary, "best/checkpoint": "step_00000017"}))
    done = run("train.py", f"resume={folder}", "sinks.console.progress=lines")
    assert done.returncode == 0 and "has finished at step 17" in done.stdout and "val/accuracy 0.5" in done.stdout
    assert "TensorFlow" not in done.stdout
    (folder / "summary.json").write_text(json.dumps({**summary, "state": "interrupted by SIGTERM at step 9"}))
    assert run_folder.finished(folder) is None


@given(st.dictionaries(keys, st.integers(0, 3)), st.dictionaries(keys, st.integers(0, 3)))
def test_differences_are_the_keys_whose_values_differ(first, second):
    found = run_folder.differences(first, second)
    differing = sorted(key for key in first.keys() | second.keys() if first.get(key) != second.get(key))
    assert [line.split(":")[0] for line in found] == differing


def test_what_the_data_fills_in_and_another_way_to_write_a_size_are_no_differences():
    before = {"data": {"image_size": [32, 32], "num_classes": 8}, "model": {"patch_size": [8, 8], "pooling": "cls"}}
    after = {"data": {"image_size": 32, "num_classes": None}, "model": {"patch_size": 8, "pooling": None}}
    assert run_folder.differences(before, after) == ["model.pooling: cls -> null"]


def test_a_run_that_was_killed_is_no_finished_one(tmp_path):
    assert run_folder.finished(tmp_path) is None
    (tmp_path / "summary.json").write_text('{"state": "fini')
    assert run_folder.finished(tmp_path) is None


def test_latest_is_the_run_that_was_begun_last_and_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        with_latest(["run=latest"], "evaluate")
    assert "run=latest: latest is the newest run of a folder, and there is none in" in capsys.readouterr().err
    for age, name in enumerate(("b/second", "a/first", "c")):
        folder = tmp_path / "outputs" / name
        folder.mkdir(parents=True)
        (folder / run_folder.ORIGIN).write_text("{}")
        os.utime(folder / run_folder.ORIGIN, (1000 - age, 1000 - age))
    (tmp_path / "outputs/d").mkdir()
    typed = ["seed=1", "resume=latest", "data.name=latest", "run=latest"]
    assert with_latest(typed) == ["seed=1", f"resume={tmp_path / 'outputs/b/second'}", "data.name=latest", "run=latest"]
    assert capsys.readouterr().out == f"resume={tmp_path / 'outputs/b/second'}\n"
    (tmp_path / "latest").mkdir()
    assert with_latest(typed) == typed


def test_a_run_keeps_what_was_typed_beside_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    typed = ["data=image_folder", "data.root=my photos", "sinks.wandb.name=a\nb: c"]
    settings, choices = compose.check_arguments("train", [quote(text, "train") for text in typed[:2]])
    run_folder.begin(settings, choices, tmp_path / "run", typed)
    text = (tmp_path / "run/config.yaml").read_text()
    first, second, _ = text.split("\n", 2)
    assert first == "# python train.py data=image_folder 'data.root=my photos' 'sinks.wandb.name=a?b: c'"
    assert second == f"# typed in {tmp_path}"
    assert compose.read_run(tmp_path / "run")["data"]["root"] == str(tmp_path / "my photos")
