"""The main job in full: what the README promises of `python train.py`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_the_default_run_learns_the_scenes_and_looks_at_the_object(tmp_path):
    command = [sys.executable, "train.py", f"data.data_dir={tmp_path / 'data'}", f"hydra.run.dir={tmp_path / 'run'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["val/accuracy"] >= 0.95
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    lifts = [row["grounding/rollout/lift"] for row in rows if "grounding/rollout/lift" in row]
    assert lifts[0] < 1.5, "an untrained model does not know where the object is"
    assert lifts[-1] > 3
    last = [row for row in rows if "trust/relevance/verdict" in row][-1]
    assert last["trust/relevance/verdict"] == 1 and last["grounding/relevance/pointing"] >= 0.9


@pytest.mark.slow
def test_real_fashion_mnist_trains(tmp_path):
    """A few steps on the real set, where it is prepared (TFDS_DATA_DIR); otherwise the skip says what is missing."""
    from vitcross.data.sources.tfds_prepare import prepared_builder

    try:
        prepared_builder(name="fashion_mnist")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    command = [sys.executable, "train.py", "experiment=fashion_mnist", "trainer.steps=60", "trainer.evaluate_every=60"]
    done = subprocess.run(
        [*command, "sinks=local", f"hydra.run.dir={tmp_path}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "summary.json").read_text())["val/accuracy"] > 0.3  # chance: 0.1
