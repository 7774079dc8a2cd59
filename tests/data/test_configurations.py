"""Every YAML of conf/data is there and holds exactly the keys that its function understands."""

import dataclasses

import pytest

from vitcross.config import compose
from vitcross.config.help_page import options
from vitcross.data import load
from vitcross.data.options import Augmentation

NAMES = options(compose.CONF, "data")
MUST_BE_TYPED = {"tfds": ["data.name=mnist"], "image_folder": ["data.root=images"], "pairs": ["data.file=pairs.csv"]}


def test_the_promised_sets_are_there():
    assert {"scenes", "fashion_mnist", "cifar10", "cifar100", "mnist", "oxford_flowers102", "imagenet2012"} <= set(
        NAMES
    )
    assert {"tfds", "image_folder"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_keys_are_those_of_the_function(name):
    config = compose.compose("train", [f"data={name}", *MUST_BE_TYPED.get(name, [])])[0]["data"]
    function = getattr(load, config.pop("_target_").removeprefix("vitcross.data.load."))
    assert set(config) == load.keys(function)
    assert set(config["augmentation"]) == {field.name for field in dataclasses.fields(Augmentation)}
