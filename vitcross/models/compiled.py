"""One inference function of a model, compiled as its backend does it: `tf.function`, `jax.jit` of a stateless call, on
torch eager without gradients. Compiled anew for each shape and structure of its arguments.
"""

import keras


def compiled(model, function):
    """`function` of array nests (None allowed) to tensor nests, reading `model`'s variables as they are when called."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        # XLA would compile for seconds what runs for milliseconds.
        graph = tf.function(function, jit_compile=False, autograph=False)
        return lambda *arguments: graph(*_tensors(arguments))
    if backend == "jax":
        import jax

        @jax.jit
        def stateless(values, arguments):
            with keras.StatelessScope(state_mapping=list(zip(model.variables, values, strict=True))):
                return function(*arguments)

        return lambda *arguments: stateless([variable.value for variable in model.variables], _tensors(arguments))
    return lambda *arguments: _without_gradients(function, _tensors(arguments))


def _without_gradients(function, arguments):
    if keras.backend.backend() != "torch":
        return function(*arguments)
    import torch

    with torch.no_grad():
        return function(*arguments)


def _tensors(arguments):
    return keras.tree.map_structure(lambda x: None if x is None else keras.ops.convert_to_tensor(x), arguments)
