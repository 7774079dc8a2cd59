"""A real process killed again and again at random moments, and a disk that fails or is full: what comes out in the end
is that of a run which nobody disturbed, bit by bit. Minutes, therefore slow.
"""

import random
import signal
import subprocess
import time

import pytest

from tests.killing import Runs, differences, kill_at, tiny_classifier, wait_for_step

pytestmark = pytest.mark.slow
KILLS = 20
MOST_EVENTS = 260  # on disk, of the about 600 that a run has: every second kill is at one of them
RHYTHM = ["trainer.steps=26", "trainer.evaluate_every=8", "trainer.checkpoint_every=3", "attention_maps.captures=4"]
# All else that has a state, or draws: the average of the weights, early stopping, batches in parts, mixed images.
RHYTHM += ["optimizer.ema=7", "trainer.early_stopping=12", "trainer.accumulate_steps=2", "data.augmentation.mixup=0.8"]
RHYTHM += [
    "data.augmentation.cutmix=1.0",
    "data.augmentation.erasing=0.3",
    "data.augmentation.randaugment_operations=1",
]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def runs():
    with Runs() as started:
        yield started


@pytest.fixture(scope="module")
def undisturbed(runs, data_dir, tmp_path_factory):
    """`(folder, seconds of its steps)` of the run that all others are held against."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    log = folder.with_suffix(".log")
    process = runs.start(*tiny_classifier(data_dir), *RHYTHM, f"hydra.run.dir={folder}", log=log)
    assert wait_for_step(folder, 1, process)
    began = time.monotonic()
    assert runs.finish() == 0, log.read_text()
    return folder, time.monotonic() - began  # rows, validations and captures after the first row


def test_twenty_kills_change_nothing(runs, undisturbed, data_dir, tmp_path, capsys):
    reference, seconds = undisturbed
    draw = random.Random(0)
    table, finished, kills, resumes = [], [], 0, 0
    while kills < KILLS or (tmp_path / f"run_{len(finished)}").exists():
        folder = tmp_path / f"run_{len(finished)}"
        begun = (folder / "config.yaml").exists()
        command = [f"resume={folder}"] if begun else [*tiny_classifier(data_dir), *RHYTHM, f"hydra.run.dir={folder}"]
        log = folder.with_suffix(".log")
        moment = None
        if kills < KILLS:
            moment = draw.randint(1, MOST_EVENTS) if draw.random() < 0.5 else draw.uniform(0, seconds)
        status, where = kill_at(runs, moment, *command, folder=folder, log=log)
        resumes += begun
        assert status in (0, -signal.SIGKILL), log.read_text()
        if status == 0:
            finished.append(folder)
            assert differences(reference, folder) == [], log.read_text()
        else:
            kills += 1
            table.append(f"  {kills:>2}  {folder.name}  {where}")
    with capsys.disabled():
        print("\nkills at", *table, sep="\n")
        print(f"kills {kills}, resumes {resumes}, runs finished {len(finished)}, differences 0")


def test_a_disk_that_fails_now_and_then_costs_checkpoints_and_no_numbers(runs, undisturbed, data_dir, tmp_path):
    folder, log = tmp_path / "run", tmp_path / "run.log"
    command = [*tiny_classifier(data_dir), *RHYTHM, f"hydra.run.dir={folder}"]
    assert runs.run(*command, log=log, fault="fail_now_and_then") == 0, log.read_text()
    text = log.read_text()  # where the folder cannot be flushed, which some file systems cannot, nothing is told
    assert text.count("fault at") >= 5 and "Training continues" in text
    assert differences(undisturbed[0], folder) == []


def test_a_full_disk_ends_with_a_message_and_the_last_good_checkpoint(runs, undisturbed, data_dir, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        folder, log = disk / "run", tmp_path / "run.log"
        command = [*tiny_classifier(data_dir), *RHYTHM, "attention_maps=off"]
        assert runs.run(*command, f"hydra.run.dir={folder}", log=log) == 1
        text = log.read_text()
        assert text.count("Training continues, without checkpoints") == 1 and "No space left" in text
        assert "the last good one is step_" in text and "Free some disk space, then continue with resume=" in text
        subprocess.run(["mount", "-o", "remount,size=40m", disk], check=True)
        assert runs.run(f"resume={folder}", log=log) == 0, log.read_text()
        roomy = tmp_path / "roomy"
        assert runs.run(*command, f"hydra.run.dir={roomy}", log=log) == 0, log.read_text()
        assert differences(roomy, folder) == []
    finally:
        subprocess.run(["umount", disk], check=True)
