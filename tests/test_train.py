"""The commands as a user types them, in processes of their own, on a few scenes in the real format."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

import vitcross
from vitcross.attention_maps.records.record import AttentionRecord

ROOT = Path(__file__).resolve().parent.parent


def run(script, *arguments, cwd=ROOT, **kwargs):
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300, **kwargs)


def start(script, *arguments):
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def wait_for_training(process, folder):
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        if (folder / "metrics.jsonl").exists() and '"train/loss"' in (folder / "metrics.jsonl").read_text():
            return
        time.sleep(0.2)
    pytest.fail("training did not begin: " + process.communicate()[0].decode())


def rows(folder):
    return [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def trained(tiny_scenes, tmp_path_factory):
    """`(folder, finished process)` of a small run with an awkward length: 11 steps, validated every 4."""
    folder = tmp_path_factory.mktemp("run") / "first"
    length = ["trainer.steps=11", "trainer.evaluate_every=4", "attention_maps.trust_captures=2"]
    done = run("train.py", *tiny_scenes, *length, f"hydra.run.dir={folder}")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done


def test_the_console_says_what_is_done_from_the_first_line(trained):
    folder, done = trained
    lines = done.stdout.splitlines()
    assert lines[0].startswith("experiment")
    assert [line.split()[0] for line in lines[:5]] == ["experiment", "data", "model", "length", "results"]
    for expected in (
        "starting TensorFlow",
        "device      CPU",
        "compiling the training step",
        str(folder),
        "index.html",
    ):
        assert expected in done.stdout
    assert "step 11/11" in done.stdout
    assert "cuInit" not in done.stderr and "\x1b" not in done.stdout


def test_the_run_folder_holds_what_the_contract_says(trained):
    folder, _ = trained
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["model"]["num_classes"] == 8 and config["data"]["image_size"] == [32, 40]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["state"] == "finished" and summary["steps"] == 11 and summary["exit_code"] == 0
    assert {"parameters", "speed/images_per_second", "time/to_first_step_seconds", "val/accuracy"} <= summary.keys()
    assert 0 < summary["time/attention_maps_seconds"] < summary["time/total_seconds"]
    index = json.loads((folder / "checkpoints/index.json").read_text())
    assert index["latest"] == "step_00000011"
    steps = sorted(path.name for path in (folder / "attention").glob("step_*"))
    assert steps == ["step_00000000", "step_00000003", "step_00000011"]
    for name in ("probe", "self_overlay", "self_methods", "self_heads", "self_layers"):
        assert (folder / "attention" / steps[-1] / f"{name}.png").stat().st_size > 0
    for name in ("record.npz", "../viewer.html", "../evolution.gif"):
        assert (folder / "attention" / steps[-1] / name).stat().st_size > 0
    assert (folder / "attention/index.html").exists()


def test_metrics_are_means_of_their_interval_under_the_agreed_keys(trained):
    table = rows(trained[0])
    train = [row for row in table if "train/loss" in row]
    assert [row["step"] for row in train] == [1, 2, 4, 6, 8, 10, 11]  # and the end of each interval
    assert {"epoch", "train/accuracy", "optimizer/learning_rate", "optimizer/gradient_norm"} <= train[-1].keys()
    assert train[-1]["epoch"] == pytest.approx(11 * 8 / 48)
    assert all("epoch" in row for row in table)
    validation = [row for row in table if "val/loss" in row]
    assert [row["step"] for row in validation] == [4, 8, 11]
    assert any(key.startswith("val/accuracy/objects_") for key in validation[0])
    captures = [row for row in table if "attention_stats/entropy/mean" in row]
    assert [row["step"] for row in captures] == [0, 3, 11]
    assert {"grounding/rollout/lift", "grounding/raw/pointing"} <= captures[0].keys()
    measured = [row["step"] for row in captures if "trust/relevance/gap" in row]
    assert measured == [0, 11] and captures[-1]["trust/examples"] == 5
    assert {f"trust/{m}/verdict" for m in ("raw", "rollout", "relevance", "leave_one_out")} <= captures[-1].keys()


def test_evaluate_equals_the_validation_of_training(trained):
    folder, _ = trained
    done = run(
        "evaluate.py", f"run={folder}", "checkpoint=latest", "sinks.wandb.mode=disabled", "batch_size=7", "num_probes=3"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = json.loads((folder / "evaluation/validation/metrics.json").read_text())
    last = [row for row in rows(folder) if "val/loss" in row][-1]
    assert metrics["accuracy"] == last["val/accuracy"]
    assert metrics["loss"] == pytest.approx(last["val/loss"], rel=1e-5)
    assert metrics["examples"] == 19
    with (folder / "evaluation/validation/predictions.csv").open() as file:
        predictions = list(csv.DictReader(file))
    assert len({row["example"] for row in predictions}) == 19
    assert np.mean([int(row["correct"]) for row in predictions]) == pytest.approx(metrics["accuracy"])
    for name in ("confusion_matrix.png", "confusion_matrix.json", "attention/self_layers.png", "attention/trust.png"):
        assert (folder / "evaluation/validation" / name).exists()
    measured = json.loads((folder / "evaluation/validation/trust.json").read_text())
    methods = ["raw", "rollout", "relevance", "leave_one_out"]
    assert list(measured["report"]["fidelity"]) == list(measured["blurred"]) == methods
    # All 19 examples, of which 3 are shown, are few: 13 of training too; every one of the 20 patches is a step.
    assert measured["report"]["splits"] == {"validation": 19, "train": 13}
    assert measured["report"]["measured"] == [True] * 3 and measured["report"]["examples"] == 32
    assert len(measured["curves"]["relevance"]["kept"]) == 20
    assert set(measured["report"]["grounding"]) == set(methods)
    (table,) = measured["heads"]["importance"].values()
    assert (
        len(table) == 2
        and len(table[0]) == 2
        and set(measured["heads"]["drop"]) == set(measured["heads"]["importance"])
    )
    assert (folder / "evaluation/validation/attention/heads_importance.png").exists()
    assert "maps, measured on 19 validation and 13 training examples, all 3 images shown here" in done.stdout
    assert "<!doctype html>" in (folder / "evaluation/validation/attention/viewer.html").read_text()


def results(folder):
    """Folders of what was said of own images, oldest first."""
    return sorted((Path(folder) / "evaluation/images").iterdir(), key=lambda path: path.stat().st_mtime)


def test_evaluate_explains_own_images_of_any_size_and_name(trained, tmp_path):
    from PIL import Image

    folder, _ = trained
    images = tmp_path / "a, b=c"
    images.mkdir()
    Image.new("RGB", (97, 41), "red").save(images / "wide [1].jpg")
    Image.new("L", (13, 29)).save(images / "gray.png")
    (images / "broken.jpg").write_bytes(b"not an image")
    (images / "notes.txt").write_text("no image")
    own = [f"run={folder}", f"images={images}/*", "sinks.wandb.mode=disabled"]
    done = run("evaluate.py", *own, "target=Star")
    assert done.returncode == 0, done.stdout + done.stderr
    lines, (found,) = done.stdout.splitlines(), results(folder)
    # What was left out, predictions, maps, then the check, and the page last.
    starts = (
        "left out: 1 x .txt",
        "2 images, 1 not readable",
        "  gray.png",
        "  wide [1].jpg",
        "  not readable, left out: ",
    )
    places = [next(n for n, line in enumerate(lines) if line.startswith(start)) for start in starts]
    assert places == list(range(places[0], places[0] + 5)) and "broken.jpg" in lines[places[-1]]
    viewer = found / "attention/images_00001/viewer.html"
    assert [line.split()[0] for line in lines[places[-1] + 1 :][:3]] == ["predictions", "maps", "checking"]
    assert lines[-1] == f"page  {viewer}" and viewer.exists()
    assert "coarse: 8 steps for 20 patches" in done.stdout
    # Pages name files, and no folder of this machine.
    page = viewer.read_text()
    assert "wide [1].jpg" in page and str(images) not in page and str(folder) not in page
    record = AttentionRecord.load(viewer.parent / "record.npz")
    assert record.images.shape == (2, 32, 40, 3) and record.targets == ("star", "star")
    # Two images are too few to tell, but each has its own numbers.
    assert record.trust.fidelity["relevance"].verdict in (-1, -2) and len(record.trust.probes["relevance"]) == 2
    with (found / "predictions.csv").open() as file:
        assert [row["example"] for row in csv.DictReader(file)] == ["gray.png", "wide [1].jpg"]


def test_a_target_that_does_not_exist_is_refused_before_tensorflow_starts(trained, tmp_path):
    from PIL import Image

    Image.new("RGB", (50, 70), "blue").save(tmp_path / "x.png")
    done = run("evaluate.py", f"run={trained[0]}", f"images={tmp_path}/x.png", "target=starr")
    assert done.returncode == 2 and "starting TensorFlow" not in done.stdout
    assert "target must be one of star, " in done.stderr and "Received: target='starr'" in done.stderr


def test_two_runs_are_compared_without_a_model(trained, tmp_path):
    folder, _ = trained
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    done = run("evaluate.py", f"run={folder}", f"compare={other}")
    assert done.returncode == 0 and done.stderr == ""
    page = folder / "attention" / "compare_other.html"
    assert str(page) in done.stdout and "starting TensorFlow" not in done.stdout
    assert "first" in page.read_text() and "other" in page.read_text()
    shutil.rmtree(other / "attention")
    done = run("evaluate.py", f"run={folder}", f"compare={other}")
    assert done.returncode == 1 and "must have captures" in done.stderr
    done = run("evaluate.py", f"run={folder}", f"compare={tmp_path}")
    assert done.returncode == 2 and "compare must be the folder of a run" in done.stderr


def test_load_gives_model_preprocessing_and_names(trained, tmp_path):
    from PIL import Image

    model, preprocess, class_names = vitcross.load(trained[0])
    Image.new("RGB", (50, 70), "blue").save(tmp_path / "x.png")
    image = preprocess(tmp_path / "x.png")
    assert image.shape == (32, 40, 3) and image.dtype == np.float32
    logits, weights = model(image[None], return_attention_scores=True)
    assert logits.shape == (1, len(class_names)) and len(weights) == 2


def test_the_notebook_of_the_readme_runs(trained, tmp_path):
    """The block of the README that explains own images, word for word but for its two paths."""
    from PIL import Image

    Image.new("RGB", (50, 70), "blue").save(tmp_path / "cat.jpg")
    text = (ROOT / "README.md").read_text()
    (block,) = [b for b in re.findall(r"```python\n(.*?)```", text, flags=re.S) if "write_viewer" in b]
    block = re.sub(r'"outputs/[^"]*"', repr(str(trained[0])), block)
    block = block.replace('"cat.jpg"', repr(str(tmp_path / "cat.jpg"))).replace(
        '"cat.html"', repr(str(tmp_path / "cat.html"))
    )
    *statements, shown = block.strip().splitlines()
    names = {}
    exec("\n".join(statements), names)
    assert eval(shown, names)._repr_png_().startswith(b"\x89PNG")
    assert (tmp_path / "cat.html").stat().st_size > 10_000


def test_capture_on_or_off_leaves_the_losses_bit_identical(trained, tiny_scenes, tmp_path):
    done = run(
        "train.py", *tiny_scenes, "trainer.steps=11", "trainer.evaluate_every=4", "attention_maps=off",
        f"hydra.run.dir={tmp_path / 'off'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    keys = ("train/loss", "train/accuracy", "optimizer/gradient_norm", "val/loss", "val/accuracy")

    def curve(folder):
        return [(row["step"], key, row[key]) for row in rows(folder) for key in keys if key in row]

    assert curve(tmp_path / "off") == curve(trained[0])
    assert not (tmp_path / "off/attention").exists() or not list((tmp_path / "off/attention").glob("step_*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_closes_and_exits_with_its_number(number, tiny_scenes, tmp_path):
    folder = tmp_path / "run"
    process = start("train.py", *tiny_scenes, "trainer.steps=100000", f"hydra.run.dir={folder}")
    wait_for_training(process, folder)
    process.send_signal(number)
    output = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 128 + number, output
    assert output.splitlines()[-1].startswith("resume with: python ")
    assert output.rstrip().endswith(f"train.py resume={folder}")
    summary = json.loads((folder / "summary.json").read_text())
    assert signal.Signals(number).name in summary["state"]
    step = json.loads((folder / "checkpoints/index.json").read_text())["latest"]
    assert step == f"step_{summary['steps']:08d}"
    vitcross.load(folder)


def test_a_loss_that_explodes_stops_the_run_and_names_the_step(tiny_scenes, tmp_path):
    folder = tmp_path / "run"
    done = run(
        "train.py", *tiny_scenes, "trainer.steps=50", "trainer.evaluate_every=1", "optimizer.learning_rate=1e38",
        "optimizer.warmup=2", f"hydra.run.dir={folder}",
    )  # fmt: skip
    assert done.returncode == 1
    assert "is not finite at step" in done.stderr and "Traceback" not in done.stderr
    assert (folder / "traceback.txt").exists()
    assert done.stderr.rstrip().endswith(f"train.py resume={folder}")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["state"].startswith("failed at step") and summary["exit_code"] == 1
    step = int(json.loads((folder / "checkpoints/index.json").read_text())["latest"].removeprefix("step_"))
    assert 0 < step <= summary["steps"]


def test_a_folder_with_a_run_is_refused(trained, tiny_scenes):
    done = run("train.py", *tiny_scenes, f"hydra.run.dir={trained[0]}")
    assert done.returncode == 2 and "holds a run with other settings" in done.stderr
    assert "  trainer.steps: 11 -> 1200" in done.stderr.splitlines()


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_all_agree_on_the_step(policy, tiny_scenes, tmp_path):
    folder = tmp_path / "run"
    done = run(
        "train.py", *tiny_scenes, "trainer.steps=6", "trainer.evaluate_every=3", f"trainer.dtype_policy={policy}",
        f"hydra.run.dir={folder}",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    table = rows(folder)
    assert json.loads((folder / "summary.json").read_text())["steps"] == 6
    assert max(row["step"] for row in table if "train/loss" in row) == 6
    assert [row["step"] for row in table if "val/loss" in row][-1] == 6
    assert json.loads((folder / "checkpoints/index.json").read_text())["latest"] == "step_00000006"
    record = AttentionRecord.load(folder / "attention/step_00000006/record.npz")
    for weights in record.weights.values():
        assert weights.dtype == np.float32
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    import keras

    before = keras.config.dtype_policy().name
    vitcross.load(folder)
    assert keras.config.dtype_policy().name == before


def test_two_runs_of_one_second_get_two_folders(tmp_path):
    from vitcross.experiment.run_folder import claim_folder

    assert len({claim_folder(tmp_path) for _ in range(5)}) == 5


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("train.py", ["optimizer.lrr=1"], "Did you mean 'optimizer.learning_rate'"),
        ("train.py", ["data=image_folder", "data.root=/nonexistent/images"], "/nonexistent/images"),
        ("train.py", ["data=image_folder"], "data.root"),
        ("train.py", ["-m", "model.num_heads=4,7"], "num_heads must divide"),
        ("evaluate.py", [], "run must be given"),
        ("evaluate.py", ["run=/nonexistent"], "run must be the folder of a run"),
        ("evaluate.py", ["run=.", "splt=test"], "Did you mean 'split'"),
    ],
)
def test_a_wrong_command_ends_with_status_2_and_one_message(script, arguments, message, tmp_path):
    done = run(script, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.startswith("vitcross: ")
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
def test_help_is_a_page_with_commands_and_keys(script):
    done = run(script, "--help")
    assert done.returncode == 0
    assert f"python {script}" in done.stdout and "KEYS" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_flags_print_the_configuration_and_run_nothing(tmp_path):
    typed = ["optimizer.learning_rate=0.25", "trainer.epochs=3"]
    for arguments in (["--cfg", "job", *typed], [*typed, "--cfg", "job", "--resolve"]):
        done = run("train.py", *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        printed = yaml.safe_load(done.stdout)
        assert printed["optimizer"]["learning_rate"] == 0.25
        assert (printed["trainer"]["steps"], printed["trainer"]["epochs"]) == (None, 3)
    assert "sweeper" in yaml.safe_load(run("train.py", "--cfg", "hydra", cwd=tmp_path).stdout)["hydra"]
    for script, arguments in (("train.py", ["--resolve"]), ("train.py", ["-p", "seed=1"]), ("evaluate.py", ["-m"])):
        done = run(script, *arguments, cwd=tmp_path)
        assert done.returncode == 2 and "says nothing by itself" in done.stderr
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_outside_run_folder_and_data(tiny_scenes, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home)}
    done = run(
        "train.py", *tiny_scenes[:-1], "trainer.steps=1", "sinks.wandb.mode=offline", "hydra.run.dir=here",
        cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"home", "here"}
    written = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
    assert written <= {".keras/keras.json"}, written  # Keras makes its own settings file when it is imported


def test_an_evaluation_reports_where_its_run_did(tmp_path):
    """Also that nothing is uploaded, where the run was not to be."""
    from vitcross.config import compose
    from vitcross.experiment import finished_run

    run_config, _ = compose.compose("train", ["sinks.wandb.mode=disabled", "sinks.wandb.project=mine"])
    settings, _ = compose.compose("evaluate", [f"run={tmp_path}"])
    (sink,) = finished_run.evaluation_sink(settings, run_config, tmp_path).sinks
    assert sink.mode == "disabled" and not list(tmp_path.iterdir())
    typed, _ = compose.compose("evaluate", [f"run={tmp_path}", "sinks.wandb.mode=offline"])
    fan_out = finished_run.evaluation_sink(typed, run_config, tmp_path)
    assert fan_out.sinks[0].mode == "offline"
    fan_out.close({}, 0)
