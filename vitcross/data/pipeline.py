"""Builds the `tf.data` pipelines over a reader: endless for training, finite and exact for evaluation.

Both map batches of positions, so that a batch is a pure function of its position.
"""

import numpy as np
import tensorflow as tf

from vitcross.data.augment import augmentation, mixing, randomness
from vitcross.data.augment.streams import MIXING, NUM_STREAMS
from vitcross.data.batch import BOX_KEYS

_INT64_MAX = np.iinfo(np.int64).max


def training_batches(reader, *, options, batch_size, seed, start_position, record_error):
    """Endless full batches from example `start_position` on.

    `record_error` (`UnreadableImages.record_error`) receives each exception of reading. A reader of K texts per image
    gives 1 / K as many `images` as rows of the other keys. Each example has `Augmentation.repeats` adjacent positions.
    """
    changes = options.augmentation
    _check_rows(start_position, batch_size, changes)
    view = getattr(reader, "view", None)
    # With several texts per image, images are shuffled; the batch still has `batch_size` rows of texts.
    texts = getattr(reader, "texts_per_image", 1)
    num_images, start_image = batch_size // texts, start_position // texts

    def load(number):
        positions = number * num_images + start_image + tf.range(num_images, dtype=tf.int64)
        indices = randomness.example_indices(positions // changes.repeats, num_examples=len(reader), seed=seed)
        uniforms = randomness.uniforms(positions, seed=seed)
        batch = _read(reader, indices, uniforms, num_images, batch_size, substitute=True, record_error=record_error)
        boxes = {key: batch[key] for key in BOX_KEYS if key in batch}
        crop = changes.random_resized_crop is not None and view != "random"
        batch["images"], moved = augmentation.augment(
            batch["images"], boxes, uniforms, options=changes, image_size=options.image_size, crop=crop
        )
        if changes.mixes:
            batch |= _mixed(batch, uniforms, changes)
        return _normalized({**batch, **moved}, options.image_size)

    return _dataset(tf.data.Dataset.range(_INT64_MAX // batch_size), load)


def _check_rows(start_position, batch_size, changes):
    if start_position < 0:
        raise ValueError(f"start_position must be >= 0. Received: {start_position}")
    for name, value in (("start_position", start_position), ("batch_size", batch_size)):
        if value % changes.rows_together:
            raise ValueError(
                f"{name} must be a multiple of {changes.rows_together}, for augmentation.repeats={changes.repeats}"
                f"{', twice for images that are mixed' if changes.mixes else ''}. Received: {value}"
            )


def _mixed(batch, uniforms, changes):
    return mixing.mix(
        tf.cast(batch["images"], tf.float32),
        batch["labels"],
        uniforms[:, MIXING],
        mixup=changes.mixup,
        cutmix=changes.cutmix,
        probability=changes.mix_probability,
        repeats=changes.repeats,
    )


def evaluation_batches(reader, *, options, batch_size, indices, record_error):
    """Each of `indices` (n,) once, in order; the last batch is padded with rows that are not valid.

    `record_error` is that of `training_batches`.
    """
    padded = np.concatenate([indices, np.zeros(-len(indices) % batch_size, np.int64)])
    real = np.arange(len(padded)) < len(indices)
    rows = tf.data.Dataset.from_tensor_slices((padded.reshape(-1, batch_size), real.reshape(-1, batch_size)))

    def load(indices, real):
        nothing_random = tf.zeros([batch_size, NUM_STREAMS])
        batch = _read(
            reader, indices, nothing_random, batch_size, batch_size, substitute=False, record_error=record_error
        )
        batch["valid"] = batch["valid"] & real
        return _normalized(batch, options.image_size)

    return _dataset(rows, load)


def _dataset(dataset, load):
    dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return dataset.prefetch(tf.data.AUTOTUNE)


def _read(reader, indices, uniforms, num_images, batch_size, *, substitute, record_error):
    keys = reader.spec

    def read(indices, uniforms):
        try:
            batch = reader.read(indices, uniforms=uniforms, substitute=substitute)
        except Exception as error:
            record_error(error)
            raise
        return [batch[key] for key in keys]

    tensors = tf.numpy_function(read, [indices, uniforms], [tf.as_dtype(dtype) for _, dtype in keys.values()])
    batch = dict(zip(keys, tensors, strict=True))
    for key, (shape, _) in keys.items():
        batch[key].set_shape((num_images if key == "images" else batch_size, *shape))
    return batch


def _normalized(batch, image_size):
    images = tf.cast(batch["images"], tf.float32) / 127.5 - 1.0
    images.set_shape((images.shape[0], *image_size, images.shape[-1]))
    return {**batch, "images": images}
