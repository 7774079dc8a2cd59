"""Images a second that `tf.data` changes at 224 x 224 on this machine's CPU: vitcross against `keras.layers`.

    python -m tests.benchmarks.augmentation [--batch-size 64] [--rounds 5] [--batches 8] [--no-peer]

Uint8 images in memory, smooth with some noise, changed batch by batch inside `Dataset.map`; decoding is left out, and
`nothing` is what the rest of the pipeline costs. RandAugment has two operations of magnitude 9 on both sides; that of
Keras draws them once for a whole batch. All candidates take turns, so that a drifting machine slows all alike. Printed:
medians of images a second, by the clock and per second of processor time (what one core would give on a machine that
does nothing else), and the median of the ratios between RandAugment here and there.
"""

import argparse
import os
import statistics
import time

SIDE = 224
RANDAUGMENT = "randaugment 2, 9"
PEER = "keras.layers.RandAugment"
CANDIDATES = {
    "nothing": {},
    "flip": {"flip": True},
    RANDAUGMENT: {"randaugment_operations": 2},
    "3-augment, jitter": {"three_augment": True, "color_jitter": 0.3},
    "erasing": {"erasing": 0.25},
    "mixup, cutmix": {"mixup": 0.8, "cutmix": 1.0},
    "DeiT: all of it": {
        "flip": True,
        "random_resized_crop": 0.08,
        "randaugment_operations": 2,
        "erasing": 0.25,
        "mixup": 0.8,
        "cutmix": 1.0,
    },
}


def images(count):
    """(count, 224, 224, 3) uint8, seeded."""
    import numpy as np

    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (count, SIDE // 16, SIDE // 16, 3)).astype(np.float32)
    large = coarse.repeat(16, axis=1).repeat(16, axis=2) + random.normal(0, 9, (count, SIDE, SIDE, 3))
    return large.clip(0, 255).astype(np.uint8)


def own_batches(options, batch_size):
    """Training batches as a run makes them, of images that are in memory: a `tf.data.Dataset`."""
    import numpy as np

    from tests.data.images import ArraySource
    from vitcross.data.image_data import ImageData
    from vitcross.options.data import ImageOptions

    count = 2 * batch_size
    source = ArraySource(images=images(count), labels=np.arange(count) % 2, class_names=("a", "b"))
    data = ImageData(
        name="benchmark",
        options=ImageOptions(image_size=SIDE, batch_size=batch_size, augmentation=options),
        train=source,
        validation=source,
    )
    return data.train_batches(seed=0)


def peer_batches(batch_size):
    """The same images through `keras.layers.RandAugment`."""
    import keras
    import tensorflow as tf

    layer = keras.layers.RandAugment(value_range=(0, 255), num_ops=2, factor=0.9, seed=0)
    dataset = tf.data.Dataset.from_tensors(images(batch_size)).repeat()
    dataset = dataset.map(lambda batch: layer(batch, training=True), num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.prefetch(tf.data.AUTOTUNE)


def seconds_of_a_batch(dataset, batches):
    """(clock, processor) seconds; the iterator ends with them, so that nothing of it goes on beside others."""
    iterator = iter(dataset)
    next(iterator)
    began, worked = time.perf_counter(), time.process_time()
    for _ in range(batches):
        next(iterator)
    return (time.perf_counter() - began) / batches, (time.process_time() - worked) / batches


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--no-peer", action="store_true")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    datasets = {name: own_batches(options, arguments.batch_size) for name, options in CANDIDATES.items()}
    if not arguments.no_peer:
        datasets[PEER] = peer_batches(arguments.batch_size)
    times = {name: [] for name in datasets}
    for dataset in datasets.values():
        seconds_of_a_batch(dataset, 3)  # traces, and fills the cache of images
    for _ in range(arguments.rounds):
        for name, dataset in datasets.items():
            # The peer is so slow that a batch or two say enough.
            times[name].append(seconds_of_a_batch(dataset, arguments.batches if name != PEER else 2))
    for name, found in times.items():
        clock, processor = (arguments.batch_size / statistics.median(column) for column in zip(*found, strict=True))
        print(f"{name:<26} {clock:8.0f} images/s {processor:8.0f} per core second")
    if not arguments.no_peer:
        for column, name in enumerate(("clock", "processor")):
            ratios = sorted(
                peer[column] / own[column] for own, peer in zip(times[RANDAUGMENT], times[PEER], strict=True)
            )
            middle = statistics.median(ratios)
            print(f"RandAugment here / there, {name}: {middle:.1f} (from {ratios[0]:.1f} to {ratios[-1]:.1f})")


if __name__ == "__main__":
    main()
