"""One inference function of a model, compiled once for every number of rows and tokens: dropping tokens must not
compile anew for each length. On JAX shapes are static: there it compiles for each, as `vitcross.models.compiled` does.
"""

from __future__ import annotations


def compiled_for_any_length(model, function):
    """`function` of dicts of arrays to a tuple of tensors, as a callable that gives a tuple of NumPy arrays; it reads
    `model`'s variables as they are when called.

    On TensorFlow every axis is free but the last one of float arrays (their width) and the sides of images, (B, H, W,
    C).
    """
    import keras

    from vitcross.models.compiled import compiled

    if keras.backend.backend() != "tensorflow":
        run = compiled(model, function)
        return lambda *inputs: _to_numpy(run(*inputs))
    import tensorflow as tf

    traced = {}

    def call(*inputs):
        tensors = tf.nest.map_structure(tf.convert_to_tensor, inputs)
        specs = tf.nest.map_structure(_spec, tensors)
        key = tuple(tf.nest.flatten(specs)), tuple(tuple(sorted(part)) for part in inputs)
        if key not in traced:
            # XLA would compile for seconds what runs for milliseconds.
            graph = tf.function(function, jit_compile=False, autograph=False)
            traced[key] = graph.get_concrete_function(*specs)
        return _to_numpy(traced[key](*tensors))

    return call


def _spec(tensor):
    import tensorflow as tf

    rank = len(tensor.shape)
    free = 1 if rank == 4 else rank - 1 if tensor.dtype.is_floating else rank
    return tf.TensorSpec([None] * free + list(tensor.shape[free:]), tensor.dtype)


def _to_numpy(outputs):
    import keras

    return tuple(keras.ops.convert_to_numpy(output) for output in outputs)
