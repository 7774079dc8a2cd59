"""One compiled pass forward and backward: the scalar that is explained, every attention weight, and its derivative.

Zeros are added to the weights (`AttentionControls.weight_offsets`), and it is by them that the target is
differentiated: no variable is, and the weights are the bits of a plain call. Inference mode; logits, not probabilities,
whose gradient vanishes where the model is sure; for a dual encoder the cosine *without* `logit_scale`, since relevance
depends on the target's scale. Examples do not see each other in inference mode: the gradient of the sum of all targets
is, row by row, that of each target. Keras is imported when something is compiled.

Shape legend: B batch, H W C pixels, N heads, T query tokens, S key tokens, D width, K classes, V vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vitcross.attention_maps.capture.targets import kind_of


class Gradients(NamedTuple):
    """Of one batch, all NumPy.

    Fields:
        score: (B,) float32, what is explained: a logit, or a cosine.
        weights: dict address -> (B, N, T, S) float32 in depth order, both towers.
        gradients: dict address -> (B, N, T, S) float32, derivative of each example's score by its weights.
        products: dict tower -> (B, tokens) float32 `<dy/dx_j, x_j>` of the tokens that a mean pooling averages, all
            tokens of the tower after its final norm; towers with another pooling are not in it.
    """

    score: np.ndarray
    weights: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]
    products: dict[str, np.ndarray]


def compiled_gradients(model):
    """A function of NumPy arrays (images, target[, token_ids, padding_mask]) -> `Gradients`, compiled per shape."""
    differentiate, addresses = _backend_gradients(model), model.attention_addresses

    def run(images, target, *text):
        text = [np.asarray(array, dtype) for array, dtype in zip(text, (np.int32, bool), strict=False)]
        arrays = (np.asarray(images, np.float32), np.asarray(target, np.int32), *text)
        score, weights, gradients, tokens, token_gradients = differentiate(*arrays)
        products = {
            tower: np.einsum("btd,btd->bt", tokens[tower], token_gradients[tower], dtype=np.float64).astype(np.float32)
            for tower in tokens
        }
        # Compilers give dicts back sorted by key, and "block_10" sorts before "block_2".
        weights, gradients = ({address: found[address] for address in addresses} for found in (weights, gradients))
        return Gradients(score, weights, gradients, products)

    return run


def _target_of(model, offsets, token_offsets, images, target, *text):
    """(score (B,), weights by address, averaged tokens by tower), with zeros added to weights and averaged tokens."""
    from keras import ops

    from vitcross.layers.attention_controls import AttentionControls

    controls = AttentionControls(weight_offsets=offsets)
    read = {
        "classifier": _classifier,
        "dual_encoder": _dual_encoder,
        "captioner": _captioner,
        "questions": _questions,
    }
    tokens = {}
    score, weights = read[kind_of(model)](model, controls, _Averaged(token_offsets, tokens), images, target, *text)
    cast = {name: ops.cast(value, "float32") for name, value in weights.items()}
    return ops.cast(score, "float32"), cast, tokens


class _Averaged:
    """Keeps the tokens that a mean pooling averages, with zeros added."""

    def __init__(self, offsets, tokens):
        self.offsets, self.tokens = offsets, tokens

    def __call__(self, tower: str, tokens):
        from keras import ops

        if tower not in self.offsets:
            return tokens
        self.tokens[tower] = ops.cast(tokens, "float32")
        return tokens + ops.cast(self.offsets[tower], tokens.dtype)


def _options(controls):
    return {"training": False, "return_attention_scores": True, "attention_controls": controls}


def _pooled_image(encoder, controls, averaged, images):
    tokens, weights = encoder.encode(images, **_options(controls))
    features, pooling = encoder.pool(averaged(encoder.name, encoder.norm(tokens)), **_options(controls))
    return features, {**weights, **pooling}


def _pooled_text(encoder, controls, averaged, token_ids, padding_mask, context=None):
    tokens, weights = encoder.encode(token_ids, padding_mask, context, **_options(controls))
    features, pooling = encoder.pool(averaged(encoder.name, tokens), padding_mask, **_options(controls))
    return features, {**weights, **pooling}


def _chosen(logits, target):
    """logits (B, K), target (B,) -> (B,)."""
    from keras import ops

    return ops.take_along_axis(logits, target[:, None], axis=1)[:, 0]


def _classifier(model, controls, averaged, images, target):
    features, weights = _pooled_image(model, controls, averaged, images)
    return _chosen(model.head(features), target), weights


def _dual_encoder(model, controls, averaged, images, target, token_ids, padding_mask):
    from keras import ops

    from vitcross.models.dual_encoder import normalize

    image, text = (controls.within(tower) for tower in model.TOWERS)
    image, weights = _pooled_image(model.image_encoder, image, averaged, images)
    text, text_weights = _pooled_text(model.text_encoder, text, averaged, token_ids, padding_mask)
    image, text = normalize(model.image_projection(image)), normalize(model.text_projection(text))
    return ops.sum(image * text, axis=-1), {**weights, **text_weights}


def _captioner(model, controls, averaged, images, target, token_ids, padding_mask):
    from keras import ops

    inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
    logits, weights = model(images, **inputs, **_options(controls))
    # The row before a token predicts it; nothing predicts the first one.
    row = ops.take_along_axis(logits, ops.maximum(target - 1, 0)[:, None, None], axis=1)[:, 0]
    said = ops.take_along_axis(token_ids, target[:, None], axis=1)[:, 0]
    return _chosen(row, said), weights


def _questions(model, controls, averaged, images, target, token_ids, padding_mask):
    context, _, weights = model.encode_images(images, **_options(controls))
    text = controls.within(model.TOWERS[1])
    features, text_weights = _pooled_text(model.text_encoder, text, averaged, token_ids, padding_mask, context)
    return _chosen(model.head(features), target), {**weights, **text_weights}


def _towers(model):
    """(image tower, text tower or None, whether the image tower's pooling has a part in the target)."""
    if kind_of(model) == "classifier":
        return model, None, True
    return model.image_encoder, getattr(model, model.TOWERS[1]), kind_of(model) == "dual_encoder"


def _offset_shapes(model, images, *text):
    """Shapes of the zeros: of weights by address, of averaged tokens by tower."""
    image, text_tower, image_is_pooled = _towers(model)
    batch, num_tokens = images.shape[0], image.token_layout_for(tuple(images.shape[1:3])).num_tokens
    shapes, tokens = {}, {}

    def add(tower, queries):
        for address in tower.attention_addresses:
            pooling, cross = address.endswith("pooling/cross_attention"), address.endswith("/cross_attention")
            keys = num_tokens if cross and not pooling else queries
            shapes[address] = (batch, tower.num_heads, 1 if pooling else queries, keys)

    add(image, num_tokens)
    if image_is_pooled and image.pooling == "gap":
        tokens[image.name] = (batch, num_tokens, image.embed_dim)
    if text_tower is not None:
        length = text[0].shape[1]
        add(text_tower, length)
        if text_tower.pooling == "gap":
            tokens[text_tower.name] = (batch, length, text_tower.embed_dim)
    return shapes, tokens


def _backend_gradients(model):
    """NumPy arrays -> score, weights, gradients, tokens, gradients of tokens, all NumPy."""
    import keras

    run = {"tensorflow": _with_tensorflow, "jax": _with_jax, "torch": _with_torch}[keras.backend.backend()](model)

    def to_numpy(value):
        return np.asarray(keras.ops.convert_to_numpy(value), np.float32)

    return lambda *arrays: keras.tree.map_structure(to_numpy, run(*arrays))


def _with_tensorflow(model):
    import tensorflow as tf

    def gradients(*arrays):
        shapes = _offset_shapes(model, arrays[0], *arrays[2:])
        offsets = [{name: tf.zeros(shape) for name, shape in s.items()} for s in shapes]
        # The tape is to watch the zeros alone.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(offsets)
            score, weights, tokens = _target_of(model, *offsets, *arrays)
            total = tf.reduce_sum(score)
        by_weights, by_tokens = tape.gradient(total, offsets, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return score, weights, by_weights, tokens, by_tokens

    # XLA would compile for seconds what runs for milliseconds a dozen times in a run.
    graph = tf.function(gradients, jit_compile=False, autograph=False)
    return lambda *arrays: graph(*map(tf.constant, arrays))


def _with_jax(model):
    import jax
    import keras

    @jax.jit
    def gradients(values, *arrays):
        def total(offsets):
            with keras.StatelessScope(state_mapping=list(zip(model.variables, values, strict=True))):
                score, weights, tokens = _target_of(model, *offsets, *arrays)
            return score.sum(), (score, weights, tokens)

        shapes = _offset_shapes(model, arrays[0], *arrays[2:])
        offsets = [{name: jax.numpy.zeros(shape, "float32") for name, shape in s.items()} for s in shapes]
        (by_weights, by_tokens), (score, weights, tokens) = jax.grad(total, has_aux=True)(offsets)
        return score, weights, by_weights, tokens, by_tokens

    return lambda *arrays: gradients([variable.value for variable in model.variables], *arrays)


def _with_torch(model):
    import keras
    import torch

    def gradients(*arrays):
        arrays = [keras.ops.convert_to_tensor(array) for array in arrays]
        shapes = _offset_shapes(model, arrays[0], *arrays[2:])
        zeros = {"dtype": torch.float32, "device": arrays[0].device, "requires_grad": True}
        offsets = [{name: torch.zeros(shape, **zeros) for name, shape in s.items()} for s in shapes]
        with torch.enable_grad():
            score, weights, tokens = _target_of(model, *offsets, *arrays)
            flat = [zero for group in offsets for zero in group.values()]
            found = torch.autograd.grad(score.sum(), flat, allow_unused=True)
        found = [torch.zeros_like(zero) if g is None else g for g, zero in zip(found, flat, strict=True)]
        by_weights = dict(zip(offsets[0], found, strict=False))
        by_tokens = dict(zip(offsets[1], found[len(by_weights) :], strict=True))
        return score, weights, by_weights, tokens, by_tokens

    return gradients
