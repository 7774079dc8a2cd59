"""Keys of a whole run: optimizer, trainer, attention maps, sinks; and the roots of `train.py` and `evaluate.py`."""

from typing import Annotated, Any, Literal

from pydantic import Field

from vitcross.config.schema.fields import (
    Bool,
    Count,
    CountOrZero,
    Float,
    Length,
    NonNegative,
    Positive,
    Share,
    ShareOrAll,
    config,
)


@config
class RulesConfig:
    """What all optimizers share. Runs of an older version have no keys with a default."""

    learning_rate: Positive
    warmup: Length
    weight_decay: NonNegative
    max_gradient_norm: Positive | None
    layer_decay: Annotated[Float, Field(gt=0, le=1)] = 1.0
    frozen: list[str] = Field(default_factory=list)


@config
class ScheduleConfig(RulesConfig):
    schedule: Literal["cosine", "wsd", "rsqrt", "constant"] = "cosine"
    cooldown: Length | None = None
    timescale: Length | None = None
    final_share: ShareOrAll
    ema: Length | None = None


@config
class LionConfig(ScheduleConfig):
    beta_1: Share
    beta_2: Share


@config
class AdamWConfig(LionConfig):
    epsilon: Positive


@config
class MuonConfig(AdamWConfig):
    momentum: Share


@config
class ScheduleFreeConfig(RulesConfig):
    beta_1: Annotated[Float, Field(gt=0, lt=1)]
    beta_2: Share
    epsilon: Positive


@config
class AttentionMapsConfig:
    enabled: Bool
    num_probes: Count
    captures: Count
    every: Count | None
    num_measured: CountOrZero
    trust_captures: CountOrZero
    record_megabytes: Positive
    opacity: ShareOrAll
    color_map: Literal["viridis", "inferno"]
    resampling: Literal["nearest", "bilinear"]
    panel_size: Count


@config
class TrainerConfig:
    steps: Length | None
    epochs: Length | None
    evaluate_every: Length
    log_every: Length
    checkpoint_every: Length | None
    checkpoint_minutes: Positive | None
    keep_checkpoints: Count
    early_stopping: Length | None
    accumulate_steps: Count
    deterministic: Bool | Literal["auto"]
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
    init_from: str | None = None
    resume: str | None = None
    allow_changes: Bool = False
    data: dict[str, Any]
    model: dict[str, Any]
    task: dict[str, Any]
    optimizer: dict[str, Any]
    trainer: TrainerConfig
    attention_maps: AttentionMapsConfig
    sinks: SinksConfig


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
    split: Literal["train", "validation", "test", "unseen", "unmarked", "misleading"]
    checkpoint: Literal["best", "latest"]
    images: str | None
    text: str | None
    target: str | None
    classes: list[str]
    templates: list[str]
    batch_size: Count
    limit: Count | None
    num_probes: Count
    num_trust: CountOrZero
    compare: str | None
    sinks: EvaluationSinksConfig
