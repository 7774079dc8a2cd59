"""Folders of images that cannot be trained on are refused in one message; odd names of classes and files work."""

import csv
import json
import os

import pytest

from tests.data.images import encode, gradient, write_folder
from tests.killing import tiny_classifier

ODD = [
    "-rf --help",
    "größe 猫",
    " spaces ",
    "two\nlines",
    "\x1b[31mred\x1b[0m",
    "<img src=x onerror=alert(1)>",
    "a,b=c[1]{x}$y",
    "\"quoted'",
    "\u202eback",
    "not \udcff UTF-8",
]


def no_classes(root):
    pass


def one_class(root):
    write_folder(root, {"cat": 3})


def loose_images(root):
    (root / "0.png").write_bytes(encode(gradient(5, 7)))


def class_without_images(root):
    write_folder(root, {"cat": 3, "dog": 2, "em\x1b[2Jpty": 0})
    (root / "em\x1b[2Jpty/notes.txt").write_text("no image")


def split_without_a_class(root):
    write_folder(root / "train", {"cat": 3, "dog": 2})
    write_folder(root / "validation", {"cat": 3, "cow": 2})


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (no_classes, "must hold at least two folders, one per class. Received: none"),
        (one_class, "must hold at least two folders, one per class. Received: ['cat']"),
        (loose_images, "Received: none (its images are in no subfolder: make one folder per class)"),
        (class_without_images, "must hold at least one image"),
        (split_without_a_class, "must hold the same classes as the training folder. Received also: ['cow']"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_before_anything_is_made(make, rule, runs, tmp_path):
    root, log = tmp_path / "images", tmp_path / "log"
    root.mkdir()
    make(root)
    command = ["data=image_folder", f"data.root={root}", f"hydra.run.dir={tmp_path / 'run'}"]
    assert runs.run(*command, log=log) == 2
    printed = log.read_text()
    assert printed.startswith("vitcross: ") and len(printed.splitlines()) == 1
    assert rule in printed and str(root) in printed and "\x1b" not in printed
    assert not (tmp_path / "run").exists()


def test_odd_names_are_trained_evaluated_and_cannot_drive_a_terminal(runs, tmp_path):
    root, folder, log = tmp_path / "images", tmp_path / "run", tmp_path / "log"
    for number, name in enumerate(ODD):
        (root / name).mkdir(parents=True)
        for k in range(4):
            (root / name / f"{k} {name}.png").write_bytes(encode(gradient(20 + number, 31, seed=k)))
    (root / ODD[4] / "bad\x1b]0;title\x07.jpg").write_bytes(b"no image")
    overrides = [o for o in tiny_classifier(tmp_path) if "examples" not in o and "data_dir" not in o]
    command = ["data=image_folder", f"data.root={root}", *overrides, "trainer.steps=1", "attention_maps.captures=1"]
    assert runs.run(*command, f"hydra.run.dir={folder}", log=log) == 0, log.read_text()
    assert "Skipping an unreadable image (1 so far)" in log.read_text()
    index = json.loads((folder / "checkpoints/index.json").read_text())
    header = json.loads((folder / "checkpoints" / index["latest"] / "checkpoint.json").read_text())
    names = [name.replace("\udcff", "\\xff") for name in ODD]
    assert header["class_names"] == sorted(names)
    assert "<img src=x" not in (folder / "attention/index.html").read_text()
    assert "<img src=x" not in (folder / "attention/viewer.html").read_text()

    quiet = "sinks.wandb.mode=disabled"
    assert runs.run(f"run={folder}", quiet, log=log, script="evaluate.py") == 0, log.read_text()
    with (folder / "evaluation/validation/predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["label"] for row in rows) == sorted(names)
    own = f"images={os.fsencode(root / ODD[9]).decode('utf-8', 'surrogateescape')}"
    assert runs.run(f"run={folder}", own, quiet, log=log, script="evaluate.py") == 0, log.read_text()
    printed = log.read_bytes()
    assert b"4 images" in printed
    assert not {0x1B, 0x07} & set(printed) and "\u202e".encode() not in printed
