"""The real wandb client without a network: what an offline run keeps, how a mode is chosen, where files go."""

import io
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.sinks.samples import HEIGHT, KEYS, WIDTH, sample_media, sample_record
from tests.sinks.wandb_client import API_KEY, ReadBack, clean_environment
from vitcross.sinks.weights_and_biases.sink import WeightsAndBiases

OVERLAY = "attention/self/overlay"
ROOT = Path(__file__).resolve().parents[2]
CONFIG = {"model": {"embed_dim": 97, "patch_size": [11, 13]}, "seed": 3, "trainer": {"epochs": None}}


def start(tmp_path, **options):
    lines = []
    sink = WeightsAndBiases(run_folder=tmp_path / "outputs" / "a run", config=CONFIG, report=lines.append, **options)
    return sink, lines


def use(sink, steps=(0, 10, 20), captures=(0, 10, 20)):
    """A short run: rows, captures, an evaluation."""
    for step in steps:
        sink.scalars(step, {"epoch": step / 7, "train/loss": 1 / (1 + step)})
        if step in captures:
            sink.media(step, sample_media(step))
    sink.scalars(steps[-1], {"val/accuracy": 0.875, "val/loss": float("nan")})


def check_images(rows, read):
    """At every step each sheet is there, of its size, not blank, byte for byte the one that was made; the overlay as
    clean images with masks and boxes."""
    check_overlay(rows, read)
    for key in KEYS:
        if key == OVERLAY:
            continue
        entries = [(row["trainer/step"], row[key]) for row in rows if key in row]
        assert [step for step, _ in entries] == [0, 10, 20]
        for step, entry in entries:
            assert (entry["_type"], entry["width"], entry["height"]) == ("image-file", WIDTH, HEIGHT)
            sheet = sample_media(step).sheets[key]
            assert entry["caption"] == sheet.caption
            content = read(entry["path"])
            image = np.asarray(Image.open(io.BytesIO(content)))
            assert image.shape == (HEIGHT, WIDTH, 3) and image.std() > 10
            assert content == sheet.png


def check_overlay(rows, read):
    entries = [(row["trainer/step"], row[OVERLAY]) for row in rows if OVERLAY in row]
    assert [step for step, _ in entries] == [0, 10, 20]
    for step, entry in entries:
        record = sample_record(step)
        size = (7 * 22, 7 * 33)  # the largest whole factor within 256
        assert (entry["_type"], entry["height"], entry["width"], entry["count"]) == ("images/separated", *size, 5)
        assert entry["captions"][1].startswith("2. a cat 50 %. Step ")
        for i, path in enumerate(entry["filenames"]):
            clean = np.asarray(Image.open(io.BytesIO(read(path))))
            assert (clean == record.images[i].repeat(7, axis=0).repeat(7, axis=1)).all()
            masks = entry["all_masks"][i]
            assert set(masks) == {"raw", "rollout", "relevance"}
            relevance = np.asarray(Image.open(io.BytesIO(read(masks["relevance"]["path"]))))
            brightest = np.unravel_index(record.maps["relevance"][i].argmax(), (2, 3))
            cell = np.zeros((2, 3), bool)
            cell[brightest] = True
            # 6 patches: level 1 and 2 hold one each at most, level 3 two, level 4 three.
            assert ((relevance == 1) == cell.repeat(77, axis=0).repeat(77, axis=1)).all()
            assert np.unique(relevance).tolist() == [0, 1, 3, 4]
            # Every weight of the sample is the same: nothing stands out, so nothing is marked.
            assert not np.asarray(Image.open(io.BytesIO(read(masks["raw"]["path"])))).any()
            (box,) = json.loads(read(entry["all_boxes"][i]["truth"]["path"]))["box_data"]
            assert box["position"] == {"minX": 0.125, "maxX": 0.5, "minY": 0.25, "maxY": 0.75}


def test_offline_run_read_back(tmp_path, home):
    sink, lines = start(tmp_path, tags=("a", "b"), group="seeds", project="lab")
    use(sink)
    sink.close({"val/accuracy": 0.875, "best": {"step": np.int64(20), "path": tmp_path}}, 3)

    assert (sink.mode, sink.url) == ("offline", None)
    run = ReadBack(sink.folder, home)
    assert run.config == CONFIG
    assert run.exit_code == 3
    assert run.fields == {"name": "outputs/a run", "project": "lab", "tags": ["a", "b"], "entity": ""}
    assert run.curve("train/loss") == [(0, 1), (10, pytest.approx(1 / 11)), (20, pytest.approx(1 / 21))]
    assert run.curve("val/accuracy") == [(20, 0.875)] and run.curve("val/loss") == [(20, "NaN")]
    assert run.summary["best"] == {"step": 20, "path": str(tmp_path)}
    assert {"name": "trainer/step", "options": {"defined": True}} in [
        {key: metric.get(key) for key in ("name", "options")} for metric in run.metrics
    ]
    assert any(m.get("glob_name") == "*" and m["step_metric"] == "trainer/step" for m in run.metrics)
    check_images(run.rows, lambda path: (sink.folder / "files" / path).read_bytes())
    assert len(lines) == 2
    assert "offline, no API key is configured" in lines[0]
    assert all(line.endswith(sink.sync_command) for line in lines)
    assert sink.sync_command.startswith("wandb sync '") and str(sink.folder) in sink.sync_command


