"""Every YAML of conf/data holds exactly the keys that its function understands, each with a comment."""

import dataclasses
import pathlib

import pytest
import yaml

from vitcross.data import load
from vitcross.data.options import Augmentation

FOLDER = pathlib.Path(__file__).parents[2] / "conf" / "data"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def composed(name):
    config = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    base = config.pop("defaults", None)
    if base:
        assert base == ["tfds", "_self_"]
        below = composed("tfds")
        augmentation = below["augmentation"] | config.get("augmentation", {})
        config = below | config | {"augmentation": augmentation}
    return config


def test_the_promised_sets_are_there():
    assert {"scenes", "fashion_mnist", "cifar10", "cifar100", "mnist", "oxford_flowers102", "imagenet2012"} <= set(
        NAMES
    )
    assert {"tfds", "image_folder"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_keys_are_those_of_the_function(name):
    config = composed(name)
    function = getattr(load, config.pop("_target_").removeprefix("vitcross.data.load."))
    assert set(config) == load.keys(function)
    assert set(config["augmentation"]) == {field.name for field in dataclasses.fields(Augmentation)}


@pytest.mark.parametrize("name", NAMES)
def test_every_key_has_a_comment(name):
    for line in (FOLDER / f"{name}.yaml").read_text().splitlines():
        key = line.split("#")[0].strip()
        if key and not key.startswith(("_target_", "defaults:", "- ", "augmentation:")):
            assert " # " in line, line
