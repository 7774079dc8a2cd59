"""The folder of the data goes away while a run reads from it, is cut short, or was never whole."""

import json
import os
import shutil
import signal
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from tests.bad_days.test_one_run import checkpoints
from tests.data.images import encode, gradient
from tests.data.test_tfds import TRAIN, TinyImages, prepare, values
from tests.killing import tiny_classifier, wait_for_step
from vitcross.data import load
from vitcross.data.problems import DataVanished
from vitcross.data.sources.tfds_prepare import prepared_builder
from vitcross.data.sources.tfds_source import TFDSSource

ENDLESS = ["trainer.steps=100000", "trainer.evaluate_every=3", "attention_maps=off", "data.cache_gigabytes=0"]


def write_images(root, classes=("cat", "dog"), count=19):
    for label in classes:
        (root / label).mkdir(parents=True)
        for k in range(count):
            (root / label / f"{k}.png").write_bytes(encode(gradient(33 + k, 41, seed=k)))
    return root


def test_a_folder_that_is_moved_away_ends_the_run_and_resume_goes_on_when_it_is_back(runs, tmp_path):
    root, folder, log = write_images(tmp_path / "disk/images"), tmp_path / "run", tmp_path / "run.log"
    overrides = [o for o in tiny_classifier(tmp_path) if "examples" not in o and "data_dir" not in o]
    command = ["data=image_folder", f"data.root={root}", *overrides, *ENDLESS]
    process = runs.start(*command, f"hydra.run.dir={folder}", log=log)
    assert wait_for_step(folder, 7, process), log.read_text()
    root.rename(tmp_path / "disk/elsewhere")
    assert runs.finish() == 1
    text = log.read_text()
    message = text[text.rindex("vitcross: ") :]
    assert message.startswith(f"vitcross: the folder {root} is gone") and "resume=" in message
    assert "unreadable" not in text and "Traceback" not in text and len(message.splitlines()) <= 3
    state = json.loads((folder / "summary.json").read_text())["state"]
    assert "DataVanished" in state and len(state.splitlines()) == 1
    reached = int(checkpoints(folder)[-1].removeprefix("step_"))

    assert runs.run(f"resume={folder}", log=log) == 2  # it is not back yet
    assert f"data.root must be an existing folder. Received: {root}" in log.read_text()

    (tmp_path / "disk/elsewhere").rename(root)
    process = runs.start(f"resume={folder}", log=log)
    assert wait_for_step(folder, reached + 4, process), log.read_text()
    os.kill(process, signal.SIGTERM)
    assert runs.finish() == 128 + signal.SIGTERM
    assert f"resume      at step {reached}" in log.read_text()


def read_until_it_fails(data):
    """What is behind the error that endless reading ends with."""
    with pytest.raises(tf.errors.OpError) as caught:
        for _ in data.train_batches(seed=0).take(9999):
            pass
    return data.unreadable.root_cause(caught.value)


def test_one_class_that_is_deleted_is_named(tmp_path):
    root = write_images(tmp_path / "images")
    data = load.image_folder(root=str(root), image_size=(16, 12), batch_size=8, cache_gigabytes=0)
    next(iter(data.train_batches(seed=0)))
    shutil.rmtree(root / "dog")
    error = read_until_it_fails(data)
    assert isinstance(error, DataVanished) and f"the folder {root / 'dog'} is gone" in str(error)
    assert len(data.unreadable) == 0


