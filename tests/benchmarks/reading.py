"""Images a second that are read for training at 224 x 224: vitcross against torch's DataLoader with 2 workers, on CPU.

    python -m tests.benchmarks.reading [--peer-python PYTHON] [--cores 1,2] [--rounds 5] [--images 600] [--folder DIR]

JPEGs of 0.15 to 0.3 megapixels (made here, or a folder of classes given with `--folder`) are decoded, cropped at random
and resized, flipped and normalized, in batches of 64: as a training run reads them, from an image folder, from the same
bytes in Parquet (Hugging Face `datasets`) and in a prepared set of TFDS. The peer is torchvision's usual code for the
same. All are processes bound to the same cores that take turns, so that a drifting machine slows all alike; the others
are stopped, and what a process read ahead does not count. Printed for each number of cores: medians of images a second,
and the median of the ratios to the peer.
`--peer-python` is an interpreter that has torch and torchvision.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCH, SIDE, SMALLEST_CROP = 64, 224, 0.25
READ_AHEAD = 6  # batches, at least as many as any candidate holds
SIZES = ((500, 375), (375, 500), (500, 333), (640, 480))
KINDS = ("folder", "huggingface", "tfds", "torch")


def make_images(root, count):
    """`count` JPEGs with the detail and size of photographs, in two classes."""
    import numpy as np
    from PIL import Image, ImageFilter

    random = np.random.default_rng(0)
    for k in range(count):
        folder = root / "ab"[k % 2]
        folder.mkdir(parents=True, exist_ok=True)
        width, height = SIZES[k % len(SIZES)]
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8)).resize((width, height))
        noisy = np.asarray(coarse) + random.normal(0, 14, (height, width, 3))
        image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.7))
        image.save(folder / f"{k}.jpg", quality=90)


def own_batches(kind, root):
    """Training batches as a run reads them."""
    from vitcross.data import load

    given = {
        "image_size": SIDE,
        "channels": 3,
        "batch_size": BATCH,
        "cache_gigabytes": 0.0,
        "augmentation": {"random_resized_crop": SMALLEST_CROP, "flip": True},
    }
    if kind == "folder":
        data = load.image_folder(root=str(root), **given)
    elif kind == "tfds":
        data = load.tfds(name=as_tfds(root), data_dir=str(root.parent / "tfds"), validation_split="train", **given)
    else:
        data = load.huggingface(name=as_parquet(root), **given)
    return iter(data.train_batches(seed=0))


def as_parquet(root):
    """The same bytes in one Parquet file, its path."""
    import datasets

    path = root.parent / "images.parquet"
    if not path.exists():
        made = datasets.load_dataset(
            "imagefolder", data_dir=str(root), split="train", cache_dir=str(root.parent / "hf")
        )
        made.cast_column("image", datasets.Image(decode=False)).to_parquet(str(path))
    return str(path)


def as_tfds(root):
    """The same bytes as a prepared set of TFDS, its name."""
    import tensorflow_datasets as tfds

    paths = sorted(root.glob("*/*.jpg"))
    if not (root.parent / "tfds").exists():
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["a", "b"]),
        }
        tfds.dataset_builders.store_as_tfds_dataset(
            name="photographs",
            version="1.0.0",
            data_dir=root.parent / "tfds",
            features=tfds.features.FeaturesDict(features),
            split_datasets={"train": [(path.name, {"image": str(path), "label": path.parent.name}) for path in paths]},
            config=None,
            file_format="array_record",
        )
    return "photographs"


def torch_batches(root):
    import torch
    from torchvision import datasets, transforms

    seen = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIDE, scale=(SMALLEST_CROP, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    images = datasets.ImageFolder(str(root), seen)
    loader = torch.utils.data.DataLoader(
        images, batch_size=BATCH, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True
    )
    while True:
        yield from loader


def work(kind, root, cores):
    """A worker: reads as many batches as each line on standard input says, and prints the seconds that it took.

    What it had read ahead is used up first.
    """
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    batches = torch_batches(root) if kind == "torch" else own_batches(kind, root)
    next(batches)
    print("ready", flush=True)
    for line in sys.stdin:
        for _ in range(READ_AHEAD):
            next(batches)
        began = time.perf_counter()
        for _ in range(int(line)):
            next(batches)
        print(time.perf_counter() - began, flush=True)


def start(kind, python, root, cores):
    command = [python, __file__, "--worker", kind, "--folder", str(root), "--cores", str(cores)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(
        command, **pipes, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()}, start_new_session=True
    )
    while (line := process.stdout.readline()).strip() != "ready":
        if not line:
            print(f"{kind}: its worker did not start; run: {' '.join(command)}")
            return None
    os.killpg(process.pid, signal.SIGSTOP)
    return process


def ask(process, batches):
    os.killpg(process.pid, signal.SIGCONT)
    process.stdin.write(f"{batches}\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    os.killpg(process.pid, signal.SIGSTOP)
    return batches * BATCH / float(answer)


def compare(options, root, cores):
    python = {kind: options.peer_python if kind == "torch" else sys.executable for kind in KINDS}
    started = {kind: start(kind, python[kind], root, cores) for kind in options.kinds.split(",")}
    workers = {kind: process for kind, process in started.items() if process is not None}
    rounds = [{kind: ask(process, options.batches) for kind, process in workers.items()} for _ in range(options.rounds)]
    for kind in workers:
        line = f"{cores} cores  {kind:<12} {statistics.median(one[kind] for one in rounds):7.0f} images/s"
        if "torch" in workers and kind != "torch":
            ratios = sorted(one[kind] / one["torch"] for one in rounds)
            line += f"   {statistics.median(ratios):.2f} times torch (from {ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(line, flush=True)
    for process in workers.values():
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--cores", default="1,2")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=16)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.folder, int(options.cores))
        return
    with tempfile.TemporaryDirectory() as temporary:
        root = options.folder or Path(temporary) / "images"
        if options.folder is None:
            make_images(root, options.images)
        for cores in map(int, options.cores.split(",")):
            compare(options, root, cores)


if __name__ == "__main__":
    main()
