"""The forward pass of a capture, compiled: `tf.function` on TensorFlow, `jax.jit` of a stateless call on JAX, eager
elsewhere. Keras is imported when something is compiled.

Shape legend: B batch, S image tokens, T text tokens, P patches, E width of the shared space, K classes.
"""


def _norms(tokens):
    from keras import ops

    return ops.sqrt(ops.sum(ops.square(ops.cast(tokens, "float32")), axis=-1))


def forward_images(model, images):
    """(logits (B, K), norms of the tokens before the final norm (B, T)), and weights by address."""
    tokens, encoder_weights = model.encode(images, training=False, return_attention_scores=True)
    logits, pooling_weights = model.classify(tokens, training=False, return_attention_scores=True)
    return (logits, _norms(tokens)), {**encoder_weights, **pooling_weights}


def forward_pairs(model, images, token_ids, padding_mask):
    """(norms of the image tokens before the final norm (B, S), ...), and weights of both towers by address.

    Behind the norms, of a dual encoder the cosines of text and patches (B, P) and of words and patches (B, T, P); of a
    model that answers the logits (B, K).
    """
    from keras import ops

    inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
    outputs = model(images, **inputs, training=False, return_attention_scores=True)
    # Compilers see that these repeat what the call has computed.
    arrays = (_norms(model.image_encoder.encode(images, training=False)),)
    if hasattr(model, "patch_embeddings"):
        patches = ops.cast(model.patch_embeddings(images), "float32")
        words = ops.cast(model.word_embeddings(**inputs), "float32")
        text = ops.cast(outputs[1], "float32")
        arrays += (ops.einsum("bpe,be->bp", patches, text), ops.einsum("bpe,bte->btp", patches, words))
    elif hasattr(model, "num_answers"):
        arrays += (outputs[0],)
    return arrays, outputs[-1]


def compiled(model, forward):
    """NumPy arrays -> what `forward` gives, as float32 NumPy arrays, weights in depth order."""
    import keras

    backend = keras.backend.backend()
    order: list[str] = []  # compilers give dicts back sorted by key, and "block_10" sorts before "block_2"

    def listed(*inputs):
        arrays, weights = forward(model, *inputs)
        order[:] = weights
        return [keras.ops.cast(a, "float32") for a in (*arrays, *weights.values())]

    def finish(outputs):
        outputs = [keras.ops.convert_to_numpy(output) for output in outputs]
        split = len(outputs) - len(order)
        return tuple(outputs[:split]), dict(zip(order, outputs[split:], strict=True))

    if backend == "tensorflow":
        import tensorflow as tf

        # XLA would compile for seconds what runs for milliseconds a dozen times in a run.
        graph = tf.function(listed, jit_compile=False, autograph=False, reduce_retracing=True)
        return lambda *inputs: finish(graph(*map(tf.constant, inputs)))
    if backend == "jax":
        import jax

        @jax.jit
        def stateless(values, *inputs):
            with keras.StatelessScope(state_mapping=list(zip(model.variables, values, strict=True))):
                return listed(*inputs)

        return lambda *inputs: finish(stateless([v.value for v in model.variables], *inputs))
    return lambda *inputs: finish(_eager(listed, inputs))


def _eager(function, inputs):
    import contextlib

    import keras

    no_grad = contextlib.nullcontext()
    if keras.backend.backend() == "torch":
        import torch

        no_grad = torch.no_grad()
    with no_grad:
        return function(*map(keras.ops.convert_to_tensor, inputs))
