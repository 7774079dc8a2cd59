"""Every shipped experiment and data set takes real training steps, on a few examples in the real format."""

import json
import time

import numpy as np
import pytest

from tests import tiny_tfds
from vitcross import config, experiment
from vitcross.data.unreadable import TooManyUnreadable
from vitcross.help_page import options

TFDS_SETS = ("mnist", "fashion_mnist", "cifar10", "cifar100", "oxford_flowers102", "imagenet2012")
SHORT = [
    "trainer.steps=2",
    "trainer.evaluate_every=1",
    "data.batch_size=8",
    "model.depth=2",
    "model.embed_dim=16",
    "model.num_heads=2",
    "attention_maps.num_probes=2",
    "attention_maps.captures=2",
    "sinks=local",
]
# Splits that a set of 24 examples has, and a size at which a step is quick.
ON_A_TINY_SET = {
    "mnist": ['data.train_split="train[:16]"', 'data.validation_split="train[16:]"'],
    "fashion_mnist": ['data.train_split="train[:16]"', 'data.validation_split="train[16:]"'],
    "cifar10": ['data.train_split="train[:16]"', 'data.validation_split="train[16:]"'],
    "cifar100": ['data.train_split="train[:16]"', 'data.validation_split="train[16:]"'],
    "oxford_flowers102": ["data.image_size=32"],
    "imagenet2012": ["data.image_size=32", 'data.train_split="train[:16]"', 'data.validation_split="train[16:]"'],
}


def take_steps(overrides, folder):
    from vitcross.training.guards import StopOnSignal
    from vitcross.training.run import train_and_close

    ((settings, _),) = config.check_arguments("train", overrides)
    with StopOnSignal() as stop_on_signal:
        parts = experiment.build_training(
            settings, name="recipe", folder=folder, stop_on_signal=stop_on_signal, started=time.perf_counter()
        )
        before = [np.array(v) for v in parts["trainer"].task.network.trainable_variables]
        assert train_and_close(**parts) == 0
    after = parts["trainer"].task.network.trainable_variables
    assert any(np.any(b != np.asarray(a)) for b, a in zip(before, after, strict=True))
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["steps"] == 2 and np.isfinite(summary["val/loss"])


def test_nothing_that_is_shipped_is_left_out():
    shipped = set(options(config.CONF, "data"))
    assert shipped == {*TFDS_SETS, "scenes", "tfds", "image_folder"}  # the last three: test_train, tests/data
    assert set(options(config.CONF, "experiment")) <= set(TFDS_SETS)


@pytest.mark.parametrize("name", TFDS_SETS)
def test_data_set(name, tmp_path, monkeypatch):
    tiny_tfds.prepare(name, tmp_path / "data", monkeypatch)
    take_steps([f"data={name}", f"data.data_dir={tmp_path / 'data'}", *ON_A_TINY_SET[name], *SHORT], tmp_path / "run")


@pytest.mark.parametrize("name", options(config.CONF, "experiment"))
def test_experiment(name, tmp_path, monkeypatch):
    tiny_tfds.prepare(name, tmp_path / "data", monkeypatch)
    overrides = [f"experiment={name}", f"data.data_dir={tmp_path / 'data'}", *ON_A_TINY_SET[name], *SHORT]
    take_steps(overrides, tmp_path / "run")


def test_own_pictures_with_one_that_cannot_be_read(tmp_path):
    from PIL import Image

    random = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for i in range(9):
            size = (33 + 7 * i, 41)
            Image.effect_noise(size, 40 + 20 * random.random()).save(tmp_path / "pictures" / label / f"{i}.jpg")
    (tmp_path / "pictures/cat/broken.jpg").write_bytes(b"no picture")
    overrides = ["data=image_folder", f"data.root={tmp_path / 'pictures'}", "data.image_size=[32,48]", *SHORT]
    take_steps(overrides, tmp_path / "run")


def test_too_many_unreadable_pictures_end_the_run_with_their_names(tmp_path):
    from PIL import Image

    for label in ("cat", "dog"):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (32, 32), label == "cat" and "red" or "blue").save(tmp_path / f"pictures/{label}/{i}.png")
        (tmp_path / f"pictures/{label}/broken.jpg").write_bytes(b"no picture")
    overrides = ["data=image_folder", f"data.root={tmp_path / 'pictures'}", "data.image_size=32", *SHORT]
    with pytest.raises(Exception, match="broken.jpg") as caught:
        take_steps([*overrides, "data.max_unreadable=0"], tmp_path / "run")
    assert isinstance(caught.value, TooManyUnreadable)
