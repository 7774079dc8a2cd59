"""A task small enough to train in a blink: logistic regression on 3 x 5 images."""

import keras
import numpy as np

from vitcross.tasks import Classification


def tiny_task(num_classes=3, name="tiny", **kwargs):
    keras.utils.set_random_seed(7)
    network = keras.Sequential(
        [keras.layers.Input((3, 5, 1)), keras.layers.Flatten(), keras.layers.Dense(num_classes, name="head")], name=name
    )
    task = Classification(network=network, **kwargs)
    task.build()
    return task


def tiny_batch(size=11, num_classes=3, seed=0):
    random = np.random.default_rng(seed)
    labels = random.integers(0, num_classes, size).astype("int32")
    images = random.normal(size=(size, 3, 5, 1)).astype("float32") + labels[:, None, None, None]
    return {"images": images, "labels": labels, "valid": np.ones(size, bool), "index": np.arange(size)}


def endless(batch):
    """An endless `tf.data` stream of one batch, or of the batches a list holds, in turn."""
    import tensorflow as tf

    batches = batch if isinstance(batch, list) else [batch]
    stacked = {key: np.stack([b[key] for b in batches]) for key in batches[0]}
    return tf.data.Dataset.from_tensor_slices(stacked).repeat()
