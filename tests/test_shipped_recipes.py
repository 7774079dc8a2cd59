"""Every shipped experiment and data set takes real training steps, on a few examples in the real format."""

import json
import time

import numpy as np
import pytest

import vitcross
from tests import tiny_tfds
from tests.logged_keys import LOGS, check_logged
from tests.tiny_texts import SHORT as QUICK
from tests.tiny_texts import TINY_TOWERS, tiny_model, tiny_scene_texts, write_pairs
from vitcross.config import compose
from vitcross.config.help_page import options
from vitcross.data.problems import TooManyUnreadable
from vitcross.experiment import build
from vitcross.experiment.run_folder import Command

TFDS_SETS = ("mnist", "fashion_mnist", "cifar10", "cifar100", "oxford_flowers102", "imagenet2012")
SHORT = [
    "trainer.steps=2",
    "trainer.evaluate_every=1",
    "optimizer.warmup=0",
    "data.batch_size=8",
    "model.depth=2",
    "model.embed_dim=16",
    "model.num_heads=2",
    "attention_maps.num_probes=2",
    "attention_maps.captures=2",
    "attention_maps.num_measured=3",
    "attention_maps.trust_captures=0",
    "sinks=local",
]
# Splits that a set of 24 examples has, and a size at which a step is quick.
ON_A_TINY_SET = {
    "mnist": ['data.train_split="train[:16]"', 'data.validation_split="train[16:]"'],
    "fashion_mnist": ['data.train_split="train[:16]"', 'data.validation_split="train[16:]"'],
    "cifar10": ['data.train_split="train[:16]"', 'data.validation_split="train[16:]"'],
    "cifar100": ['data.train_split="train[:16]"', 'data.validation_split="train[16:]"'],
    "oxford_flowers102": ["data.image_size=32"],
    "imagenet2012": ["data.image_size=32", 'data.train_split="train[:16]"', 'data.validation_split="train[16:]"'],
}


OF_IMAGES = {  # experiment -> its data set
    "fashion_mnist": "fashion_mnist",
    "fashion_mnist_long": "fashion_mnist",
    "cifar10_small_vit": "cifar10",
    "imagenet_s16": "imagenet2012",
}


def take_steps(overrides, folder, logs=frozenset()):
    """Train two steps; `logs` are the patterns of `metric_keys` that the run must log, at least."""
    from vitcross.training.guards import StopOnSignal
    from vitcross.training.run import train_and_close

    settings, choices = compose.check_arguments("train", overrides)
    command = Command(settings=settings, choices=choices, folder=folder)
    with StopOnSignal() as stop_on_signal:
        parts = build.build_training(command, stop_on_signal=stop_on_signal, started=time.perf_counter())
        before = [np.array(v) for v in parts["trainer"].task.network.trainable_variables]
        assert train_and_close(**parts) == 0
    after = parts["trainer"].task.network.trainable_variables
    assert any(np.any(b != np.asarray(a)) for b, a in zip(before, after, strict=True))
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["steps"] == 2 and np.isfinite(summary["val/loss"])
    check_logged(folder, logs)


def test_nothing_that_is_shipped_is_left_out():
    shipped = set(options(compose.CONF, "data"))
    # The last ones: below, test_train, test_train_texts, tests/data.
    with_texts = {"scenes_captions", "scenes_questions", "pairs", "coco_captions"}
    assert shipped == {*TFDS_SETS, "scenes", "tfds", "image_folder", "labels_file", "huggingface", *with_texts}
    experiments = set(options(compose.CONF, "experiment"))
    assert experiments == {
        *OF_IMAGES,
        *(f"scenes_{kind}" for kind in TINY_TOWERS),
        "pairs_contrastive",
        "scenes_watermark",
        "scenes_multilabel",
        "finetune",
    }


@pytest.mark.parametrize("name", TFDS_SETS)
def test_data_set(name, tmp_path, monkeypatch):
    tiny_tfds.prepare(name, tmp_path / "data", monkeypatch)
    take_steps([f"data={name}", f"data.data_dir={tmp_path / 'data'}", *ON_A_TINY_SET[name], *SHORT], tmp_path / "run")


@pytest.mark.parametrize("name", OF_IMAGES)
def test_experiment(name, tmp_path, monkeypatch):
    data = OF_IMAGES[name]
    tiny_tfds.prepare(data, tmp_path / "data", monkeypatch)
    overrides = [f"experiment={name}", f"data.data_dir={tmp_path / 'data'}", *ON_A_TINY_SET[data], *SHORT]
    take_steps(overrides, tmp_path / "run", LOGS.get(name, LOGS["classification"]))


