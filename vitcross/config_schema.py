"""Keys and types of a run: the owner of what may be configured. Imports no TensorFlow, so that a wrong command is
answered in a second or two.

One pydantic dataclass per choice of a group, found by its `_target_`; a test holds each against the constructor that it
describes. What the keys mean is said in the YAML files under `conf/`.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, Strict
from pydantic.dataclasses import dataclass

_FORBID_UNKNOWN = ConfigDict(extra="forbid")

Int = Annotated[int, Strict(), Field(le=2**31 - 1)]
Bool = Annotated[bool, Strict()]
Float = Annotated[float, Strict(), Field(allow_inf_nan=False)]  # an int is a float; a text is not
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
class AugmentationConfig:
    flip: Bool
    padded_crop: CountOrZero
    random_resized_crop: Annotated[Float, Field(gt=0, le=1)] | None
    colour_jitter: Share


@config
class ImagesConfig:
    """What every source of pictures understands (`vitcross.data.options.ImageOptions`)."""

    data_dir: str | None
    batch_size: Count
    image_size: Size | None
    channels: Literal[1, 3] | None
    num_classes: Annotated[Int, Field(ge=2)] | None
    augmentation: AugmentationConfig
    resize: Literal["crop", "pad", "stretch"]
    evaluation_crop: Annotated[Float, Field(gt=0, le=1)]
    cache_gigabytes: NonNegative
    max_unreadable: CountOrZero
    class_weights: Literal["balanced"] | None


@config
class TFDSConfig(ImagesConfig):
    name: str
    train_split: str
    validation_split: str
    test_split: str | None
    download: Bool


@config
class ImageFolderConfig(ImagesConfig):
    root: str
    validation_share: Annotated[Float, Field(gt=0, lt=1)]
    test_share: Share
    split_seed: CountOrZero


@config
class ScenesConfig(ImagesConfig):
    target_colour: str
    max_objects: Count
    scene_seed: CountOrZero
    train_examples: Count
    validation_examples: Count
    test_examples: Count


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
class VisionTransformerConfig:
    variant: str | None
    num_classes: Count | None
    image_size: Size | None
    patch_size: Size | None
    in_channels: Count | None
    embed_dim: Count | None
    depth: Count | None
    num_heads: Count | None
    mlp_ratio: Positive
    pooling: Literal["cls", "gap", "map"]
    class_token: Bool | None
    num_register_tokens: CountOrZero
    stem: Literal["linear", "conv"]
    patch_bias: Bool
    position_embedding: Literal["learned", "sincos2d"]
    position_interpolation: Literal["bicubic", "bilinear"]
    pre_norm: Bool
    dropout_rate: Share
    attention_dropout_rate: Share
    drop_path_rate: Share
    patch_dropout_rate: Share
    qkv_bias: Bool
    qk_norm: Bool
    layer_scale_init: Float | None
    layer_norm_epsilon: Positive
    gelu: Literal["erf", "tanh"]


@config
class AttentionMapsConfig:
    enabled: Bool
    num_probes: Count
    captures: Count
    every: Count | None
    num_grounding: CountOrZero
    record_megabytes: Positive
    opacity: ShareOrAll
    colour_map: Literal["viridis", "inferno"]
    resampling: Literal["nearest", "bilinear"]
    panel_size: Count


@config
class TrainerConfig:
    steps: Length | None
    epochs: Length | None
    evaluate_every: Length
    log_every: Length
    jit_compile: Bool | Literal["auto"]
    dtype_policy: Literal["float32", "mixed_bfloat16", "mixed_float16"]


@config
class WeightsAndBiasesConfig:
    mode: Literal["auto", "online", "offline", "disabled"]
    entity: str | None
    project: str
    group: str | None
    name: str | None
    tags: list[str]
    base_url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")] | None
    init_timeout: Positive
    finish_timeout: Positive


@config
class ConsoleConfig:
    progress: Literal["auto", "bar", "lines"]
    seconds_between_lines: NonNegative


@config
class SinksConfig:
    wandb: WeightsAndBiasesConfig
    console: ConsoleConfig


@config
class TrainConfig:
    """The whole of `python train.py`; groups with choices are checked by `SCHEMAS`."""

    seed: CountOrZero
    data: dict[str, Any]
    model: dict[str, Any]
    task: dict[str, Any]
    optimizer: dict[str, Any]
    trainer: TrainerConfig
    attention_maps: AttentionMapsConfig
    sinks: SinksConfig


SCHEMAS = {
    "data": {
        "vitcross.data.load.tfds": TFDSConfig,
        "vitcross.data.load.scenes": ScenesConfig,
        "vitcross.data.load.image_folder": ImageFolderConfig,
    },
    "model": {"vitcross.models.VisionTransformer": VisionTransformerConfig},
    "task": {"vitcross.tasks.Classification": ClassificationConfig},
    "optimizer": {"vitcross.training.optimizer.adamw": AdamWConfig},
}


@config
class EvaluationWeightsAndBiasesConfig(WeightsAndBiasesConfig):
    mode: Literal["auto", "online", "offline", "disabled"] | None
    project: str | None


@config
class EvaluationSinksConfig:
    wandb: EvaluationWeightsAndBiasesConfig
    console: ConsoleConfig


@config
class EvaluateConfig:
    """The whole of `python evaluate.py`."""

    run: str
    split: Literal["train", "validation", "test"]
    checkpoint: Literal["best", "latest"]
    images: str | None
    batch_size: Count
    limit: Count | None
    num_probes: Count
    sinks: EvaluationSinksConfig
