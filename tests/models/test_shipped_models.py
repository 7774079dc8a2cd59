"""The models of `conf/model`: each builds once the data has filled it."""

import numpy as np
import pytest
from hydra.utils import instantiate

from vitcross.config import compose

FILLED = {"vocabulary_size": 31, "max_length": 11, "num_answers": 7, "image_size": [16, 24], "in_channels": 3}
NAMES = ("dual_encoder", "captioner", "question_answering")


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
