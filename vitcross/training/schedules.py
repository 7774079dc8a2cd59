"""Computes the learning rate of each step: a linear warm-up, then one of four shapes.

`t` is the step, `w`, `T` and `c` are the lengths of warm-up, run and cool-down in steps, `f` is `final_share`.

    cosine     f + (1 - f) (1 + cos(pi (t - w) / (T - w))) / 2                           arXiv 1608.03983, equation 5
    wsd        1 until T - c, then f + (1 - f) (1 - sqrt((t - T + c) / c))               arXiv 2405.18392, section 3
    rsqrt      1 / sqrt(1 + (t - w) / timescale), times 1 down to f linearly over c      arXiv 2106.04560, section 3.5
    constant   1
"""

import keras
from keras import ops

SCHEDULES = ("cosine", "wsd", "rsqrt", "constant")
WITH_COOLDOWN = ("wsd", "rsqrt")
COOLDOWN_SHARE = 0.2  # of the run, by default; arXiv 2405.18392 recommends 10 to 20 percent


def learning_rate_schedule(
    *,
    learning_rate,
    total_steps,
    warmup_steps=0,
    schedule="cosine",
    cooldown_steps=None,
    timescale_steps=None,
    final_share=0.0,
):
    """A learning rate that rises linearly from 0 to its peak, then follows the shape of the schedule.

    Args:
        learning_rate: the peak, positive.
        total_steps: length of the run.
        warmup_steps: length of the warm-up, in `[0, total_steps)`.
        schedule: `cosine`, `wsd` (warm-up, stable, decay), `rsqrt` (reciprocal square root) or `constant`.
        cooldown_steps: for `wsd` and `rsqrt`, length of the decay at the end of the run; None: a fifth of the run, at
            most the part after the warm-up.
        timescale_steps: for `rsqrt`, number of steps after the warm-up until the rate is 1 / sqrt(2) of the peak; None:
            the length of the warm-up.
        final_share: learning rate at the end as a share of the peak (`rsqrt`: of its value without the cool-down), in
            [0, 1].

    Returns:
        `keras.optimizers.schedules.LearningRateSchedule`.

    Raises:
        ValueError: if the parts do not fit into the run, or an argument does not belong to the schedule.
    """
    _check(learning_rate, total_steps, warmup_steps, schedule, cooldown_steps, timescale_steps, final_share)
    if schedule == "cosine":
        decay_steps = total_steps - warmup_steps  # Keras counts the decay after the warm-up
        if warmup_steps == 0:
            return keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps, alpha=final_share)
        return keras.optimizers.schedules.CosineDecay(
            0.0, decay_steps, alpha=final_share, warmup_target=learning_rate, warmup_steps=warmup_steps
        )
    if cooldown_steps is None:
        cooldown_steps = min(max(1, round(COOLDOWN_SHARE * total_steps)), total_steps - warmup_steps)
    return WarmupThen(
        schedule,
        learning_rate=learning_rate,
        total_steps=total_steps,
        warmup_steps=warmup_steps,
        cooldown_steps=cooldown_steps,
        timescale_steps=timescale_steps or max(1, warmup_steps),
        final_share=final_share,
    )


def _check(learning_rate, total_steps, warmup_steps, schedule, cooldown_steps, timescale_steps, final_share):
    if learning_rate <= 0:
        raise ValueError(f"learning_rate must be positive. Received: learning_rate={learning_rate}")
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}. Received: schedule={schedule!r}")
    if schedule == "constant" and final_share:
        raise ValueError(f"final_share is not used by schedule=constant. Received: final_share={final_share}")
    if not 0 <= warmup_steps < total_steps:
        raise ValueError(
            f"the warm-up must be shorter than the run. Received: warmup={warmup_steps} of {total_steps} steps"
        )
    if cooldown_steps is not None and schedule not in WITH_COOLDOWN:
        raise ValueError(f"cooldown belongs to {' and '.join(WITH_COOLDOWN)}. Received: schedule={schedule}")
    if timescale_steps is not None and schedule != "rsqrt":
        raise ValueError(f"timescale belongs to rsqrt. Received: schedule={schedule}")
    if cooldown_steps is not None and not 0 < cooldown_steps <= total_steps - warmup_steps:
        raise ValueError(
            f"warm-up and cool-down must fit into the run. Received: warmup={warmup_steps}, cooldown={cooldown_steps} "
            f"of {total_steps} steps"
        )


@keras.saving.register_keras_serializable(package="vitcross")
class WarmupThen(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then `wsd`, `rsqrt` or `constant`. Arguments as in `learning_rate_schedule`; none is None."""

    def __init__(
        self, schedule, *, learning_rate, total_steps, warmup_steps, cooldown_steps, timescale_steps, final_share
    ):
        super().__init__()
        self.schedule, self.learning_rate, self.total_steps = schedule, learning_rate, total_steps
        self.warmup_steps, self.cooldown_steps = warmup_steps, cooldown_steps
        self.timescale_steps, self.final_share = timescale_steps, final_share

    def __call__(self, step):
        step = ops.cast(step, "float32")
        share = ops.minimum(1.0, step / self.warmup_steps) if self.warmup_steps else 1.0
        if self.schedule == "rsqrt":
            after_warmup = ops.maximum(step - self.warmup_steps, 0.0)
            share = share * ops.rsqrt(1.0 + after_warmup / self.timescale_steps)
        if self.schedule in WITH_COOLDOWN:
            steps_into_cooldown = step - (self.total_steps - self.cooldown_steps)
            fallen = ops.clip(steps_into_cooldown / self.cooldown_steps, 0.0, 1.0)
            fallen = ops.sqrt(fallen) if self.schedule == "wsd" else fallen
            share = share * (1.0 - (1.0 - self.final_share) * fallen)
        return self.learning_rate * share * ops.ones_like(step)

    def get_config(self):
        names = ("schedule", "learning_rate", "total_steps", "warmup_steps", "cooldown_steps", "timescale_steps")
        return {name: getattr(self, name) for name in (*names, "final_share")}