def test_a_disk_that_is_unmounted(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"a disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        root = write_images(disk / "images")
        data = load.image_folder(root=str(root), image_size=(16, 12), batch_size=8, cache_gigabytes=0)
        next(iter(data.train_batches(seed=0)))
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
    error = read_until_it_fails(data)
    assert disk.is_dir() and f"the folder {root} is gone" in str(error)


def test_one_image_that_is_deleted_is_skipped_and_named(tmp_path):
    root = write_images(tmp_path / "images")
    data = load.image_folder(root=str(root), image_size=(16, 12), batch_size=8, cache_gigabytes=0, max_unreadable=1)
    gone = data.train.example_name(5)
    os.remove(gone)
    for _ in data.train_batches(seed=0).take(9):
        pass
    assert list(data.unreadable.reasons) == [gone]


@pytest.fixture
def prepared(tmp_path):
    """A set in both formats, in folders of its own."""
    for file_format in ("tfrecord", "array_record"):
        prepare(TinyImages, tmp_path / file_format, file_format=file_format, num_shards=3)
    return tmp_path


def shards(folder, split="train"):
    return sorted(folder.glob(f"tiny_images/1.0.0/*-{split}.*"))


def opened(folder):
    return TFDSSource(builder=prepared_builder(name="tiny_images", data_dir=folder), split="train")


def test_a_tfds_folder_that_is_moved_away(prepared):
    folder = prepared / "tfrecord"
    data = load.tfds(name="tiny_images", data_dir=str(folder), validation_split="test", batch_size=5, cache_gigabytes=0)
    next(iter(data.train_batches(seed=0)))
    folder.rename(prepared / "elsewhere")
    error = read_until_it_fails(data)
    assert isinstance(error, DataVanished) and f"the folder {folder} is gone" in str(error)
    (prepared / "elsewhere").rename(folder)
    assert len(list(data.evaluation_batches("validation"))) == 2


CUTS = {
    "by a few bytes": lambda content: content[:-3],
    "in the middle": lambda content: content[: len(content) // 2],
    "in its first header": lambda content: content[:7],
    "to nothing": lambda content: b"",
    "away": None,
}


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_a_file_that_is_cut_is_named_before_anything_is_trained(file_format, how, prepared):
    file = shards(prepared / file_format)[1]
    if CUTS[how] is None:
        file.unlink()
    else:
        file.write_bytes(CUTS[how](file.read_bytes()))
    with pytest.raises(ValueError, match="is missing or damaged") as caught:
        opened(prepared / file_format)
    message = str(caught.value)
    assert message.startswith(f"{file} ") and f"Delete the folder {file.parent} and prepare the set again" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_a_file_that_is_damaged_inside_is_named_when_it_is_read(file_format, prepared):
    file = shards(prepared / file_format)[1]
    content = bytearray(file.read_bytes())
    content[150:200] = bytes(50)
    file.write_bytes(content)
    source = opened(prepared / file_format)
    with pytest.raises(ValueError, match=f"{file.name} is missing or damaged"):
        values(source)


def test_a_file_that_is_cut_while_it_is_read_does_not_kill_the_process(prepared):
    """A memory map of it would: touching what is beyond the end of a file is a SIGBUS."""
    source = opened(prepared / "tfrecord")
    assert values(source) == TRAIN
    file = shards(prepared / "tfrecord")[2]
    os.truncate(file, 40)
    with pytest.raises(ValueError, match=f"{file.name} is missing or damaged .*cut off since it was opened"):
        values(source)


def test_no_file_of_a_set_stays_open(prepared):
    """ImageNet has more files than a process may hold open."""
    before = len(os.listdir("/proc/self/fd"))
    source = opened(prepared / "tfrecord")
    assert values(source) == TRAIN and len(os.listdir("/proc/self/fd")) == before


def test_half_of_a_prepared_set_is_told(tmp_path):
    def scenes():
        return load.scenes(
            data_dir=str(tmp_path), image_size=(32, 40), train_examples=7, validation_examples=3, test_examples=2
        )

    pixels = [scenes().train[k]["image"] for k in range(7)]
    (folder,) = tmp_path.glob("*/*/1.0.0")
    info = folder / "dataset_info.json"
    info.write_text(info.read_text()[:99])
    with pytest.raises(ValueError, match=f"a dataset_info.json below {folder.parent} is damaged.*Delete that folder"):
        scenes()
    info.unlink()
    with pytest.raises(ValueError, match=f"{folder} is not a whole prepared set.*Delete that folder"):
        scenes()
    shutil.rmtree(folder)  # what the message says
    for k in range(7):
        np.testing.assert_array_equal(scenes().train[k]["image"], pixels[k])


def test_a_cut_file_ends_a_run_with_one_message(runs, tmp_path):
    sizes = {"image_size": (32, 40), "train_examples": 48, "validation_examples": 19, "test_examples": 13}
    load.scenes(data_dir=str(tmp_path), **sizes)
    (file,) = tmp_path.glob("*/*/*/*-validation.*")
    os.truncate(file, file.stat().st_size // 2)
    log = tmp_path / "log"
    assert runs.run(*tiny_classifier(tmp_path), f"hydra.run.dir={tmp_path / 'run'}", log=log) == 1
    message = log.read_text()[log.read_text().rindex("vitcross: ") :]
    assert message.startswith(f"vitcross: {file} is missing or damaged") and "Traceback" not in message
