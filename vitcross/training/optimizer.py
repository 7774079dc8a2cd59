"""The optimizers, their schedule, and the rule that covers each parameter.

AdamW (Loshchilov & Hutter, arXiv 1711.05101) or Muon (Jordan et al. 2024; as scaled in arXiv 2502.16982) with a linear
warm-up and a cosine decay; weight decay on kernels only, as in the ViT and DeiT recipes: biases, normalisation scales,
position embeddings and special tokens are left out.
"""

import math
import re
from dataclasses import dataclass

import keras

from vitcross.training.guards import FiniteUpdates


@keras.saving.register_keras_serializable(package="vitcross")
class AdamW(FiniteUpdates, keras.optimizers.AdamW):
    """AdamW that refuses non-finite updates (`vitcross.training.guards.FiniteUpdates`)."""


@keras.saving.register_keras_serializable(package="vitcross")
class Muon(FiniteUpdates, keras.optimizers.Muon):
    """Muon that refuses non-finite updates (`vitcross.training.guards.FiniteUpdates`)."""


def warmup_cosine(*, learning_rate, warmup_steps, total_steps, final_share=0.0):
    """Learning rate by step: linear from 0 to the peak, then half a cosine down to `final_share` of the peak.

    Args:
        learning_rate: the peak, positive.
        warmup_steps: steps of the warm-up, in `[0, total_steps)`.
        total_steps: warm-up and decay together.
        final_share: what is left of the peak at the end, in [0, 1].
    """
    if learning_rate <= 0:
        raise ValueError(f"learning_rate must be positive. Received: learning_rate={learning_rate}")
    if not 0 <= warmup_steps < total_steps:
        raise ValueError(
            f"the warm-up must be shorter than the run. Received: warmup={warmup_steps} of {total_steps} steps"
        )
    decay_steps = total_steps - warmup_steps  # Keras counts the decay after the warm-up
    if warmup_steps == 0:
        return keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps, alpha=final_share)
    return keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps, alpha=final_share, warmup_target=learning_rate, warmup_steps=warmup_steps
    )


@dataclass(frozen=True)
class ParameterGroup:
    """The variables that one rule covers."""

    name: str
    variables: tuple
    decayed: bool
    learning_rate_scale: float

    @property
    def count(self):
        """Number of parameters (scalars)."""
        return sum(math.prod(variable.shape) for variable in self.variables)


def parameter_groups(model):
    """Every variable of the model in exactly one group: kernels (decayed), the rest (not decayed), frozen."""
    trainable = {v.path for v in model.trainable_variables}
    kernels = [v for v in model.trainable_variables if v.name == "kernel"]
    others = [v for v in model.trainable_variables if v.name != "kernel"]
    frozen = [v for v in model.weights if v.path not in trainable]
    groups = (
        ParameterGroup("kernels", tuple(kernels), True, 1.0),
        ParameterGroup("biases, norms, embeddings, tokens", tuple(others), False, 1.0),
        ParameterGroup("not trained (statistics, frozen)", tuple(frozen), False, 0.0),
    )
    return tuple(group for group in groups if group.variables)


def parameter_table(groups):
    """The groups as lines of text: count, weight decay, scale of the learning rate."""
    lines = [f"{'parameters':<36}{'count':>12}  {'decay':<6}learning rate"]
    for group in groups:
        decay = "yes" if group.decayed else "no"
        scale = f"x {group.learning_rate_scale:g}" if group.learning_rate_scale else "none"
        lines.append(f"  {group.name:<34}{group.count:>12,}  {decay:<6}{scale}")
    return "\n".join([*lines, f"  {'all':<34}{sum(group.count for group in groups):>12,}"])


def adamw(
    *,
    model,
    total_steps,
    learning_rate,
    warmup_steps,
    weight_decay=0.05,
    final_share=0.0,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-8,
    max_gradient_norm=1.0,
):
    """AdamW with warm-up and cosine decay, decay on the kernels of `model` only.

    Args:
        model: built `keras.Model` whose variables are to be trained.
        total_steps, learning_rate, warmup_steps, final_share: see `warmup_cosine`.
        weight_decay: decoupled decay, at least 0; multiplied by the current learning rate.
        max_gradient_norm: clipping by global L2 norm, or None.
    """
    if weight_decay < 0:
        raise ValueError(f"weight_decay must be at least 0. Received: weight_decay={weight_decay}")
    schedule = warmup_cosine(
        learning_rate=learning_rate, warmup_steps=warmup_steps, total_steps=total_steps, final_share=final_share
    )
    optimizer = AdamW(
        learning_rate=schedule,
        weight_decay=weight_decay,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
        max_gradient_norm=max_gradient_norm,
    )
    return _built(optimizer, model)


def muon(
    *,
    model,
    total_steps,
    learning_rate,
    warmup_steps,
    weight_decay=0.05,
    final_share=0.0,
    momentum=0.95,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-8,
    max_gradient_norm=1.0,
):
    """Muon on the matrices of the transformer blocks, AdamW on all else, one schedule and one learning rate for both.

    The momentum of a matrix is made nearly orthogonal before it is applied, so that a direction which few examples ask
    for moves as far as one that all share. The update is scaled to the root mean square of AdamW's, 0.2 (arXiv
    2502.16982, equation 4): learning rates of AdamW can be kept. AdamW keeps embeddings, heads, and kernels of
    convolutions, as the method's authors advise.

    Args:
        model, total_steps, learning_rate, warmup_steps, final_share, weight_decay, max_gradient_norm: as for `adamw`.
        momentum: of Muon, in [0, 1).
        beta_1, beta_2, epsilon: of the parameters that AdamW covers.
    """
    if weight_decay < 0:
        raise ValueError(f"weight_decay must be at least 0. Received: weight_decay={weight_decay}")
    schedule = warmup_cosine(
        learning_rate=learning_rate, warmup_steps=warmup_steps, total_steps=total_steps, final_share=final_share
    )
    matrices = {v.path for v in block_matrices(model)}
    optimizer = Muon(
        learning_rate=schedule,
        weight_decay=weight_decay,
        adam_weight_decay=weight_decay,
        momentum=momentum,
        adam_beta_1=beta_1,
        adam_beta_2=beta_2,
        epsilon=epsilon,
        # Keras takes every matrix that no expression matches; we name those that are to be left out one by one.
        exclude_layers=[f"^{re.escape(v.path)}$" for v in model.trainable_variables if v.path not in matrices],
        exclude_embeddings=False,
        max_gradient_norm=max_gradient_norm,
    )
    return _built(optimizer, model)


def block_matrices(model):
    """The 2-D kernels inside the model's transformer blocks: the projections of attention and the perceptrons."""
    return [
        v for v in model.trainable_variables if v.name == "kernel" and len(v.shape) == 2 and re.search(_BLOCK, v.path)
    ]


_BLOCK = r"/block_\d+/"


def _built(optimizer, model):
    """The optimizer with its variables for those of `model`, decaying kernels only."""
    # By variable, not by name: Keras matches names as regular expressions.
    kept = [v for group in parameter_groups(model) if not group.decayed for v in group.variables]
    optimizer.exclude_from_weight_decay(var_list=kept)
    optimizer.build(model.trainable_variables)
    return optimizer
