"""What differs between Keras backends, for tests that must pass on each: compiling, gradients, numbers."""

import keras
import numpy as np

BACKEND = keras.backend.backend()

if BACKEND == "jax":
    import jax

    # Compiling takes most of the time of these tests. XLA with its optimizations is tested on TensorFlow.
    jax.config.update("jax_disable_most_optimizations", True)


def to_numpy(value):
    """Tensors in any nest as float or int NumPy arrays (bfloat16 as float32)."""

    def convert(tensor):
        if keras.backend.standardize_dtype(tensor.dtype) == "bfloat16":
            tensor = keras.ops.cast(tensor, "float32")
        return np.asarray(keras.ops.convert_to_numpy(tensor))

    return keras.tree.map_structure(convert, value)


def compiled(function, *, xla: bool = False):
    """`function` of arrays, traced: `tf.function` (with XLA or without), `jax.jit`; torch has no second mode here."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=xla, autograph=False)
    if BACKEND == "jax":
        import jax

        return jax.jit(function)
    return function


def evaluated(function, *arrays):
    """`function(*arrays)` as NumPy. On JAX in one piece: eager calls there compile every operation by itself."""
    return to_numpy((compiled(function) if BACKEND == "jax" else function)(*arrays))


def gradient(function, array):
    """Gradient, as NumPy, of a scalar function of one float array."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        tensor = tf.constant(array)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            value = function(tensor)
        return to_numpy(tape.gradient(value, tensor, unconnected_gradients="zero"))
    if BACKEND == "jax":
        import jax

        return to_numpy(jax.jit(jax.grad(function))(jax.numpy.asarray(array)))
    tensor = keras.ops.convert_to_tensor(array).detach().clone().requires_grad_(True)
    function(tensor).backward()
    return to_numpy(tensor.grad)


def randomize(layer, seed: int = 0):
    """Gives every floating weight a random value, biases and scales too, so that no term of an oracle is idle."""
    rng = np.random.default_rng(seed)
    for variable in layer.variables:
        if "float" in keras.backend.standardize_dtype(variable.dtype):
            values = rng.normal(size=tuple(variable.shape)) / np.sqrt(
                max(1, variable.shape[0] if len(variable.shape) else 1)
            )
            variable.assign(np.abs(values) + 0.5 if "variance" in variable.path else values)
    return layer


def parameters(layer) -> dict:
    """The layer's variables as float64, by their path below the layer."""
    return {
        variable.path.split("/", 1)[1]: to_numpy(variable.value).astype("float64")
        for variable in layer.variables
        if "float" in keras.backend.standardize_dtype(variable.dtype)
    }


def below(tree: dict, name: str) -> dict:
    """The entries of `parameters` below `name`."""
    return {path[len(name) + 1 :]: value for path, value in tree.items() if path.startswith(f"{name}/")}
