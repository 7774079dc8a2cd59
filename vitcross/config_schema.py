"""Keys and types of a run: the owner of what may be configured. Imports no TensorFlow, so that a wrong command is
answered in a second or two.

One pydantic dataclass per choice of a group, found by its `_target_`; a test holds each against the constructor that it
describes. What the keys mean is said in the YAML files under `conf/`.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, Strict
from pydantic.dataclasses import dataclass

_FORBID_UNKNOWN = ConfigDict(extra="forbid")

Int = Annotated[int, Strict()]
Bool = Annotated[bool, Strict()]
Float = Annotated[float, Strict()]  # an int is a float; a text is not
Count = Annotated[Int, Field(ge=1)]
CountOrZero = Annotated[Int, Field(ge=0)]
Size = Count | Annotated[list[Count], Field(min_length=2, max_length=2)]  # n, or [height, width]
Share = Annotated[Float, Field(ge=0, lt=1)]
ShareOrAll = Annotated[Float, Field(ge=0, le=1)]
Positive = Annotated[Float, Field(gt=0)]
NonNegative = Annotated[Float, Field(ge=0)]
Length = NonNegative | str  # a number of steps, or with a unit (vitcross/training/lengths.py)


def config(cls):
    """A keyword-only dataclass that refuses unknown keys."""
    return dataclass(cls, config=_FORBID_UNKNOWN, kw_only=True)


@config
class ClassificationConfig:
    label_smoothing: Share


@config
class AdamWConfig:
    learning_rate: Positive
    warmup: Length
    weight_decay: NonNegative
    final_share: ShareOrAll
    beta_1: Share
    beta_2: Share
    epsilon: Positive
    max_gradient_norm: Positive | None


@config
class TrainerConfig:
    steps: Length | None
    epochs: Length | None
    evaluate_every: Length
    log_every: Length
    jit_compile: Bool | Literal["auto"]
    dtype_policy: Literal["float32", "mixed_bfloat16", "mixed_float16"]


@config
class TrainConfig:
    """The whole of `python train.py`; groups with choices are checked by `SCHEMAS`."""

    seed: CountOrZero
    data: dict[str, Any]
    model: dict[str, Any]
    task: dict[str, Any]
    optimizer: dict[str, Any]
    trainer: TrainerConfig
    attention_maps: dict[str, Any]
    sinks: dict[str, Any]


SCHEMAS = {
    "task": {"vitcross.tasks.Classification": ClassificationConfig},
    "optimizer": {"vitcross.training.optimizer.adamw": AdamWConfig},
}


@config
class EvaluateConfig:
    """The whole of `python evaluate.py`."""

    run: str
    split: str
    checkpoint: Literal["best", "latest"]
    images: str | None
    batch_size: Count
    limit: Count | None
    sinks: dict[str, Any]