@pytest.mark.parametrize("how", [[], ['optimizer.frozen=["*/embedding/*","*/block_*"]', "optimizer.layer_decay=1"]])
def test_fine_tuning_to_other_classes_and_another_size(how, tiny_scenes, tmp_path, capsys):
    take_steps([*tiny_scenes, *SHORT], tmp_path / "first")
    classes = {"cat": "red", "dog": "blue", "bird": "green"}
    write_folder(tmp_path / "images", classes)
    overrides = ["experiment=finetune", f"init_from={tmp_path / 'first'}", "data=image_folder", *SHORT, *how]
    capsys.readouterr()
    take_steps([*overrides, f"data.root={tmp_path / 'images'}", "data.image_size=[48,40]"], tmp_path / "run")
    said = capsys.readouterr().out
    assert "copied, 1 resampled, 2 re-initialized, 2 unused; re-initialized: head/kernel, head/bias" in said
    _, _, class_names = vitcross.load(tmp_path / "run")
    assert class_names == tuple(sorted(classes))


def write_folder(root, colors, count=5):
    from PIL import Image

    for label, color in colors.items():
        (root / label).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (40 + 7 * i, 43), color).save(root / label / f"{i}.png")


TRAINERS = {
    "lion": ["optimizer=lion", "optimizer.schedule=wsd", "optimizer.cooldown=1", "optimizer.ema=3"],
    "muon": ["optimizer=muon", "optimizer.schedule=rsqrt", "trainer.accumulate_steps=4", "optimizer.layer_decay=0.5"],
    "schedule_free": ["optimizer=schedule_free", "trainer.early_stopping=2"],
    "mixed_float16": ["trainer.dtype_policy=mixed_float16", "optimizer.ema=3", "trainer.accumulate_steps=2"],
}


@pytest.mark.parametrize("kind", TRAINERS)
def test_each_optimizer_and_what_belongs_to_it(kind, tiny_scenes, tmp_path):
    take_steps([*tiny_scenes, *SHORT, "attention_maps=off", *TRAINERS[kind]], tmp_path / "run")
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert ("val/loss_ema" in summary) == ("optimizer.ema=3" in TRAINERS[kind])
    assert summary["best/metric"] == ("val/accuracy_ema" if "val/loss_ema" in summary else "val/accuracy")


@pytest.mark.parametrize("kind", ["captioning", "vqa"])
def test_texts_in_parts(kind, tmp_path):
    overrides = [*tiny_scene_texts(kind, tmp_path / "data"), "trainer.steps=2", "trainer.evaluate_every=1"]
    overrides += ["data.batch_size=12", "data.texts_per_image=3", "trainer.accumulate_steps=2"]
    take_steps([*overrides, "attention_maps=off"], tmp_path / "run")


EVERYTHING = [
    *("padded_crop=2", "random_resized_crop=0.5", "color_jitter=0.3", "erasing=0.25"),
    *("mixup=0.8", "cutmix=1.0", "mix_probability=0.9", "repeats=2"),
]


@pytest.mark.parametrize("changes", ["randaugment_operations=2", "three_augment=true"])
@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_a_recipe_with_every_change_of_images(changes, loss, tmp_path):
    overrides = [f"data.augmentation.{change}" for change in (*EVERYTHING, changes)]
    overrides += [f"task.loss={loss}", "task.label_smoothing=0.1", f"data.data_dir={tmp_path / 'data'}"]
    overrides += ["data.image_size=[32,40]", "data.train_examples=24", "data.validation_examples=8"]
    take_steps([*overrides, "data.test_examples=8", *SHORT], tmp_path / "run")


def test_experiment_of_a_planted_mark(tiny_scenes, tmp_path):
    overrides = ["experiment=scenes_watermark", *tiny_scenes, *SHORT, "attention_maps.trust_captures=1"]
    overrides += ["attention_maps.num_measured=8"]  # the objects of so small scenes cover half of few patches
    take_steps(overrides, tmp_path / "run", LOGS["scenes_watermark"])
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert {"val/accuracy", "val/accuracy_unmarked", "val/accuracy_misleading"} <= summary.keys()


