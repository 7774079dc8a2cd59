"""Small sets of images in the formats that `datasets` of Hugging Face reads, written by it, `tarfile` or by hand."""

import csv
import io
import json
import tarfile

import datasets
import numpy as np

from tests.data.images import encode, gradient

CLASSES = ("cat", "dog", "owl")
COUNTS = {"train": 11, "validation": 5}


def pixels(split, k):
    """The image of row k: (h, w, 3) uint8, no two alike."""
    return gradient(13 + k, 17, seed=k) ^ np.uint8(COUNTS[split])


def label(k):
    return (5 * k + k // 3) % 3


def caption(split, k):
    return f"image {k} of {split}"


def content(split, k):
    return encode(pixels(split, k))


def dataset(split):
    """`datasets.Dataset` of a split, as a data set of the Hub has it."""
    rows = range(COUNTS[split])
    return datasets.Dataset.from_dict(
        {
            "image": [{"bytes": content(split, k), "path": f"{k}.png"} for k in rows],
            "label": [label(k) for k in rows],
            "caption": [caption(split, k) for k in rows],
        },
        features=datasets.Features(
            image=datasets.Image(), label=datasets.ClassLabel(names=list(CLASSES)), caption=datasets.Value("string")
        ),
    )


def parquet(root):
    for split in COUNTS:
        dataset(split).to_parquet(root / "data" / f"{split}-00000-of-00001.parquet")
    return root


def saved(root):
    datasets.DatasetDict({split: dataset(split) for split in COUNTS}).save_to_disk(root)
    return root


def arrow(root):
    """One file, the training split."""
    dataset("train").save_to_disk(root)
    return root / "data-00000-of-00001.arrow"


def webdataset(root):
    for split, count in COUNTS.items():
        with tarfile.open(root / f"{split}-0000.tar", "w") as tar:
            for k in range(count):
                parts = {"png": content(split, k), "cls": str(label(k)).encode(), "txt": caption(split, k).encode()}
                for ending, part in parts.items():
                    member = tarfile.TarInfo(f"{k:04}.{ending}")
                    member.size = len(part)
                    tar.addfile(member, io.BytesIO(part))
    return root


def metadata(root, ending):
    """An image folder whose `metadata.csv` or `.jsonl` has labels and captions."""
    for split in COUNTS:
        write_rows(root / split / f"metadata.{ending}", rows_of_files(root / split, split, key="file_name"))
    return root


def one_file(root, ending):
    """A CSV or JSONL file of the training split, with paths of images."""
    file = root / f"table.{ending}"
    write_rows(file, rows_of_files(root / "images", "train", key="image", prefix="images/"))
    return file


def rows_of_files(folder, split, *, key, prefix=""):
    folder.mkdir(parents=True)
    for k in range(COUNTS[split]):
        (folder / f"{k:02}.png").write_bytes(content(split, k))
    return [
        {key: f"{prefix}{k:02}.png", "label": CLASSES[label(k)], "caption": caption(split, k)}
        for k in range(COUNTS[split])
    ]


def write_rows(file, rows):
    if file.suffix == ".jsonl":
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


FORMATS = {
    "parquet": parquet,
    "saved": saved,
    "webdataset": webdataset,
    "metadata_csv": lambda root: metadata(root, "csv"),
    "metadata_jsonl": lambda root: metadata(root, "jsonl"),
    "arrow": arrow,
    "csv": lambda root: one_file(root, "csv"),
    "jsonl": lambda root: one_file(root, "jsonl"),
}
ONE_SPLIT = ("arrow", "csv", "jsonl")


def save(folder, features=None, **columns):
    """A folder of `save_to_disk` with these columns; an image is bytes, a path or None."""
    files = [
        {"bytes": x, "path": None} if isinstance(x, bytes) else {"bytes": None, "path": x} for x in columns["image"]
    ]
    plain = datasets.Dataset.from_dict({key: values for key, values in columns.items() if key != "image"})
    made = plain.cast(datasets.Features({**plain.features, **(features or {})}))
    struct = datasets.Features(image={"bytes": datasets.Value("binary"), "path": datasets.Value("string")})
    images = datasets.Dataset.from_dict({"image": files}, features=struct)
    datasets.concatenate_datasets([images, made], axis=1).save_to_disk(folder)
    return folder


def some_images(count, start=0):
    return [encode(gradient(11 + k, 13, seed=k)) for k in range(start, start + count)]
