"""Models of images and texts through the commands, in processes of their own, on a few scenes in the real format."""

import csv
import json

import numpy as np
import pytest

import vitcross
from tests.test_train import results, rows, run
from tests.tiny_texts import tiny_scene_texts
from vitcross.attention_maps.records.record import AttentionRecord

KINDS = ("contrastive", "captioning", "vqa")
CROSS = {"contrastive": ["cross_similarity"], "captioning": ["cross_words", "cross_matrix"]}
CROSS["vqa"] = CROSS["captioning"]
METRICS = {
    "contrastive": {
        f"val/{way}_{name}"
        for way in ("image_to_text", "text_to_image")
        for name in ("r1", "r5", "r10", "median_rank", "r1_unseen")
    },
    "captioning": {
        "val/attribute_accuracy",
        "val/attribute_accuracy_unseen",
        "val/bleu4",
        "val/rouge_l",
        "val/cider",
        "grounding/words/block_00/lift",
        "grounding/words/block_00/pointing",
    },
    "vqa": {
        *(f"val/accuracy/{kind}" for kind in ("shape", "color", "count", "relation", "yes_no")),
        "val/accuracy",
        "val/accuracy_unseen",
        "grounding/words/block_00/lift",
    },
}
QUESTION = "What color is the star, please, if there is one?"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module", params=KINDS)
def trained(request, data_dir, tmp_path_factory):
    """`(kind, folder)` of a small run."""
    folder = tmp_path_factory.mktemp(request.param) / "run"
    overrides = tiny_scene_texts(request.param, data_dir)
    done = run("train.py", *overrides, "trainer.steps=5", "trainer.evaluate_every=3", f"hydra.run.dir={folder}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "texts: 1 block," in done.stdout and "of 8 pairs" in done.stdout
    return request.param, folder


def test_the_run_folder_holds_words_metrics_and_maps(trained):
    kind, folder = trained
    assert (folder / "tokenizer.json").exists()
    assert set().union(*rows(folder)) >= METRICS[kind]
    for step in ("step_00000000", "step_00000005"):
        for name in ("probe", "self_overlay", "self_heads", "self_layers", *CROSS[kind]):
            assert (folder / f"attention/{step}/{name}.png").stat().st_size > 2000
        record = AttentionRecord.load(folder / f"attention/{step}/record.npz")
        assert len(record.text.texts) == 3 and all(text.words for text in record.text.texts)
    assert all(name in (folder / "attention/index.html").read_text() for name in CROSS[kind])


def test_evaluate_equals_the_validation_of_training(trained):
    kind, folder = trained
    done = run("evaluate.py", f"run={folder}", "checkpoint=latest", "batch_size=5")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((folder / "evaluation/validation/metrics.json").read_text())
    summary = json.loads((folder / "summary.json").read_text())
    for key in (key for key in METRICS[kind] if key.startswith("val/") and not key.endswith("_unseen")):
        np.testing.assert_allclose(found[key.removeprefix("val/")], summary[key], rtol=1e-4, err_msg=key)
    with open(folder / "evaluation/validation/predictions.csv", newline="") as file:
        assert len(list(csv.reader(file))) == 1 + 13
    assert (folder / f"evaluation/validation/attention/{CROSS[kind][0]}.png").exists()


def test_evaluate_measures_combinations_that_training_never_saw(trained):
    kind, folder = trained
    done = run("evaluate.py", f"run={folder}", "split=unseen", "checkpoint=latest")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((folder / "evaluation/unseen/metrics.json").read_text())
    summary = json.loads((folder / "summary.json").read_text())
    np.testing.assert_allclose(found["loss"], summary["val/loss_unseen"], rtol=1e-4)


def test_evaluate_says_something_of_own_images_and_text(trained, tmp_path):
    from PIL import Image

    kind, folder = trained
    for name, size in (("a,b=c.jpg", (50, 41)), ("wide.png", (90, 30))):
        Image.effect_noise(size, 60).convert("RGB").save(tmp_path / name)
    done = run("evaluate.py", f"run={folder}", f"images={tmp_path}", f"text={QUESTION}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 images and the text" in done.stdout and "a,b=c.jpg" in done.stdout
    with open(results(folder)[-1] / "predictions.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    column = {"contrastive": "cosine", "captioning": "caption", "vqa": "answer"}[kind]
    assert len(lines) == 2 and all(QUESTION in line.values() and line[column] for line in lines)
    for name in CROSS[kind]:
        assert (results(folder)[-1] / f"attention/images_00001/{name}.png").exists()


def test_zero_shot_classes_are_chosen_from(trained, tmp_path):
    from PIL import Image

    kind, folder = trained
    Image.new("RGB", (40, 40), "red").save(tmp_path / "one.png")
    done = run("evaluate.py", f"run={folder}", f"images={tmp_path}", "classes=[star,a ring]", 'templates=["A {}."]')
    if kind != "contrastive":
        assert done.returncode == 2 and "classes are for contrastive runs" in done.stderr
        return
    assert done.returncode == 0, done.stdout + done.stderr
    with open(results(folder)[-1] / "predictions.csv", newline="") as file:
        (line,) = csv.DictReader(file)
    assert line["prediction"] in ("star", "a ring") and float(line["probability"]) >= 0.5
    done = run("evaluate.py", f"run={folder}", "split=test", 'templates=["A red {}."]')
    assert done.returncode == 0, done.stdout + done.stderr
    assert 0 <= json.loads((folder / "evaluation/test/metrics.json").read_text())["zero_shot_accuracy"] <= 1


def test_what_a_run_needs_of_a_text_is_said_before_anything_starts(trained, tmp_path):
    kind, folder = trained
    (tmp_path / "one.png").write_bytes(b"not read")
    done = run("evaluate.py", f"run={folder}", f"images={tmp_path}")
    if kind == "captioning":  # it writes its own
        assert done.returncode == 1 and "none of the 1 images could be read" in done.stderr
        return
    assert done.returncode == 2 and "text must be given" in done.stderr
    done = run("evaluate.py", f"run={folder}", "text=hello")
    assert done.returncode == 2 and "need images to apply to" in done.stderr


def test_load_gives_the_model_for_a_notebook(trained):
    kind, folder = trained
    model, preprocess, class_names = vitcross.load(folder)
    images = preprocess(np.zeros((50, 60, 3), np.uint8))[None]
    outputs = model(images, token_ids=np.array([[1, 5, 2]]), padding_mask=np.ones((1, 3), bool))
    assert {"contrastive": 2, "captioning": 1, "vqa": 1}[kind] == len(outputs)
    assert len(class_names) == (8 if kind != "vqa" else outputs.shape[-1])


def test_capture_on_or_off_leaves_the_losses_bit_identical(data_dir, tmp_path):
    losses = []
    for maps in ("default", "off"):
        overrides = [*tiny_scene_texts("captioning", data_dir), f"attention_maps={maps}"]
        done = run("train.py", *overrides, "trainer.steps=4", "trainer.log_every=1", f"hydra.run.dir={tmp_path / maps}")
        assert done.returncode == 0, done.stderr
        losses.append([(row["step"], row["train/loss"]) for row in rows(tmp_path / maps) if "train/loss" in row])
    assert losses[0] == losses[1] and len(losses[0]) == 4