def test_experiment_of_several_labels(tiny_scenes, tmp_path):
    folder = tmp_path / "run"
    measured = ["attention_maps.trust_captures=1", "attention_maps.num_measured=8"]
    take_steps(["experiment=scenes_multilabel", *tiny_scenes, *SHORT, *measured], folder, LOGS["scenes_multilabel"])
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert any("grounding/relevance/pointing" in row for row in rows)
    model, preprocess, names = vitcross.load(folder)
    assert model.multilabel and len(names) == model.num_classes == 8


@pytest.mark.parametrize("kind", TINY_TOWERS)
def test_experiment_of_scenes_with_texts(kind, tmp_path):
    overrides = tiny_scene_texts(kind, tmp_path / "data")
    take_steps([*overrides, "trainer.steps=2", "trainer.evaluate_every=1"], tmp_path / "run", LOGS[kind])


def test_experiment_of_own_pairs(tmp_path):
    from PIL import Image

    file = write_pairs(tmp_path)
    with file.open("a") as lines:  # an image that is not there, one that is none, and an empty text
        lines.write('\n{"image": "gone.png", "text": "gone"}\n{"image": "bad.png", "text": "bad"}')
        lines.write('\n{"image": "0.png", "text": " "}')
    (tmp_path / "bad.png").write_bytes(b"no image")
    Image.open(tmp_path / "0.png").convert("CMYK").save(tmp_path / "1.jpg")
    overrides = ["experiment=pairs_contrastive", f"data.file={file}", "data.image_size=[32,48]", "data.batch_size=8"]
    overrides += ["data.vocabulary_size=300", "trainer.steps=2", "trainer.evaluate_every=1"]
    take_steps([*overrides, *tiny_model("contrastive"), *QUICK], tmp_path / "run")


@pytest.mark.parametrize(("kind", "model"), [("contrastive", "dual_encoder"), ("captioning", "captioner")])
def test_coco_captions(kind, model, tmp_path, monkeypatch):
    tiny_tfds.prepare("coco_captions", tmp_path / "data", monkeypatch)
    overrides = ["data=coco_captions", f"model={model}", f"task={kind}", f"data.data_dir={tmp_path / 'data'}"]
    overrides += ["data.image_size=32", "data.batch_size=8", "data.max_text_length=12", "data.vocabulary_size=300"]
    overrides += ["trainer.steps=2", "trainer.evaluate_every=1", *tiny_model(kind), *QUICK]
    take_steps(overrides, tmp_path / "run")


def test_own_images_with_one_that_cannot_be_read(tmp_path):
    from PIL import Image

    random = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for i in range(9):
            size = (33 + 7 * i, 41)
            Image.effect_noise(size, 40 + 20 * random.random()).save(tmp_path / "images" / label / f"{i}.jpg")
    (tmp_path / "images/cat/broken.jpg").write_bytes(b"no image")
    overrides = ["data=image_folder", f"data.root={tmp_path / 'images'}", "data.image_size=[32,48]", *SHORT]
    take_steps(overrides, tmp_path / "run")


def test_own_table_of_labels_with_boxes_grounds_the_maps(tmp_path):
    from PIL import Image

    random, lines = np.random.default_rng(0), ["id,species,bbox"]
    for i in range(18):
        Image.effect_noise((53, 41), 50).save(tmp_path / f"{i:03}.png")
        x, y = random.integers(0, 20, 2)
        lines.append(f'{i:03},{("cat", "dog")[i % 2]},"[{x}, {y}, 29, 20]"')
    (tmp_path / "train.csv").write_text("\n".join(lines))
    overrides = ["data=labels_file", f"data.file={tmp_path / 'train.csv'}", "data.image_size=[32,48]", *SHORT]
    take_steps([*overrides, "data.box_format=xywh", "attention_maps.captures=1"], tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert any(0 <= row.get("grounding/rollout/energy", -1) <= 1 for row in rows)


def test_too_many_unreadable_images_end_the_run_with_their_names(tmp_path):
    write_folder(tmp_path / "images", {"cat": "red", "dog": "blue"}, count=4)
    for label in ("cat", "dog"):
        (tmp_path / f"images/{label}/broken.jpg").write_bytes(b"no image")
    overrides = ["data=image_folder", f"data.root={tmp_path / 'images'}", "data.image_size=32", *SHORT]
    with pytest.raises(Exception, match="broken.jpg") as caught:
        take_steps([*overrides, "data.max_unreadable=0"], tmp_path / "run")
    assert isinstance(caught.value, TooManyUnreadable)
