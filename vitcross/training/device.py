"""What the training runs on, and what is chosen for it where the user leaves the choice."""

import os

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


def set_up(*, seed, dtype_policy):
    """Seed Python, NumPy and the backend; set the precision of all layers made from now on."""
    keras.utils.set_random_seed(seed)
    keras.mixed_precision.set_dtype_policy(dtype_policy)
