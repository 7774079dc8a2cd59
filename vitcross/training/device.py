"""Describes the device, resolves settings that are `auto`, and sets determinism and precision."""

import contextlib
import logging
import sys

import keras

from vitcross.cores import num_cores

logger = logging.getLogger(__name__)


def describe_device():
    """`(name, is_accelerator)` of the device that TensorFlow computes on, e.g. `("CPU, 2 cores", False)`."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"CPU, {num_cores()} cores", False
    details = tf.config.experimental.get_device_details(gpus[0])
    name = details.get("device_name", "GPU")
    return (name if len(gpus) == 1 else f"{name} (the first of {len(gpus)})"), True


def choose_deterministic(setting, is_accelerator):
    """Whether every run gives the same bits. `auto`: on CPU, where it costs nothing."""
    return not is_accelerator if setting == "auto" else setting


def choose_jit_compile(setting, is_accelerator, deterministic=False):
    """Whether XLA compiles the step. `auto`: on an accelerator; on CPU it starts slower, and its dropout is slow.

    Raises:
        ValueError: for XLA and determinism together on an accelerator: TensorFlow would silently turn XLA off.
    """
    if is_accelerator and deterministic:
        if setting is True:
            raise ValueError("trainer.deterministic=true needs trainer.jit_compile=false on a GPU. Received: true")
        return False
    return is_accelerator if setting == "auto" else setting


def make_deterministic(is_accelerator, num_threads):
    """Make every operation give the same bits in every run. Must be called before anything is computed.

    On CPU the order of a sum depends only on the number of threads, so it is enough to fix that number. (TensorFlow's
    own switch would also read data with one thread.) On a GPU the order depends on which thread finishes first, and the
    switch is needed.

    Args:
        num_threads: int, threads that share one operation on CPU.
    """
    import tensorflow as tf

    if is_accelerator:
        tf.config.experimental.enable_op_determinism()
    elif tf.config.threading.get_intra_op_parallelism_threads() != num_threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(num_threads)
        except RuntimeError:  # a notebook or a test has computed something already
            logger.info("this process has computed already, its number of threads cannot be set to %d", num_threads)


@contextlib.contextmanager
def precision(dtype_policy):
    """Context manager that gives the layers created in it this dtype policy, then restores the previous one."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype_policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def peak_memory_gigabytes():
    """Most memory that this process has used so far, in GiB; None if the platform does not report it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
