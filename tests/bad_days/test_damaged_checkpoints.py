"""A finished run whose files were damaged on disk: refused with the file's name, never answered with garbage."""

import json
import shutil

import pytest

import vitcross
from tests.killing import tiny_classifier
from tests.training.tiny import tiny_task
from vitcross.config import compose
from vitcross.config.compatibility import ConfigError
from vitcross.experiment import finished_run
from vitcross.training.checkpoint import problem_of, read_header
from vitcross.training.checkpoints import Checkpoints
from vitcross.training.optimizer import adamw
from vitcross.training.progress import TrainingProgress


@pytest.fixture(scope="module")
def finished(runs, tmp_path_factory):
    """A run with two checkpoints; the best is not the latest."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    command = [*tiny_classifier(folder.parent / "data"), "trainer.steps=4", "trainer.evaluate_every=2"]
    log = folder.with_suffix(".log")
    assert runs.run(*command, "attention_maps=off", f"hydra.run.dir={folder}", log=log) == 0, log.read_text()
    index = json.loads((folder / "checkpoints/index.json").read_text())
    index["best"] = "step_00000002"
    (folder / "checkpoints/index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def flip(path, place=-9, bit=1):
    content = bytearray(path.read_bytes())
    content[place] ^= bit
    path.write_bytes(content)


DAMAGES = {
    "weights.safetensors": [
        lambda path: flip(path),
        lambda path: path.write_bytes(path.read_bytes()[:-5]),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
    ],
    "checkpoint.json": [
        lambda path: path.write_text(path.read_text().replace('"triangle"', '"triangld"')),
        lambda path: path.write_text(path.read_text()[:99]),
        lambda path: path.write_text("[]"),
        lambda path: path.write_bytes(b"\xff\xfe"),
        lambda path: path.unlink(),
    ],
}


@pytest.mark.parametrize(("file", "damage"), [(file, damage) for file in DAMAGES for damage in DAMAGES[file]])
def test_a_damaged_checkpoint_is_named_and_the_other_one_offered(file, damage, run):
    damage(run / "checkpoints/step_00000002" / file)
    with pytest.raises(ConfigError, match=file) as caught:
        vitcross.load(run)
    assert str(run / "checkpoints/step_00000002") in str(caught.value)
    assert "evaluate.py takes step_00000004 with checkpoint=latest" in str(caught.value)
    path, header = finished_run.open_checkpoint(run, "latest")
    assert path.name == "step_00000004" and header["step"] == 4
    finished_run.load_task(compose.open_run(run), path)


def test_evaluate_needs_no_state_of_training(run):
    flip(run / "checkpoints/step_00000002/training_state.safetensors")
    model, _, class_names = vitcross.load(run)
    assert model.built and len(class_names) == 8


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\0\0\0", '{"latest": 3, "best": {}}', '{"lbtest": "x"}'])
def test_a_damaged_index_is_named_and_the_latest_found_without_it(text, run):
    (run / "checkpoints/index.json").write_text(text)
    with pytest.raises(ConfigError, match=r"index.json is missing or damaged.* step_00000002, step_00000004"):
        finished_run.open_checkpoint(run)
    assert finished_run.open_checkpoint(run, "latest")[0].name == "step_00000004"


def test_an_index_that_names_a_missing_folder(run):
    shutil.rmtree(run / "checkpoints/step_00000002")
    with pytest.raises(ConfigError, match=r"the best checkpoint is step_00000002, there are step_00000004"):
        finished_run.open_checkpoint(run)


def test_evaluate_ends_with_one_message(runs, run):
    flip(run / "checkpoints/step_00000002/weights.safetensors")
    log = run / "log"
    assert runs.run(f"run={run}", "sinks.wandb.mode=disabled", log=log, script="evaluate.py") == 1
    *_, first, second = log.read_text().strip().splitlines()
    assert first.startswith(f"vitcross: the checkpoint {run / 'checkpoints/step_00000002'} cannot be used: weights.saf")
    assert second.strip().startswith("The traceback is in ") and "Traceback" not in log.read_text()


@pytest.mark.filterwarnings("ignore")
def test_whichever_bit_flips_nothing_else_is_read(tmp_path):
    """Every byte of the JSON of a checkpoint: told as damaged, or read as what was written (white space)."""
    task = tiny_task()
    task.compile(optimizer=adamw(model=task.network, total_steps=9, learning_rate=0.01, warmup_steps=0))
    progress = TrainingProgress(step=3, batches=3, rows=2, callbacks={"maps": {"last_row": 2}})
    metrics = {"accuracy": 0.5, "loss": float("nan")}
    path = Checkpoints(tmp_path).save(task, progress=progress, metrics=metrics, class_names=("größe", "b"))
    file, whole = path / "checkpoint.json", json.dumps(read_header(path))
    content = file.read_bytes()
    told = 0
    for place in range(len(content)):
        flip(file, place, bit=1 << place % 8)
        told += problem_of(path) is not None
        assert problem_of(path) or json.dumps(read_header(path)) == whole
        file.write_bytes(content)
    assert problem_of(path) is None and told > 0.7 * len(content)
