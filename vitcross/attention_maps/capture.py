"""Runs a model on a batch and keeps what it attended to: in inference mode, float32, touching neither variables nor
random state.

The forward pass is compiled once per capture object and shape: `tf.function` on TensorFlow, `jax.jit` of a stateless
call on JAX, eager elsewhere. Keras is imported when a capture is made: the pure functions of this room load without it.

Shape legend: B batch, H W C pixels, N heads, T query tokens, S key tokens, D width, K classes.
"""

from __future__ import annotations

import numpy as np

from vitcross.attention_maps.record import AttentionRecord


class Capture:
    """Captures attention of one model, as often as it is called.

    Args:
        model: built `VisionTransformer` (or a model with its `encode`, `classify`, `token_layout_for`, `patch_size`
            and `pooling`).

    Call arguments:
        batch: dict of arrays, the batch contract: `images` (B, H, W, C) float32 in [-1, 1]; `labels`, `index`,
            `box` and `valid` where known. Rows with `valid` False are left out of the record.
        step: int, optimizer steps taken so far.
        class_names: tuple of str, one for every output of the model.

    Returns:
        AttentionRecord.
    """

    def __init__(self, model):
        self.model = model
        self._run = _compiled(model)

    def __call__(self, batch, step: int = 0, class_names: tuple[str, ...] = ()) -> AttentionRecord:
        from vitcross.data.batch import to_uint8

        images = np.asarray(batch["images"], np.float32)
        logits, token_norms, weights = self._run(images)
        keep = np.asarray(batch["valid"], bool) if "valid" in batch else np.ones(len(images), bool)

        def rows(array, dtype):
            return np.asarray(array, dtype)[keep]

        index = batch.get("index", np.full(len(images), -1))
        return AttentionRecord(
            step=int(step),
            images=np.asarray(to_uint8(images))[keep],
            labels=rows(batch["labels"], np.int32) if "labels" in batch else None,
            boxes=rows(batch["box"], np.float32) if "box" in batch else None,
            probabilities=_softmax(rows(logits, np.float64)).astype(np.float32),
            class_names=tuple(class_names),
            example_index=rows(index, np.int64),
            weights={address: rows(w, np.float32) for address, w in weights.items()},
            token_layout=self.model.token_layout_for(tuple(images.shape[1:3])),
            pooling=self.model.pooling,
            patch_size=tuple(int(size) for size in self.model.patch_size),
            token_norms=rows(token_norms, np.float32),
        )


def capture(model, batch, step: int = 0, class_names: tuple[str, ...] = ()) -> AttentionRecord:
    """One capture; for several of one model keep a `Capture`, which compiles once.

    Args and Returns: as of calling `Capture(model)`.
    """
    return Capture(model)(batch, step=step, class_names=class_names)


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def _forward(model, images):
    """logits (B, K), norms of the tokens before the final norm (B, T), and weights by address, all float32."""
    from keras import ops

    tokens, encoder_weights = model.encode(images, training=False, return_attention_scores=True)
    logits, pooling_weights = model.classify(tokens, training=False, return_attention_scores=True)
    norms = ops.sqrt(ops.sum(ops.square(ops.cast(tokens, "float32")), axis=-1))
    weights = {**encoder_weights, **pooling_weights}
    return ops.cast(logits, "float32"), norms, {a: ops.cast(w, "float32") for a, w in weights.items()}


def _compiled(model):
    """images (NumPy) -> what `_forward` gives, as NumPy arrays, weights in depth order."""
    import keras

    backend = keras.backend.backend()
    order: list[str] = []  # compilers give dicts back sorted by key, and "block_10" sorts before "block_2"

    def listed(images):
        logits, norms, weights = _forward(model, images)
        order[:] = weights
        return logits, norms, list(weights.values())

    def finish(outputs):
        logits, norms, weights = outputs
        to_numpy = keras.ops.convert_to_numpy
        return to_numpy(logits), to_numpy(norms), dict(zip(order, map(to_numpy, weights), strict=True))

    if backend == "tensorflow":
        import tensorflow as tf

        # XLA would compile for seconds what runs for milliseconds a dozen times in a run.
        graph = tf.function(listed, jit_compile=False, autograph=False, reduce_retracing=True)
        return lambda images: finish(graph(tf.constant(images)))
    if backend == "jax":
        import jax

        @jax.jit
        def stateless(values, images):
            with keras.StatelessScope(state_mapping=list(zip(model.variables, values, strict=True))):
                return listed(images)

        return lambda images: finish(stateless([v.value for v in model.variables], images))
    return lambda images: finish(_eager(listed, images))


def _eager(function, images):
    import contextlib

    import keras

    no_grad = contextlib.nullcontext()
    if keras.backend.backend() == "torch":
        import torch

        no_grad = torch.no_grad()
    with no_grad:
        return function(keras.ops.convert_to_tensor(images))
