"""Compiles an inference function of a model for its backend: `tf.function`, a stateless `jax.jit`, or eager torch.

A compiled function may differentiate with respect to some of its tensors (`gradient`).
"""

import keras


def compiled(model, function, *, any_length: bool = False, as_numpy: bool = False):
    """`function` of array nests (None allowed) to tensor nests, reading `model`'s variables as they are when called.

    Args:
        any_length: bool. False: compiled again for each shape and structure of the arguments. True: on TensorFlow once
            for every number of rows and tokens, so that dropping tokens does not compile again for each length. Every
            axis is free then but the last one of float arrays (their features) and the sides of images (B, H, W, C).
            On JAX shapes are static: it compiles for each either way.
        as_numpy: bool, give NumPy arrays. Dicts come back sorted by key.
    """
    run = _compiled(model, function, any_length)
    if not as_numpy:
        return run
    return lambda *arguments: keras.tree.map_structure(keras.ops.convert_to_numpy, run(*arguments))


def _compiled(model, function, any_length: bool):
    backend = keras.backend.backend()
    if backend == "tensorflow":
        graph = _graph_of_any_length(function) if any_length else _graph(function)
        return lambda *arguments: graph(*_tensors(arguments))
    if backend == "jax":
        import jax

        @jax.jit
        def stateless(values, arguments):
            with keras.StatelessScope(state_mapping=list(zip(model.variables, values, strict=True))):
                return function(*arguments)

        return lambda *arguments: stateless([variable.value for variable in model.variables], _tensors(arguments))
    return lambda *arguments: _without_gradients(function, _tensors(arguments))


def gradient(function, at):
    """Differentiates inside a compiled function; returns `(gradient, rest)`.

    Args:
        function: of a nest like `at` to `(scalar, rest)`, where `rest` is any nest of tensors.
        at: nest of float tensors; where the scalar does not depend on one of them, its gradient is 0.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        # Gradients are taken with respect to `at` only.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(at)
            scalar, rest = function(at)
        return tape.gradient(scalar, at, unconnected_gradients=tf.UnconnectedGradients.ZERO), rest
    if backend == "jax":
        import jax

        return jax.grad(function, has_aux=True)(at)
    import torch

    with torch.enable_grad():
        flat = [tensor.detach().requires_grad_() for tensor in keras.tree.flatten(at)]
        scalar, rest = function(keras.tree.pack_sequence_as(at, flat))
        found = torch.autograd.grad(scalar, flat, allow_unused=True)
    found = [torch.zeros_like(tensor) if g is None else g for g, tensor in zip(found, flat, strict=True)]
    return keras.tree.pack_sequence_as(at, found), rest


def _graph(function):
    import tensorflow as tf

    # XLA would compile for seconds what runs for milliseconds.
    return tf.function(function, jit_compile=False, autograph=False)


def _graph_of_any_length(function):
    import tensorflow as tf

    traced = {}

    def call(*tensors):
        specs = tf.nest.map_structure(_spec, tensors)
        key = tuple(tf.nest.flatten(specs)), tuple(tuple(sorted(part)) for part in tensors)
        if key not in traced:
            traced[key] = _graph(function).get_concrete_function(*specs)
        return traced[key](*tensors)

    return call


def _spec(tensor):
    import tensorflow as tf

    rank = len(tensor.shape)
    free = 1 if rank == 4 else rank - 1 if tensor.dtype.is_floating else rank
    return tf.TensorSpec([None] * free + list(tensor.shape[free:]), tensor.dtype)


def _without_gradients(function, arguments):
    if keras.backend.backend() != "torch":
        return function(*arguments)
    import torch

    with torch.no_grad():
        return function(*arguments)


def _tensors(arguments):
    return keras.tree.map_structure(lambda x: None if x is None else keras.ops.convert_to_tensor(x), arguments)
