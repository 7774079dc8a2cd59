"""The optimizers: which update covers which parameter, with one schedule.

AdamW (Loshchilov & Hutter, arXiv 1711.05101), Lion (Chen et al. 2023, arXiv 2302.06675), Muon (Jordan et al. 2024; as
scaled in arXiv 2502.16982) and schedule-free AdamW (`schedule_free.py`). All share schedule, weight decay on kernels
only, layer-wise decay, freezing, clipping, the refusal of what is not finite, and a moving average of the weights.
"""

import re

import keras

from vitcross.training.averages import MovingAverage
from vitcross.training.guards import FiniteUpdates
from vitcross.training.layerwise_learning_rates import LayerwiseLearningRates
from vitcross.training.parameter_groups import block_matrices, freeze, learning_rate_scales, parameter_groups
from vitcross.training.schedule_free import ScheduleFree
from vitcross.training.schedules import learning_rate_schedule


@keras.saving.register_keras_serializable(package="vitcross")
class AdamW(FiniteUpdates, MovingAverage, LayerwiseLearningRates, keras.optimizers.AdamW):
    """AdamW that refuses non-finite updates (`vitcross.training.guards.FiniteUpdates`)."""


@keras.saving.register_keras_serializable(package="vitcross")
class Lion(FiniteUpdates, MovingAverage, LayerwiseLearningRates, keras.optimizers.Lion):
    """Lion that refuses non-finite updates (`vitcross.training.guards.FiniteUpdates`)."""


@keras.saving.register_keras_serializable(package="vitcross")
class Muon(FiniteUpdates, MovingAverage, LayerwiseLearningRates, keras.optimizers.Muon):
    """Muon that refuses non-finite updates (`vitcross.training.guards.FiniteUpdates`)."""


@keras.saving.register_keras_serializable(package="vitcross")
class ScheduleFreeAdamW(FiniteUpdates, LayerwiseLearningRates, ScheduleFree):
    """Schedule-free AdamW that refuses non-finite updates (`vitcross.training.guards.FiniteUpdates`)."""


def adamw(*, model, beta_1=0.9, beta_2=0.999, epsilon=1e-8, **common):
    """AdamW.

    Args:
        model, **common: see `build`.
        beta_1, beta_2: decay of the means of gradients and of their squares, in [0, 1).
        epsilon: added to the root of the second mean.
    """
    return build(AdamW, model=model, **common, own={"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon})


def lion(*, model, beta_1=0.9, beta_2=0.99, **common):
    """Lion: the sign of a mean of gradients; its authors advise a third to a tenth of AdamW's learning rate, and so
    many times its weight decay.

    Args:
        model, **common: see `build`.
        beta_1, beta_2: share of the mean in the step, and its decay, in [0, 1).
    """
    return build(Lion, model=model, **common, own={"beta_1": beta_1, "beta_2": beta_2})


def muon(*, model, momentum=0.95, beta_1=0.9, beta_2=0.999, epsilon=1e-8, **common):
    """Muon on the matrices of the transformer blocks, AdamW on all else, one schedule and one learning rate for both.

    The momentum of a matrix is made nearly orthogonal before it is applied, so that a direction which few examples ask
    for moves as far as one that all share. The update is scaled to the root mean square of AdamW's, 0.2 (arXiv
    2502.16982, equation 4): learning rates of AdamW can be kept. AdamW keeps embeddings, heads, and kernels of
    convolutions, as the method's authors advise.

    Args:
        model, **common: see `build`.
        momentum: of Muon, in [0, 1).
        beta_1, beta_2, epsilon: of the parameters that AdamW covers.
    """
    matrices = {v.path for v in block_matrices(model)}
    own = {
        "adam_weight_decay": common.get("weight_decay", WEIGHT_DECAY),
        "momentum": momentum,
        "adam_beta_1": beta_1,
        "adam_beta_2": beta_2,
        "epsilon": epsilon,
        # Keras takes every matrix that no expression matches; we name those that are to be left out one by one.
        "exclude_layers": [f"^{re.escape(v.path)}$" for v in model.trainable_variables if v.path not in matrices],
        "exclude_embeddings": False,
    }
    return build(Muon, model=model, **common, own=own)


def schedule_free_adamw(*, model, beta_1=0.9, beta_2=0.999, epsilon=1e-8, **common):
    """Schedule-free AdamW: a warm-up, then a constant rate, to be stopped at any time; its average predicts.

    Args:
        model, **common: see `build`; no `schedule` and what belongs to it, no `ema_steps`.
        beta_1: share of the average at the point where gradients are taken, in (0, 1).
        beta_2, epsilon: as for `adamw`.
    """
    own = {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}
    return build(ScheduleFreeAdamW, model=model, **common, schedule="constant", own=own)


WEIGHT_DECAY = 0.05


def build(
    optimizer_class,
    *,
    model,
    total_steps,
    learning_rate,
    warmup_steps,
    own,
    schedule="cosine",
    cooldown_steps=None,
    timescale_steps=None,
    final_share=0.0,
    weight_decay=WEIGHT_DECAY,
    max_gradient_norm=1.0,
    layer_decay=1.0,
    frozen=(),
    ema_steps=None,
):
    """An optimizer with its variables for those of `model`, and the rules that all optimizers share.

    Args:
        optimizer_class: of this file.
        model: built `keras.Model` whose variables are to be trained; those that are `frozen` no longer are.
        total_steps, learning_rate, warmup_steps, schedule, cooldown_steps, timescale_steps, final_share: see
            `vitcross.training.schedules.learning_rate_schedule`.
        own: dict of arguments that the class alone has.
        weight_decay: decoupled decay of kernels, at least 0; multiplied by the current learning rate.
        max_gradient_norm: clipping by global L2 norm, or None.
        layer_decay, frozen: see `vitcross.training.parameter_groups`.
        ema_steps: see `vitcross.training.averages.MovingAverage`.

    Raises:
        ValueError: names the argument, the rule and what was received.
    """
    if weight_decay < 0:
        raise ValueError(f"weight_decay must be at least 0. Received: weight_decay={weight_decay}")
    freeze(model, frozen)
    if ema_steps is not None:
        own = own | {"ema_steps": ema_steps, "ema_besides": _statistics(model)}
    optimizer = optimizer_class(
        learning_rate=learning_rate_schedule(
            learning_rate=learning_rate,
            total_steps=total_steps,
            warmup_steps=warmup_steps,
            schedule=schedule,
            cooldown_steps=cooldown_steps,
            timescale_steps=timescale_steps,
            final_share=final_share,
        ),
        weight_decay=weight_decay,
        max_gradient_norm=max_gradient_norm,
        **own,
    )
    # By variable, not by name: Keras matches names as regular expressions.
    kept = [v for group in parameter_groups(model) if not group.decayed for v in group.variables]
    optimizer.exclude_from_weight_decay(var_list=kept)
    optimizer.build(model.trainable_variables)
    optimizer.scale_learning_rates(learning_rate_scales(model, layer_decay))
    return optimizer


def _statistics(model):
    """What a model keeps besides parameters and predicts with: the moving statistics of batch normalization."""
    trainable = {id(v) for v in model.trainable_weights}
    return [v for v in model.weights if id(v) not in trainable and v.name.startswith("moving_")]
