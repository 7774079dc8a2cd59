"""The optimizers: which update covers which parameter, with one schedule.

AdamW (Loshchilov & Hutter, arXiv 1711.05101), Lion (Chen et al. 2023, arXiv 2302.06675), Muon (Jordan et al. 2024; as
scaled in arXiv 2502.16982) and schedule-free AdamW (`schedule_free.py`). All share schedule, weight decay on kernels
only, layer-wise decay, freezing, clipping, the refusal of what is not finite, and a moving average of the weights.
"""

import re

import keras

from vitcross.options import optimizers
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


def adamw(*, model, **given):
    """AdamW: `AdamWOptions`, and what `build` takes."""
    return build(AdamW, optimizers.AdamWOptions, ("beta_1", "beta_2", "epsilon"), model=model, **given)


def lion(*, model, **given):
    """Lion, the sign of a mean of gradients: `LionOptions`, and what `build` takes. Its authors advise a third to a
    tenth of AdamW's learning rate, and so many times its weight decay.
    """
    return build(Lion, optimizers.LionOptions, ("beta_1", "beta_2"), model=model, **given)


def muon(*, model, **given):
    """Muon on the matrices of the transformer blocks, AdamW on all else, one schedule and one learning rate for both:
    `MuonOptions`, and what `build` takes.

    The momentum of a matrix is made nearly orthogonal before it is applied, so that a direction which few examples ask
    for moves as far as one that all share. The update is scaled to the root mean square of AdamW's, 0.2 (arXiv
    2502.16982, equation 4): learning rates of AdamW can be kept. AdamW keeps embeddings, heads, and kernels of
    convolutions, as the method's authors advise.
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
        # Keras takes every matrix that no expression matches; we name those that are to be left out one by one.
        "exclude_layers": [f"^{re.escape(v.path)}$" for v in model.trainable_variables if v.path not in matrices],
        "exclude_embeddings": False,
    }
    return build(Muon, optimizers.MuonOptions, own, fixed, model=model, **given)


def schedule_free_adamw(*, model, **given):
    """Schedule-free AdamW, a warm-up, then a constant rate, to be stopped at any time; its average predicts:
    `ScheduleFreeOptions`, and what `build` takes."""
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
    """An optimizer with its variables for those of `model`, and the rules that all optimizers share.

    Args:
        optimizer_class: of this file.
        options_class: of `vitcross.options.optimizers`; its lengths come in steps instead.
        own: names of the options that the optimizer's class takes itself, or dict of its name to that of the option.
        fixed: dict of further arguments of the optimizer's class.
        model: built `keras.Model` whose variables are to be trained; those that are `frozen` no longer are.
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
    # By variable, not by name: Keras matches names as regular expressions.
    kept = [v for group in parameter_groups(model) if not group.decayed for v in group.variables]
    optimizer.exclude_from_weight_decay(var_list=kept)
    optimizer.build(model.trainable_variables)
    optimizer.scale_learning_rates(learning_rate_scales(model, options.layer_decay))
    return optimizer


def _statistics(model):
    """What a model keeps besides parameters and predicts with: the moving statistics of batch normalization."""
    trainable = {id(v) for v in model.trainable_weights}
    return [v for v in model.weights if id(v) not in trainable and v.name.startswith("moving_")]
