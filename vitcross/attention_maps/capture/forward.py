"""The forward pass of a capture, compiled. Keras is imported when something is compiled.

Shape legend: B batch, S image tokens, T text tokens, P patches, K choices.
"""


def compiled_forward(model):
    """A batch -> (arrays by name, weights by address in depth order), all float32 NumPy.

    The arrays are `token_norms` (B, S) of the image tokens before the final norm, `logits` (B, K) where there is a list
    to choose from, and the cosines of `Explainable.similarities`.
    """
    from keras import ops

    from vitcross.models.compiled import compiled, to_numpy

    def forward(inputs):
        reading = model.read(model.embed(inputs[model.batch_keys[0]], training=False), inputs)
        logits = model.logits_of(reading.outputs)
        arrays = {
            "token_norms": ops.sqrt(ops.sum(ops.square(ops.cast(reading.tokens, "float32")), axis=-1)),
            **({} if logits is None else {"logits": logits}),
            **model.similarities(inputs, reading.outputs),
        }
        cast = [
            {name: ops.cast(array, "float32") for name, array in part.items()} for part in (arrays, reading.weights)
        ]
        return tuple(cast)

    run = compiled(model, forward)

    def call(batch):
        arrays, weights = to_numpy(run(model.inputs_of(batch)))
        # Compilers give dicts back sorted by key, and "block_10" sorts before "block_2".
        return arrays, {address: weights[address] for address in model.attention_addresses}

    return call
