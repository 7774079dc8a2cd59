"""Assigns every parameter to exactly one optimizer rule: weight decay, scale of the learning rate, frozen.

Only kernels have weight decay, as in the ViT and DeiT recipes: biases, normalization scales, position embeddings and
special tokens have none. Layer-wise learning-rate decay (BEiT, arXiv 2106.08254, appendix; Clark et al. 2020, ELECTRA):
block `i` of `L` has the factor `layer_decay ** (L - i)`, layers before the blocks have `layer_decay ** (L + 1)`, layers
after them 1. Each encoder (tower) counts its own blocks.
"""

import fnmatch
import math
import re
from dataclasses import dataclass

import keras

from vitcross.typos import nearest_names

_BLOCK = re.compile(r"^(?P<tower>.*)/[^/]+/block_(?P<number>\d+)/")
_BEFORE_BLOCKS = re.compile(r"^(?P<tower>.*)/embedding/")


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


def parameter_groups(model, layer_decay=1.0):
    """Every variable of the model in exactly one group: kernels (with weight decay), others (without), frozen. If
    `layer_decay` is below 1, there are such groups for each scale of the learning rate.

    Args:
        model: built `keras.Model`.
        layer_decay: in (0, 1]; 1: all layers have the same learning rate.

    Returns:
        tuple of `ParameterGroup`, none empty.
    """
    trainable = {v.path for v in model.trainable_variables}
    scales, labels = learning_rate_scales(model, layer_decay), _labels(model)
    groups = []
    for scale in sorted(set(scales.values())):
        members = [v for v in model.trainable_variables if scales[v.path] == scale]
        kernels = tuple(v for v in members if v.name == "kernel")
        others = tuple(v for v in members if v.name != "kernel")
        where = "" if layer_decay == 1.0 else f" of {', '.join(dict.fromkeys(labels[v.path] for v in members))}"
        groups += [
            ParameterGroup(f"kernels{where}", kernels, True, scale),
            ParameterGroup(f"biases, norms, embeddings, tokens{where}", others, False, scale),
        ]
    frozen = tuple(v for v in model.weights if v.path not in trainable)
    groups.append(ParameterGroup("not trained (statistics, frozen)", frozen, False, 0.0))
    return tuple(group for group in groups if group.variables)


def parameter_table(groups):
    """The groups as a text table: parameter count, weight decay, scale of the learning rate."""
    width = max(34, *(len(group.name) for group in groups))
    lines = [f"{'parameters':<{width + 2}}{'count':>12}  {'decay':<6}learning rate"]
    for group in groups:
        decay = "yes" if group.decayed else "no"
        scale = f"x {group.learning_rate_scale:.3g}" if group.learning_rate_scale else "none"
        lines.append(f"  {group.name:<{width}}{group.count:>12,}  {decay:<6}{scale}")
    return "\n".join([*lines, f"  {'all':<{width}}{sum(group.count for group in groups):>12,}"])


def learning_rate_scales(model, layer_decay):
    """Dict of each trainable variable's path to the factor of its learning rate, in (0, 1]."""
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay must be in (0, 1]. Received: layer_decay={layer_decay}")
    depths = {}  # tower -> number of its blocks, frozen ones too
    for variable in model.weights:
        if block := _BLOCK.match(variable.path):
            depths[block["tower"]] = max(depths.get(block["tower"], 0), int(block["number"]) + 1)
    scales = {v.path: layer_decay ** _layers_above(v.path, depths) for v in model.trainable_variables}
    if getattr(model, "tie_embeddings", False):  # the token embedding is also the output layer
        scales |= {path: 1.0 for path in scales if path.endswith("text_decoder/embedding/embeddings")}
    return scales


def _layers_above(path, depths):
    """How many layers are above a variable: 0 after the blocks, 1 in the last block, ..."""
    if block := _BLOCK.match(path):
        return depths[block["tower"]] - int(block["number"])
    before = _BEFORE_BLOCKS.match(path)
    return depths.get(before["tower"], 0) + 1 if before else 0


def _labels(model):
    """Dict of each variable's path to the name of its layer, with its tower if the model has several."""
    matches = {v.path: _BLOCK.match(v.path) or _BEFORE_BLOCKS.match(v.path) for v in model.weights}
    towers = {match["tower"] for match in matches.values() if match}
    labels = {}
    for path, match in matches.items():
        tower = f"{match['tower'].rpartition('/')[2]}/" if match and len(towers) > 1 else ""
        number = match.groupdict().get("number") if match else None
        layer = "norm, pooling, head" if match is None else "embedding" if number is None else f"block_{number}"
        labels[path] = f"{tower}{layer}"
    return labels


def freeze(model, patterns):
    """Make the variables whose path matches one of the patterns untrainable.

    A batch normalization whose parameters are all frozen runs in inference mode and keeps its statistics.

    Args:
        model: built `keras.Model`.
        patterns: sequence of shell patterns (`fnmatch`) of variable paths, as `*/embedding/*`, `*/block_0[0-5]/*`.

    Raises:
        ValueError: if a pattern matches nothing, or nothing is left to train.
    """
    paths = [v.path for v in model.trainable_variables]
    for pattern in patterns:
        if not fnmatch.filter(paths, pattern):
            near = nearest_names(pattern.replace("*", ""), paths, cutoff=0.0)[0]
            raise ValueError(
                f"frozen must hold patterns that match a path of the model, such as '{near}'. Received: {pattern!r}"
            )
    frozen = {path for pattern in patterns for path in fnmatch.filter(paths, pattern)}
    if len(frozen) == len(paths):
        raise ValueError(
            f"frozen must leave something to train. Received: {list(patterns)}, which match every parameter"
        )
    for variable in model.trainable_variables:
        variable.trainable = variable.path not in frozen
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization) and not layer.trainable_variables:
            layer.trainable = False


def block_matrices(model):
    """The 2-D kernels in the model's transformer blocks: the projections of attention and MLP."""
    kernels = [v for v in model.trainable_variables if v.name == "kernel" and len(v.shape) == 2]
    return [v for v in kernels if re.search(r"/block_\d+/", v.path)]


class LayerwiseLearningRates:
    """Optimizer mix-in that multiplies each variable's update and weight decay by its scale.

    Keras has one learning rate for all variables. The update of each is computed from it, so the rate is scaled.
    """

    def scale_learning_rates(self, scales):
        """Set the scales: dict of variable path to a factor in (0, 1], for all variables of the built optimizer."""
        self._scales = [scales[v.path] for v in self._trainable_variables]

    def update_step(self, gradient, variable, learning_rate):
        scale = self._scale_of(variable)
        super().update_step(gradient, variable, learning_rate if scale == 1.0 else learning_rate * scale)

    def _apply_weight_decay(self, variables):
        decays = {name: getattr(self, name) for name in ("weight_decay", "adam_weight_decay") if hasattr(self, name)}
        by_scale = {}
        for variable in variables:
            by_scale.setdefault(self._scale_of(variable), []).append(variable)
        for scale, members in by_scale.items():
            self._set({name: decay and decay * scale for name, decay in decays.items()})
            super()._apply_weight_decay(members)
        self._set(decays)

    def _set(self, values):
        for name, value in values.items():
            setattr(self, name, value)

    def _scale_of(self, variable):
        scales = getattr(self, "_scales", None)
        return 1.0 if scales is None else scales[self._get_variable_index(variable)]
