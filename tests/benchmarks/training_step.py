"""One training step of ViT-Ti on 32 x 32 images, patch 4, batch 128: vitcross against timm (torch, eager), on CPU.

    python tests/benchmarks/training_step.py [--peer-python PYTHON] [--steps 7] [--xla]

Two processes, one for each, take turns step by step, so that a drifting machine slows both alike; only one runs at a
time. Both do forward, loss, backward, clipping by global norm and AdamW. Printed: the time from the start of each
process to its first finished step, medians, images/s, and the median of the pairwise ratios. `--peer-python` is an
interpreter that has torch and timm; they need not be installed beside TensorFlow.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

BATCH = 128


def vitcross_step(xla):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import numpy as np
    import tensorflow as tf

    from vitcross.models import VisionTransformer
    from vitcross.tasks import Classification
    from vitcross.training.optimizer import adamw

    network = VisionTransformer(variant="Ti/16", patch_size=4, image_size=32, num_classes=10)
    task = Classification(network=network)
    optimizer = adamw(model=network, total_steps=1000, learning_rate=1e-3, warmup_steps=10)
    task.compile(optimizer=optimizer, jit_compile=xla)
    random = np.random.default_rng(0)
    batch = {
        "images": random.normal(size=(BATCH, 32, 32, 3)).astype("float32"),
        "labels": random.integers(0, 10, BATCH).astype("int32"),
        "valid": np.ones(BATCH, bool),
    }
    iterator = iter(tf.data.Dataset.from_tensors(batch).cache().repeat())
    task.make_train_function()
    return lambda: float(task.train_function(iterator)["loss"])


def timm_step():
    import timm
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=4, num_classes=10).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.05)
    images, labels = torch.randn(BATCH, 3, 32, 32), torch.randint(0, 10, (BATCH,))

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def work(name, xla):
    """A worker: one step for each line on standard input, its seconds on standard output."""
    step = timm_step() if name == "timm" else vitcross_step(xla)
    step()
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        step()
        print(time.perf_counter() - began, flush=True)


def start(name, python, xla):
    command = [python, __file__, "--worker", name, *(["--xla"] if xla else [])]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    while (line := process.stdout.readline()).strip() != "ready":
        if not line:
            sys.exit(f"the {name} worker did not start; run: {' '.join(command)}")
    print(f"{name:<9} start to first finished step {time.perf_counter() - began:6.1f} s", flush=True)
    return process


def ask(process):
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--xla", action="store_true")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.xla)
        return
    ours = start("vitcross", sys.executable, options.xla)
    peer = start("timm", options.peer_python, False)
    pairs = [(ask(ours), ask(peer)) for _ in range(options.steps)]
    for name, seconds in zip(("vitcross", "timm"), zip(*pairs, strict=True), strict=True):
        median = statistics.median(seconds)
        print(f"{name:<9} median of {len(seconds)}: {median:.3f} s a step, {BATCH / median:.1f} images/s")
    ratios = sorted(peer_time / own for own, peer_time in pairs)
    print(
        f"images/s, vitcross / timm: median {statistics.median(ratios):.2f} (from {ratios[0]:.2f} to {ratios[-1]:.2f})"
    )
    for process in (ours, peer):
        process.stdin.close()
        process.wait()


if __name__ == "__main__":
    main()
