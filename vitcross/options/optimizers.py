"""Declares the options of the optimizers; lengths are steps, or carry a unit (`vitcross/config/durations.py`)."""

from typing import Annotated, Literal

from pydantic import Field

from vitcross.options.fields import Float, Length, NonNegative, Positive, PositiveShare, Share, ShareOrAll, options


@options
class RulesOptions:
    """What all optimizers share.

    Args:
        learning_rate: the peak of the schedule.
        warmup: length of the linear warm-up.
        weight_decay: decoupled decay of kernels, multiplied by the current learning rate.
        max_gradient_norm: clipping by global L2 norm, or None.
        layer_decay: layer-wise learning-rate decay: the rate of each layer / that of the one above.
        frozen: patterns of variable paths that are not trained.
    """

    learning_rate: Positive
    warmup: Length = "5 percent"
    weight_decay: NonNegative = 0.05
    max_gradient_norm: Positive | None = 1.0
    layer_decay: PositiveShare = 1.0
    frozen: list[str] = Field(default_factory=list)


@options
class ScheduleOptions(RulesOptions):
    """The learning rate after the warm-up (`vitcross/training/schedules.py`), and the average of the weights.

    Args:
        schedule: `cosine`, `wsd` (warm-up, stable, decay), `rsqrt` (reciprocal square root) or `constant`.
        cooldown: of `wsd` and `rsqrt`, the end of the run, in which the rate falls; None: a fifth of the run.
        timescale: of `rsqrt`, after how long behind the warm-up the rate has fallen to 1 / sqrt(2); None: the warm-up.
        final_share: what is left at the end, of the peak (with `rsqrt`: of what the root has left).
        ema: length over which weights are averaged, or None.
    """

    schedule: Literal["cosine", "wsd", "rsqrt", "constant"] = "cosine"
    cooldown: Length | None = None
    timescale: Length | None = None
    final_share: ShareOrAll = 0.0
    ema: Length | None = None


@options
class LionOptions(ScheduleOptions):
    """Lion: `beta_1` is the share of the mean in the step, `beta_2` its decay."""

    beta_1: Share = 0.9
    beta_2: Share = 0.99


@options
class AdamWOptions(ScheduleOptions):
    """AdamW: decay of the means of gradients and of their squares; what is added to the root of the second mean."""

    beta_1: Share = 0.9
    beta_2: Share = 0.999
    epsilon: Positive = 1e-8


@options
class MuonOptions(AdamWOptions):
    """Muon: its momentum; the others are those of the parameters that AdamW covers."""

    momentum: Share = 0.95


@options
class ScheduleFreeOptions(RulesOptions):
    """Schedule-free AdamW: `beta_1` is the share of the average at the point where gradients are taken."""

    beta_1: Annotated[Float, Field(gt=0, lt=1)] = 0.9
    beta_2: Share = 0.999
    epsilon: Positive = 1e-8
