"""One compiled pass forward and backward: the scalar that is explained, every attention weight, and its derivative.

Zeros are added to the weights (`AttentionControls.weight_offsets`), and it is by them that the target is
differentiated: no variable is, and the weights are the bits of a plain call. The model says what the scalar is
(`Explainable.score`). Examples do not see each other in inference mode: the gradient of the sum of all targets is, row
by row, that of each target. Keras is imported when something is compiled.

Shape legend: B batch, N heads, T query tokens, S key tokens, D features of a token.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Gradients(NamedTuple):
    """Of one batch, all NumPy.

    Fields:
        score: (B,) float32, what is explained: a logit, or a cosine.
        weights: dict address -> (B, N, T, S) float32 in depth order, all towers.
        gradients: dict address -> (B, N, T, S) float32, derivative of each example's score by its weights.
        products: dict tower -> (B, tokens) float32 `<dy/dx_j, x_j>` of the tokens that a mean pooling averages, all
            tokens of the tower after its final norm; towers with another pooling are not in it.
    """

    score: np.ndarray
    weights: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]
    products: dict[str, np.ndarray]


def compiled_gradients(model):
    """A function of a batch (dict of arrays) and a target (B,) int -> `Gradients`, compiled per shape.

    Args:
        model: built model that implements `Explainable`.
    """
    from vitcross.models.compiled import compiled

    differentiate = compiled(model, lambda inputs, target: _differentiate(model, inputs, target), as_numpy=True)

    def run(batch, target):
        arrays = model.inputs_of(batch), np.asarray(target, np.int32)
        score, weights, gradients, tokens, token_gradients = differentiate(*arrays)
        products = {
            tower: np.einsum("btd,btd->bt", tokens[tower], token_gradients[tower], dtype=np.float64).astype(np.float32)
            for tower in tokens
        }
        # Compilers give dicts back sorted by key, and "block_10" sorts before "block_2".
        weights, gradients = (
            {address: found[address] for address in model.attention_addresses} for found in (weights, gradients)
        )
        return Gradients(score, weights, gradients, products)

    return run


def _differentiate(model, inputs, target):
    """Score (B,), weights and their gradients by address, averaged tokens and their gradients by tower."""
    from keras import ops

    from vitcross.layers.attention_controls import AttentionControls
    from vitcross.models.compiled import gradient

    def score(offsets):
        by_address, by_tower = offsets
        averaged = {}

        def keep(tower, tokens):
            averaged[tower] = ops.cast(tokens, "float32")
            return tokens + ops.cast(by_tower[tower], tokens.dtype)

        tokens = model.embed(inputs[model.batch_keys[0]], training=False)
        reading = model.read(tokens, inputs, AttentionControls(weight_offsets=by_address), keep)
        value = ops.cast(model.score(reading.outputs, inputs, target), "float32")
        weights = {name: ops.cast(w, "float32") for name, w in reading.weights.items()}
        return ops.sum(value), (value, weights, averaged)

    zeros = [{name: ops.zeros(shape, "float32") for name, shape in group.items()} for group in _shapes(model, inputs)]
    (by_weights, by_tokens), (value, weights, averaged) = gradient(score, zeros)
    return value, weights, by_weights, averaged, by_tokens


def _shapes(model, inputs) -> tuple[dict, dict]:
    """Shapes of the zeros: of weights by address, of averaged tokens by tower."""
    size, *image_size, _ = inputs[model.batch_keys[0]].shape
    layout, weights, averaged, lengths = model.token_layout_for(tuple(image_size)), {}, {}, {}
    for tower in model.towers:
        is_image = tower.tokens == "patches"
        length = lengths[tower.name] = layout.num_tokens if is_image else inputs["token_ids"].shape[1]
        for address in tower.attention_addresses:
            queries = length if address in tower.blocks else 1
            reads = address in tower.blocks and address.endswith("/cross_attention")
            weights[address] = (size, tower.num_heads, queries, lengths[tower.reads] if reads else length)
        if tower.pooling == "gap":
            averaged[tower.name] = (size, length, tower.embed_dim)
    return weights, averaged
