"""The models of `conf/model`: towers described as their constructors are; each builds once the data has filled it."""

import dataclasses

import numpy as np
import pytest
from hydra.utils import instantiate

from vitcross import models
from vitcross.config import compose
from vitcross.config.schema.model import SCHEMAS
from vitcross.models.options import option_names

FILLED = {"vocabulary_size": 31, "max_length": 11, "num_answers": 7, "image_size": [16, 24], "in_channels": 3}
NAMES = ("dual_encoder", "captioner", "question_answering")


def sections():
    for target, schema in SCHEMAS.items():
        for field in dataclasses.fields(schema):
            if dataclasses.is_dataclass(field.type):
                yield pytest.param(field.type, id=f"{target.rpartition('.')[2]}.{field.name}")


@pytest.mark.parametrize("schema", sections())
def test_a_section_names_the_arguments_of_its_constructor(schema):
    fields = {field.name for field in dataclasses.fields(schema)}
    target = "VisionTransformer" if "patch_size" in fields else "TextTransformer"
    assert fields - {"target"} == set(option_names(getattr(models, target)))


def test_the_towers_of_texts_are_one_file():
    text = compose.compose("train", ["model=dual_encoder"])[0]["model"]["text_encoder"]
    assert set(text) - {"_target_"} == set(option_names(models.TextTransformer))


def filled(section):
    known = {key: FILLED.get(key, value) for key, value in section.items()}
    return {key: filled(value) if isinstance(value, dict) else value for key, value in known.items()}


@pytest.mark.parametrize("name", NAMES)
def test_builds_and_answers(name):
    composed, _ = compose.compose("train", [f"model={name}"])
    model = instantiate(filled(composed["model"]), _convert_="all")
    ids, real = np.array([[1, 5, 2, 0], [1, 5, 4, 2]]), np.array([[1, 1, 1, 0], [1, 1, 1, 1]], bool)
    output = model(np.zeros((2, 16, 24, 3), "float32"), token_ids=ids, padding_mask=real)
    shapes = {"dual_encoder": (2, 96), "captioner": (2, 4, 31), "question_answering": (2, 7)}
    assert tuple((output[0] if isinstance(output, tuple) else output).shape) == shapes[name]
