"""A folder with every kind of bad and awkward image, through `train.py` and `evaluate.py`."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.images import encode, gradient
from tests.killing import tiny_classifier
from vitcross.attention_maps.records.record import AttentionRecord

# The same image in all of these; four areas, so that a flip or a turn is seen at any size.
UPRIGHT = np.zeros((64, 80, 3), np.uint8)
UPRIGHT[:32, :40], UPRIGHT[:32, 40:], UPRIGHT[32:, :40], UPRIGHT[32:, 40:] = 220, 160, 90, 20
# EXIF orientation -> the pixels that a camera has stored.
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2),
    6: np.rot90(UPRIGHT),
    7: UPRIGHT[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(UPRIGHT, -1),
}


def awkward_ones():
    """File name -> bytes of what is the upright image, once it is read."""
    image = Image.fromarray(UPRIGHT)
    animation = {"save_all": True, "append_images": [Image.new("RGB", image.size, "red")], "duration": 100}
    found = {
        "cmyk.jpg": encode(image.convert("CMYK"), "JPEG", quality=95),
        "16_bit.png": encode(UPRIGHT[..., 0].astype(np.uint16) * 257),
        "gray.png": encode(UPRIGHT[..., 0]),
        "palette.png": encode(image.convert("P")),
        "transparent.png": encode(image.convert("RGBA")),
        "animated.gif": encode(image, "GIF", **animation),
        "animated.webp": encode(image, "WEBP", lossless=True, **animation),
        "animated.png": encode(image, "PNG", **animation),
        "a png called.jpg": encode(image),
    }
    for orientation, pixels in STORED.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        found[f"exif_{orientation}.jpg"] = encode(np.ascontiguousarray(pixels), "JPEG", quality=95, exif=exif)
    return found


def bad_ones(folder):
    """Writes what cannot be read; returns file name -> words that say why."""
    Image.new("1", (30_000, 30_000)).save(folder / "huge.png")  # 110 kilobytes of file, 0.9 gigabytes of pixels
    (folder / "large.png").write_bytes(encode(Image.new("1", (12_001, 9001))))  # of which Pillow warns
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "a text.jpg").write_bytes(b"this is no image\n" * 99)
    noise = np.random.default_rng(0).integers(0, 255, (64, 80, 3), np.uint8)
    (folder / "cut.jpg").write_bytes(encode(noise, "JPEG")[:-700])
    (folder / "cut.png").write_bytes(encode(noise)[:-700])
    return {
        "huge.png": "the limit is 67108864 pixels",
        "large.png": "12001 x 9001 pixels, the limit is 67108864 pixels",
        "empty.jpg": "the file is empty",
        "a text.jpg": "no image in a known format",
        "cut.jpg": "truncated",
        "cut.png": "truncated",
    }


@pytest.fixture(scope="module")
def trained(runs, tmp_path_factory):
    """`(run folder, what it printed, the validation folder, why each bad image cannot be read)`"""
    root = tmp_path_factory.mktemp("images")
    for split in ("train", "validation"):
        for label in ("areas", "plain"):
            (root / split / label).mkdir(parents=True)
        (root / split / "plain/0.png").write_bytes(encode(gradient(47, 59)))
    for split in ("train", "validation"):
        for name, content in awkward_ones().items():
            (root / split / "areas" / name).write_bytes(content)
    reasons = bad_ones(root / "validation/areas")
    (root / "train/areas/empty.jpg").write_bytes(b"")

    folder, log = root / "run", root / "log"
    overrides = [o for o in tiny_classifier(root) if "examples" not in o and "data_dir" not in o]
    command = ["data=image_folder", f"data.root={root}", *overrides, "data.augmentation.random_resized_crop=null"]
    command += ["trainer.steps=3", "attention_maps.num_probes=24", "attention_maps.captures=2"]
    assert runs.run(*command, f"hydra.run.dir={folder}", log=log) == 0, log.read_text()
    return folder, log.read_text(), root / "validation", reasons


def is_upright(image):
    """Whether (H, W, 3) uint8 pixels show the four areas where they belong."""
    height, width = image.shape[:2]
    found = [image[y * height // 4, x * width // 4].mean() for y in (1, 3) for x in (1, 3)]
    return np.allclose(found, [220, 160, 90, 20], atol=8)


def test_training_names_and_counts_the_bad_ones_once(trained):
    folder, printed, _, reasons = trained
    told = [line for line in printed.splitlines() if line.startswith("Skipping an unreadable image")]
    assert len(told) == len(reasons) + 1  # the empty one of the training folder
    for name, reason in reasons.items():
        assert any(f"/validation/areas/{name}: " in line and reason in line for line in told), (name, told)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["state"] == "finished" and summary["data/unreadable_images"] == len(reasons) + 1
    assert "Traceback" not in printed and "DecompressionBombWarning" not in printed


def test_training_sees_the_good_ones_upright(trained):
    folder = trained[0]
    images = AttentionRecord.load(folder / "attention/step_00000003/record.npz").images
    # All that can be read of the validation split, in its order: the plain one comes last.
    assert [is_upright(image) for image in images] == [True] * len(awkward_ones()) + [False]


def test_evaluation_of_them_as_own_images(runs, trained, tmp_path):
    folder, _, validation, reasons = trained
    log = tmp_path / "log"
    own = [f"run={folder}", f"images={validation / 'areas'}", "sinks.wandb.mode=disabled"]
    assert runs.run(*own, log=log, script="evaluate.py") == 0, log.read_text()
    printed = log.read_text()
    good = sorted(awkward_ones())
    assert f"{len(good)} images" in printed and printed.count("not readable, left out: ") == len(reasons)
    for name, reason in reasons.items():
        lines = [line for line in printed.splitlines() if f"/areas/{name}: " in line]
        assert len(lines) == 1 and reason in lines[0]
    (predictions,) = folder.glob("evaluation/images/*/predictions.csv")
    with predictions.open() as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["example"]).name for row in rows] == good
    shown = [AttentionRecord.load(path).images for path in sorted(folder.glob("evaluation/images/**/record.npz"))]
    assert all(is_upright(image) for image in np.concatenate(shown)) and sum(map(len, shown)) == len(good)