def test_folders_stay_inside_and_the_environment_is_restored(tmp_path, home):
    before = dict(os.environ)
    sink, _ = start(tmp_path)
    assert os.environ["WANDB_DATA_DIR"].startswith(str(tmp_path / "outputs" / "a run" / "wandb"))
    sink.close({}, 0)
    assert dict(os.environ) == before
    sink.close({}, 0)  # a second time is nothing
    sink.scalars(1, {})
    sink.media(1, sample_media(1))


SCRIPT = """
    import os, signal, sys, time
    from tests.sinks.samples import sample_media
    from vitcross.sinks.weights_and_biases.sink import WeightsAndBiases

    sink = WeightsAndBiases(run_folder=sys.argv[1], config={"seed": 3})
    for step in range(41):
        sink.scalars(step, {"train/loss": 1.0})
    sink.media(41, sample_media(41))
    if sys.argv[2] == "killed":
        time.sleep(4)  # twice the interval in which wandb writes its buffer out
        os.kill(os.getpid(), signal.SIGKILL)
    sink.close({}, 0)
"""


def run_script(tmp_path, home, how):
    elsewhere = {name: tmp_path / name for name in ("temporary", "working")}
    for folder in elsewhere.values():
        folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), tmp_path / "run", how],
        env=clean_environment(home, TMPDIR=str(elsewhere["temporary"]), PYTHONPATH=str(ROOT)),
        cwd=elsewhere["working"],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    return done, [home, *elsewhere.values()]


def test_nothing_is_written_outside_the_run_folder_and_nothing_is_asked(tmp_path, home):
    done, elsewhere = run_script(tmp_path, home, "finished")
    assert done.returncode == 0, done.stderr
    assert {folder.name: list(folder.rglob("*")) for folder in elsewhere} == {f.name: [] for f in elsewhere}
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 2
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["wandb"]
    assert not list((tmp_path / "run" / "wandb").glob("sheets-*"))


def test_a_killed_process_loses_at_most_the_last_seconds(tmp_path, home):
    done, _ = run_script(tmp_path, home, "killed")
    assert done.returncode == -signal.SIGKILL
    (folder,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    run = ReadBack(folder, home)
    assert [step for step, _ in run.curve("train/loss")] == list(range(41))
    assert run.exit_code == "no exit record"


def test_disabled_imports_and_writes_nothing(tmp_path, home):
    code = (
        "import sys; from vitcross.sinks.weights_and_biases.sink import WeightsAndBiases as W\n"
        f"s = W(run_folder={str(tmp_path / 'run')!r}, mode='disabled'); s.scalars(1, {{}}); s.close({{}}, 0)\n"
        "sys.exit('wandb' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=clean_environment(home), capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("said", "mode"), [("offline", "offline"), ("dryrun", "offline"), ("disabled", "disabled")])
def test_auto_respects_the_settings_of_wandb(tmp_path, home, monkeypatch, said, mode):
    monkeypatch.setenv("WANDB_MODE", said)
    monkeypatch.setenv("WANDB_API_KEY", API_KEY)
    sink, lines = start(tmp_path)
    sink.close({}, 0)
    assert sink.mode == mode
    assert mode == "disabled" or f"W&B's own settings say {said}" in lines[0]


@pytest.mark.parametrize("source", ["nothing", "malformed key", "netrc of another host"])
def test_online_without_a_usable_key_is_offline_and_asks_nothing(tmp_path, home, monkeypatch, source):
    if source == "malformed key":
        monkeypatch.setenv("WANDB_API_KEY", "short")
    if source == "netrc of another host":
        (home / ".netrc").write_text(f"machine example.org\n  login user\n  password {API_KEY}\n")
    sink, lines = start(tmp_path, mode="online")
    sink.close({}, 0)
    assert sink.mode == "offline"
    assert ("API key must have" if source == "malformed key" else "no API key is configured") in lines[0]


def test_a_sweep_keeps_its_own_project(tmp_path, home, monkeypatch, capsys):
    for name, value in {"SWEEP_ID": "s1", "PROJECT": "of-the-sweep", "ENTITY": "lab", "RUN_ID": "r1"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    sink, _ = start(tmp_path, mode="offline")
    sink.close({}, 0)
    fields = ReadBack(sink.folder, home).fields
    assert (sink.run_id, fields["project"], fields["entity"]) == ("r1", "of-the-sweep", "lab")
    assert capsys.readouterr().err == ""


def test_the_sink_is_disabled_if_wandb_cannot_start(tmp_path, home, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "nonsense")
    before = dict(os.environ)
    sink, lines = start(tmp_path)
    sink.scalars(1, {"train/loss": 1.0})
    sink.close({}, 0)
    assert sink.mode == "disabled" and sink.sync_command is None
    assert len(lines) == 1 and "disabled" in lines[0] and "base_url" in lines[0]
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "on"}, "sinks.wandb.mode must be one of auto, online, offline, disabled. Received: mode='on'"),
        ({"finish_timeout": 0}, "sinks.wandb.finish_timeout must be a positive number of seconds. Received"),
        ({"init_timeout": -1}, "sinks.wandb.init_timeout must be"),
        ({"base_url": "wandb.example.org"}, "sinks.wandb.base_url must start with http"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        start(tmp_path, **options)
    assert not (tmp_path / "outputs").exists()
