"""What the training runs on, and what is chosen for it where the user leaves the choice."""

import contextlib
import os
import sys

import keras


def describe_device():
    """`(name, is_accelerator)` of the device that TensorFlow computes on, e.g. `("CPU, 2 cores", False)`."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return f"CPU, {cores} cores", False
    details = tf.config.experimental.get_device_details(gpus[0])
    name = details.get("device_name", "GPU")
    return (name if len(gpus) == 1 else f"{name} (the first of {len(gpus)})"), True


def choose_jit_compile(setting, is_accelerator):
    """Whether XLA compiles the step. `auto`: on an accelerator; on CPU it starts slower, and its dropout is slow."""
    return is_accelerator if setting == "auto" else setting


def choose_deterministic(setting, is_accelerator, jit_compile):
    """Whether every operation gives the same bits in every run. `auto`: on CPU, unless XLA was asked for.

    Raises:
        ValueError: for both: TensorFlow turns XLA off where operations are to be deterministic, without a word.
    """
    if setting is True and jit_compile:
        raise ValueError(
            "trainer.deterministic=true needs trainer.jit_compile=false: TensorFlow has XLA or deterministic operations"
        )
    return not is_accelerator and not jit_compile if setting == "auto" else setting


def make_deterministic():
    """From now on every operation of this process gives the same bits in every run with as many threads."""
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()


@contextlib.contextmanager
def precision(dtype_policy):
    """Layers made inside have this precision; afterwards the caller's own is back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype_policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def peak_memory_gigabytes():
    """Most memory that this process held so far, in GiB; None where the platform does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
