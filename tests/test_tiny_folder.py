"""A folder of 30 images: the maps are measured on what there is, the pages say on what, and no verdict is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parent.parent
SAID = "4 validation and 26 training examples, all 4 images shown here among them"


def write_folder(root):
    """A red or a blue rectangle on gray noise: 26 images to train on, 4 to validate on."""
    random = np.random.default_rng(0)
    for number in range(30):
        split = "train" if number < 26 else "validation"
        image = Image.fromarray(random.integers(90, 160, (41, 47, 3), dtype=np.uint8))
        x, y = (int(value) for value in random.integers(2, 28, 2))
        ImageDraw.Draw(image).rectangle((x, y, x + 13, y + 11), fill=("red", "blue")[number % 2])
        path = root / split / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)


def test_a_folder_of_thirty_images_has_no_wrong_verdict(tmp_path):
    write_folder(tmp_path / "images")
    folder = tmp_path / "run"
    arguments = [
        "data=image_folder",
        f"data.root={tmp_path / 'images'}",
        "data.image_size=[24,32]",
        "data.batch_size=13",
        "model.embed_dim=32",
        "model.num_heads=2",
        "model.depth=1",
        "trainer.steps=60",
        "attention_maps.captures=2",
        "attention_maps.trust_captures=2",
        "sinks.wandb.mode=disabled",
        f"hydra.run.dir={folder}",
    ]
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    first, last = (row for row in rows if "trust/leave_one_out/verdict" in row or "trust/raw/verdict" in row)
    # Before training nothing depends on the image; afterwards the maps find the rectangle.
    assert first["trust/relevance/verdict"] in (-1, -2)
    assert last["trust/examples"] == 30
    assert [last[f"trust/{method}/verdict"] for method in ("raw", "rollout", "relevance")] == [1, 1, 1]
    assert done.stdout.count(f"maps measured on {SAID}") == 2
    assert "\n  follows the model: " in done.stdout
    for page in ("index.html", "viewer.html"):
        text = (folder / "attention" / page).read_text()
        assert SAID in text and "none of them" not in text
