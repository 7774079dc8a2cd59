"""What an average of the weights, other optimizers and batches in parts cost a training step, and what a checkpoint
costs: against the plain AdamW step of the same model, taking turns.

    python tests/benchmarks/training_cost.py [--variant Ti/16] [--steps 11]

One process holds all of them and makes one step of each in turn, so that a drifting machine slows all alike. Printed:
medians, and the median of the ratios to the plain step of the same turn; the seconds of writing a checkpoint with and
without an average (model, optimizer, random state; on the disk of the temporary folder), and its size.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

BATCH = 64


def batches():
    import numpy as np
    import tensorflow as tf

    random = np.random.default_rng(0)
    batch = {
        "images": random.normal(size=(BATCH, 32, 32, 3)).astype("float32"),
        "labels": random.integers(0, 10, BATCH).astype("int32"),
        "valid": np.ones(BATCH, bool),
    }
    return iter(tf.data.Dataset.from_tensors(batch).cache().repeat())


def make(variant, name):
    """`(task, step)` of one way to train."""
    import functools

    from vitcross.models import VisionTransformer
    from vitcross.tasks import Classification
    from vitcross.training import optimizer as optimizers

    ways = {
        "adamw": optimizers.adamw,
        "adamw, average": functools.partial(optimizers.adamw, ema_steps=1000),
        "adamw, layer-wise decay": functools.partial(optimizers.adamw, layer_decay=0.75),
        "adamw, 4 parts": optimizers.adamw,
        "lion": optimizers.lion,
        "muon": optimizers.muon,
        "schedule-free": optimizers.schedule_free_adamw,
    }
    if name is None:
        return list(ways)
    task = Classification(network=VisionTransformer(variant=variant, patch_size=4, image_size=32, num_classes=10))
    task.accumulate_steps = 4 if "parts" in name else 1
    optimizer = ways[name](model=task.network, total_steps=1000, learning_rate=1e-3, warmup_steps=10)
    task.compile(optimizer=optimizer, jit_compile=False)
    task.make_train_function()
    iterator = batches()
    return task, lambda: float(task.train_function(iterator)["loss"])


def seconds(function):
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def write_seconds(task, times):
    """Seconds of writing checkpoints of a task, and MiB of one."""
    from vitcross.training.checkpoints import Checkpoints
    from vitcross.training.progress import TrainingProgress

    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(folder)
        taken = []
        for number in range(1, times + 1):
            progress = TrainingProgress(step=number, batches=number, rows=0)
            taken.append(seconds(lambda p=progress: checkpoints.save(task, progress=p)))
        size = sum(file.stat().st_size for file in Path(checkpoints.path("latest")).iterdir())
    return taken, size / 2**20


def main():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", default="Ti/16")
    parser.add_argument("--steps", type=int, default=11)
    options = parser.parse_args()
    tasks, steps = {}, {}
    for name in make(options.variant, None):
        tasks[name], steps[name] = make(options.variant, name)
        steps[name]()
        print(f"compiled {name}", flush=True)
    turns = [{name: seconds(step) for name, step in steps.items()} for _ in range(options.steps)]
    for name in steps:
        own = statistics.median(turn[name] for turn in turns)
        ratios = sorted(turn[name] / turn["adamw"] for turn in turns)
        print(
            f"{name:<22} {own:.3f} s a step, {statistics.median(ratios):.2f} times the plain one "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
    for name in ("adamw", "adamw, average"):
        taken, size = write_seconds(tasks[name], 7)
        print(f"checkpoint of {name:<16} {statistics.median(taken):.3f} s, {size:.0f} MiB")


if __name__ == "__main__":
    main()
