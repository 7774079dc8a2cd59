"""What goes wrong inside a run's own process; `Runs.start` takes `tests.bad_days.faults:<name>`."""

import resource
from pathlib import Path

NAN_AT = 10  # step
SPARE_GIGABYTES = 8


def nan_in_the_images(folder):
    """One pixel of the batch of step `NAN_AT` is not a number, wherever the run begins."""
    import tensorflow as tf

    from vitcross.data.image_data import ImageData

    whole = ImageData.train_batches

    def train_batches(self, *, start_position=0, **arguments):
        batches = whole(self, start_position=start_position, **arguments)
        first = start_position // self.batch_size + 1

        def spoil(number, batch):
            images = batch["images"]
            spoilt = tf.where(tf.range(tf.size(images)) == 77, float("nan"), tf.reshape(images, [-1]))
            is_now = first + number == NAN_AT
            return {**batch, "images": tf.where(is_now, tf.reshape(spoilt, tf.shape(images)), images)}

        return batches.enumerate().map(spoil)

    ImageData.train_batches = train_batches


def little_memory(folder):
    """The process may take `SPARE_GIGABYTES` more than it has; what goes beyond is refused by the system."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + SPARE_GIGABYTES * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
