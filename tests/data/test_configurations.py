"""Every YAML of conf/data is there and holds exactly the keys that its options have."""

import pytest

from vitcross.config import compose
from vitcross.config.help_page import options
from vitcross.config.schema import SCHEMAS
from vitcross.data import load
from vitcross.options.data import Augmentation
from vitcross.options.fields import names

NAMES = options(compose.CONF, "data")
TASKS = options(compose.CONF, "task")
MUST_BE_TYPED = {"tfds": ["data.name=mnist"], "image_folder": ["data.root=images"], "pairs": ["data.file=pairs.csv"]}
MUST_BE_TYPED["labels_file"] = ["data.file=labels.csv"]


def test_the_promised_sets_are_there():
    assert {"scenes", "fashion_mnist", "cifar10", "cifar100", "mnist", "oxford_flowers102", "imagenet2012"} <= set(
        NAMES
    )
    assert {"tfds", "image_folder"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_keys_are_those_of_its_options(name):
    config = compose.compose("train", [f"data={name}", *MUST_BE_TYPED.get(name, [])])[0]["data"]
    target = config.pop("_target_")
    assert callable(getattr(load, target.removeprefix("vitcross.data.load.")))
    assert set(config) == set(names(SCHEMAS["data"][target]))
    assert set(config["augmentation"]) == set(names(Augmentation))


@pytest.mark.parametrize("task", TASKS)
def test_huggingface_has_the_keys_that_each_task_reads(task):
    config = compose.compose("train", ["data=huggingface", f"task={task}"])[0]["data"]
    target = config.pop("_target_")
    assert callable(getattr(load, target.removeprefix("vitcross.data.load.")))
    assert set(config) == set(names(SCHEMAS["data"][target]))
    reads = {"contrastive": "captions", "captioning": "captions", "question_answering": "questions"}.get(task)
    assert target == f"vitcross.data.load.huggingface{f'_{reads}' if reads else ''}"
