"""A tiny set of scenes that is really prepared."""

import json
import subprocess
import sys

import numpy as np
import pytest

from vitcross.data import load
from vitcross.data.batch import check_batch
from vitcross.data.scenes.scene import SceneOptions, render_scene
from vitcross.data.scenes.scenes_builder import prepared_scenes
from vitcross.data.scenes.workers import render_scenes

COUNTS = {"train": 23, "validation": 7, "test": 5}
SIZE = (40, 56)
OPTIONS = SceneOptions(image_size=SIZE, seed=3)


def scenes(folder, **changes):
    counts = {f"{split}_examples": count for split, count in COUNTS.items()}
    arguments = {"scene_seed": 3, "image_size": list(SIZE), "batch_size": 5, "data_dir": str(folder)} | counts
    return load.scenes(**(arguments | changes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("scenes")


@pytest.fixture(scope="module")
def data(folder):
    return scenes(folder)


def test_prepared_scenes_are_the_rendered_ones(data):
    for split, count in COUNTS.items():
        source = data.source(split)
        assert len(source) == count
        for index in (0, count - 1):
            scene, example = render_scene(OPTIONS, split=split, index=index), source[index]
            np.testing.assert_array_equal(example["image"], np.asarray(scene.image))
            assert (example["label"], example["num_objects"]) == (scene.label, len(scene.objects))
            np.testing.assert_allclose(example["box"], scene.objects[scene.target].box, atol=1e-6)
            stored = source.example(index).features.feature
            assert stored["caption"].bytes_list.value[0].decode() == scene.caption
            assert json.loads(stored["scene"].bytes_list.value[0]) == json.loads(scene.to_json())


def test_batches_hold_boxes_and_numbers_of_objects(data):
    batch = next(data.train_batches(seed=0).as_numpy_iterator())
    check_batch(batch, image_shape=(*SIZE, 3), num_classes=8)
    assert {"box", "num_objects"} <= set(batch)
    for batch in data.evaluation_batches("validation").as_numpy_iterator():
        check_batch(batch, image_shape=(*SIZE, 3), num_classes=8)
    assert data.class_names[0] == "circle" and data.num_classes == 8


def test_a_flipped_scene_has_a_flipped_box(data, folder):
    flipping = scenes(folder, augmentation={"flip": True})
    plain = {int(k): box for k, box in enumerate(data.examples("train", range(23))["box"])}
    moved = 0
    for batch in flipping.train_batches(seed=1).take(4).as_numpy_iterator():
        for index, box in zip(batch["index"], batch["box"], strict=True):
            y_min, x_min, y_max, x_max = plain[int(index)]
            if np.allclose(box, (y_min, x_min, y_max, x_max), atol=1e-6):
                continue
            moved += 1
            np.testing.assert_allclose(box, (y_min, 1 - x_max, y_max, 1 - x_min), atol=1e-6)
    assert 3 < moved < 18


def test_a_second_use_renders_nothing(folder, data, monkeypatch):
    monkeypatch.setattr("vitcross.data.scenes.scenes_builder.render_scenes", None)
    assert len(scenes(folder).train) == 23


def test_other_options_make_another_folder(folder, data):
    name = "40x56_red_max5_seed3_23_7_5"
    assert [path.name for path in (folder / "vitcross_scenes").iterdir()] == [name]
    scenes(folder, target_color="blue", train_examples=2, validation_examples=1, test_examples=1)
    assert {path.name for path in (folder / "vitcross_scenes").iterdir()} == {name, "40x56_blue_max5_seed3_2_1_1"}


def test_progress_is_reported(tmp_path, capsys):
    seen = []
    prepared_scenes(
        scenes=OPTIONS,
        counts={"train": 3, "test": 2},
        data_dir=tmp_path,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(k, 5) for k in range(1, 6)]
    assert capsys.readouterr().out == ""


def test_the_number_of_processes_changes_nothing():
    counts = {"train": 401, "test": 3}
    one, three = (list(render_scenes(OPTIONS, counts=counts, processes=n)) for n in (1, 3))
    assert one == three
    assert [(split, index) for split, index, _ in one] == [(s, k) for s, count in counts.items() for k in range(count)]


def test_an_abandoned_stream_ends_its_processes():
    stream = render_scenes(OPTIONS, counts={"train": 10_000})
    next(stream)
    stream.close()


def test_two_processes_may_prepare_at_once(tmp_path):
    code = (
        "from vitcross.data.scenes.scene import SceneOptions;"
        "from vitcross.data.scenes.scenes_builder import prepared_scenes\n"
        "import sys; counts = {'train': 300, 'test': 50}\n"
        "builder = prepared_scenes(scenes=SceneOptions(), counts=counts, data_dir=sys.argv[1])\n"
        "print(builder.info.splits['train'].num_examples, builder.info.splits['test'].num_examples)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in running:
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert out.split() == ["300", "50"]
    (configuration,) = (tmp_path / "vitcross_scenes").iterdir()
    assert [path.name for path in configuration.iterdir()] == ["1.0.0"]


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"train_examples": 0}, "expected a positive integer. Received: train_examples=0"),
        ({"num_classes": 9}, "num_classes must be the 8"),
    ],
)
def test_wrong_options_are_named(folder, data, wrong, rule):
    with pytest.raises(ValueError, match=rule):
        scenes(folder, **wrong)
