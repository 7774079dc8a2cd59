"""Builds the optimizers: AdamW, Lion, Muon and schedule-free AdamW.

AdamW: Loshchilov & Hutter, arXiv 1711.05101. Lion: Chen et al. 2023, arXiv 2302.06675. Muon: Jordan et al. 2024, scaled
as in arXiv 2502.16982. Schedule-free AdamW: `schedule_free.py`. All have weight decay on kernels only, layer-wise
learning-rate decay, freezing and clipping, and refuse updates that are not finite; all but the last have a schedule and
a moving average of the weights.
"""

import re

import keras

from vitcross.options import optimizers
from vitcross.training.averages import MovingAverage
from vitcross.training.guards import FiniteUpdates
from vitcross.training.parameter_groups import (
    LayerwiseLearningRates,
    block_matrices,
    freeze,
    learning_rate_scales,
    parameter_groups,
)
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


def adamw(*, model, **given):
    """AdamW, with `AdamWOptions` and the arguments of `build`."""
    return build(AdamW, optimizers.AdamWOptions, ("beta_1", "beta_2", "epsilon"), model=model, **given)


def lion(*, model, **given):
    """Lion, which updates by the sign of a mean of gradients, with `LionOptions` and the arguments of `build`.

    Its authors recommend 1/10 to 1/3 of AdamW's learning rate and 3 to 10 times its weight decay.
    """
    return build(Lion, optimizers.LionOptions, ("beta_1", "beta_2"), model=model, **given)


def muon(*, model, **given):
    """Muon for the matrices of the transformer blocks and AdamW for all other parameters, with one schedule for both,
    `MuonOptions` and the arguments of `build`.

    The momentum of a matrix is made nearly orthogonal before it is applied, so that directions from few examples get as
    large an update as those from many. The update is scaled to the root mean square of AdamW's, 0.2 (arXiv 2502.16982,
    equation 4), so that learning rates of AdamW can be kept. AdamW updates embeddings, heads, and kernels of
    convolutions, as the authors recommend.
    """
    matrices = {v.path for v in block_matrices(model)}
    own = {
        "adam_weight_decay": "weight_decay",
        "momentum": "momentum",
        "adam_beta_1": "beta_1",
        "adam_beta_2": "beta_2",
        "epsilon": "epsilon",
    }
    fixed = {
        # Keras applies Muon to every matrix that no expression matches, so all others are named one by one.
        "exclude_layers": [f"^{re.escape(v.path)}$" for v in model.trainable_variables if v.path not in matrices],
        "exclude_embeddings": False,
    }
    return build(Muon, optimizers.MuonOptions, own, fixed, model=model, **given)


def schedule_free_adamw(*, model, **given):
    """Schedule-free AdamW, with `ScheduleFreeOptions` and the arguments of `build`: a warm-up, then a constant learning
    rate. Its average predicts, and it can be stopped at any time."""
    own = ("beta_1", "beta_2", "epsilon")
    return build(ScheduleFreeAdamW, optimizers.ScheduleFreeOptions, own, model=model, **given)


def build(
    optimizer_class,
    options_class,
    own,
    fixed=None,
    *,
    model,
    total_steps,
    warmup_steps,
    cooldown_steps=None,
    timescale_steps=None,
    ema_steps=None,
    **given,
):
    """A built optimizer for the variables of `model`, with the options that all optimizers share.

    Args:
        optimizer_class: of this file.
        options_class: of `vitcross.options.optimizers`; its durations are given in steps instead.
        own: names of options that are arguments of the class, or dict of the argument's name to that of the option.
        fixed: dict of further arguments of the class.
        model: built `keras.Model`; its `frozen` variables become untrainable.
        total_steps, warmup_steps, cooldown_steps, timescale_steps: see
            `vitcross.training.schedules.learning_rate_schedule`.
        ema_steps: see `vitcross.training.averages.MovingAverage`.
        **given: options of `options_class`.

    Raises:
        ValueError: names the option, the rule and what was received.
    """
    options = options_class(**given)
    own = own if isinstance(own, dict) else {name: name for name in own}
    arguments = {name: getattr(options, option) for name, option in own.items()} | (fixed or {})
    freeze(model, options.frozen)
    if ema_steps is not None:
        arguments |= {"ema_steps": ema_steps, "ema_besides": _statistics(model)}
    optimizer = optimizer_class(
        learning_rate=learning_rate_schedule(
            learning_rate=options.learning_rate,
            total_steps=total_steps,
            warmup_steps=warmup_steps,
            schedule=getattr(options, "schedule", "constant"),
            cooldown_steps=cooldown_steps,
            timescale_steps=timescale_steps,
            final_share=getattr(options, "final_share", 0.0),
        ),
        weight_decay=options.weight_decay,
        max_gradient_norm=options.max_gradient_norm,
        **arguments,
    )
    # Pass variables instead of names, which Keras matches as regular expressions.
    kept = [v for group in parameter_groups(model) if not group.decayed for v in group.variables]
    optimizer.exclude_from_weight_decay(var_list=kept)
    optimizer.build(model.trainable_variables)
    optimizer.scale_learning_rates(learning_rate_scales(model, options.layer_decay))
    return optimizer


def _statistics(model):
    """The moving statistics of a model's batch normalization, with which it predicts."""
    trainable = {id(v) for v in model.trainable_weights}
    return [v for v in model.weights if id(v) not in trainable and v.name.startswith("moving_")]
