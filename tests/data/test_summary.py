"""What is said of a data set before training, and the length that fits its size."""

import numpy as np
import pytest

from tests.data.images import ArraySource, write_folder
from vitcross.config import compose
from vitcross.config.durations import Durations, with_epochs
from vitcross.data import load
from vitcross.data.image_data import ImageData
from vitcross.data.summary import data_rows, split_text
from vitcross.options.data import ImageOptions


def source(labels, names=("cat", "dog", "owl")):
    return ArraySource(images=np.zeros((len(labels), 5, 7, 3), np.uint8), labels=labels, class_names=names)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ([0, 0, 1, 2, 2, 2], "6 images, 3 classes: from 1 (dog) to 3 (owl)"),
        ([0, 1, 2] * 401, "1,203 images, 3 classes of 401 each"),
        ([0, 2, 2], "3 images, 2 of 3 classes: from 1 (cat) to 2 (owl)"),
        ([(0, 1), (), (1,)], "3 images, 2 of 3 labels: from 1 (cat) to 2 (dog)"),
        ([1, 1], "2 images, 1 of 3 classes: 2 (dog)"),
        ([-1, -1], "2 images"),
    ],
)
def test_a_split_has_one_line(labels, text):
    assert split_text(source(labels)) == text


def test_small_data_is_told():
    options = ImageOptions(image_size=[5, 7], batch_size=64, augmentation={"repeats": 2})
    train, few, enough = source([0, 1] * 13), source([0, 1, 1]), source([0, 1, 2] * 10)
    data = ImageData(name="pets", options=options, train=train, validation=few, test=enough)
    rows = data_rows(data, total_steps=1200)
    assert list(rows) == ["train", "validation", "test", "length", "warning"]
    assert rows["length"] == "1,200 steps of 64 are 1,477 passes over 26 images"  # each image twice in a batch
    assert rows["warning"].startswith("3 images for validation are few: each is 33.3 percentage points of accuracy")
    data = ImageData(name="pets", options=options, train=source([0, 1, 2] * 199), validation=enough)
    assert "warning" not in (rows := data_rows(data, total_steps=13))
    assert rows["length"] == "13 steps of 64 are 0.7 passes over 597 images"


def test_pairs_count_texts_and_images_and_tell_copies(tmp_path, caplog):
    write_folder(tmp_path, {"a": 4})
    lines = [f'{{"image": "a/{k % 4:03}.png", "text": "caption {k}"}}' for k in range(7)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines))
    data = load.pairs(file=str(tmp_path / "pairs.jsonl"), image_size=[5, 7])
    rows = data_rows(data, total_steps=10)
    assert rows["train"] in ("5 texts of 3 images", "6 texts of 3 images")
    assert rows["warning"].startswith(f"{len(data.validation)} pairs for validation")
    assert not caplog.messages
    (tmp_path / "a/003.png").write_bytes((tmp_path / "a/001.png").read_bytes())
    splits = ["train", "train", "train", "test"]
    lines = [f'{{"image": "a/{k:03}.png", "text": "caption {k}", "split": "{splits[k]}"}}' for k in range(4)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines))
    load.pairs(file=str(tmp_path / "pairs.jsonl"), image_size=[5, 7], validation_share=0)
    assert "copies      1 of test in train too (a/003.png = a/001.png)" in caplog.messages


def composed(*overrides):
    return compose.compose("train", list(overrides))[0]


@pytest.mark.parametrize(
    ("images", "epochs", "steps"), [(26, 300, 122), (706, 109, 1202), (7_700, 10, 1203), (60_000, 10, 9375)]
)
def test_the_length_of_a_folder_fits_its_size(images, epochs, steps):
    config = with_epochs(composed("data=image_folder", "data.root=x"), num_examples=images)
    assert config["trainer"]["epochs"] == epochs and config["trainer"]["steps"] is None
    durations = Durations.in_steps(config, num_examples=images)
    assert durations.total_steps == steps and durations.trainer["evaluate_every"] == round(steps / 10)


@pytest.mark.parametrize(
    ("overrides", "steps", "epochs"),
    [
        ([], None, "auto"),
        (["trainer.steps=7"], 7, None),
        (["trainer.epochs=5"], None, 5),
        (["experiment=finetune", "init_from=x"], 300, None),  # has a length of its own
        (["experiment=fashion_mnist_long"], 26000, None),
    ],
)
def test_a_length_that_is_chosen_replaces_it(overrides, steps, epochs):
    trainer = composed("data=image_folder", "data.root=x", *overrides)["trainer"]
    assert (trainer["steps"], trainer["epochs"]) == (steps, epochs)
    assert composed()["trainer"]["steps"] == 1200
