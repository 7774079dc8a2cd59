"""Scenes with captions and questions, prepared for real: links, boxes, and combinations that training never sees."""

import numpy as np
import pytest

from vitcross.data import load
from vitcross.data.batch import check_batch
from vitcross.data.scenes.scene import COLORS, SceneOptions, held_out_combinations, render_scene
from vitcross.data.scenes.shapes import SHAPES
from vitcross.data.scenes.word_boxes import scene_links

HELD_OUT = SceneOptions(held_out=True)
CAPTION_OF_7 = "A large red triangle is in the middle center."
QUESTIONS_OF_7 = [
    "What shape is the red object?",
    "What color is the triangle?",
    "How many red objects are there?",
    "Is there a white ring?",
]
COUNTS = {"train": 29, "validation": 13, "test": 7, "unseen": 11}


def scenes(folder, **changes):
    counts = {f"{split}_examples": count for split, count in COUNTS.items()}
    arguments = {"image_size": [40, 56], "batch_size": 5, "data_dir": str(folder), "max_text_length": 40} | counts
    return load.scene_texts(**(arguments | changes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("scene_texts")


@pytest.fixture(scope="module")
def captions(folder):
    return scenes(folder, texts="captions")


@pytest.fixture(scope="module")
def questions(folder):
    return scenes(folder, texts="questions")


def combinations(scene):
    return {(item.shape, item.color) for item in scene.objects}


@pytest.mark.parametrize("target", COLORS)
def test_held_out_combinations_have_a_shape_and_a_color_each(target):
    held_out = held_out_combinations(target)
    shapes, colors = zip(*held_out, strict=True)
    assert len(held_out) == len(set(shapes)) == len(set(colors)) == 7
    assert set(colors) == set(COLORS) - {target} and set(shapes) < set(SHAPES)


def test_held_out_combinations_are_in_every_unseen_scene_and_nowhere_else():
    held_out = held_out_combinations("red")
    seen = [
        render_scene(HELD_OUT, split=split, index=k) for split in ("train", "validation", "test") for k in range(99)
    ]
    unseen = [render_scene(HELD_OUT, split="unseen", index=k) for k in range(150)]
    assert not any(combinations(scene) & held_out for scene in seen)
    assert all(combinations(scene) & held_out for scene in unseen)
    assert set.union(*(combinations(scene) & held_out for scene in unseen)) == held_out
    assert {len(scene.objects) for scene in seen} == {1, 2, 3, 4, 5}
    assert {len(scene.objects) for scene in unseen} == {2, 3, 4, 5}
    words = [f"{color} {shape}" for shape, color in held_out]
    for scene in seen:
        texts = [scene.caption, *(item["question"] for item in scene.questions)]
        assert not any(word in text for word in words for text in texts)
    answers = {
        item["answer"]
        for scene in unseen
        for item in scene.questions
        if any(word in item["question"] for word in words)
    }
    assert answers == {"yes", "no"}
    for scene in (*seen, *unseen):
        assert [item.color == "red" for item in scene.objects].count(True) == 1


def test_without_held_out_combinations_scenes_are_what_they_were():
    """Prepared sets stay valid: pixels may change with Pillow, words and boxes only with the version of the builder."""
    scene = render_scene(SceneOptions(), split="train", index=7)
    assert scene.caption == CAPTION_OF_7
    assert [item["question"] for item in scene.questions] == QUESTIONS_OF_7
    assert any(
        combinations(render_scene(SceneOptions(), split="train", index=k)) & held_out_combinations("red")
        for k in range(50)
    )


def test_captions_are_pairs(captions):
    assert captions.splits == ("train", "validation", "test", "unseen")
    assert captions.evaluation_splits == ("validation", "unseen") and not captions.question_types
    assert {split: len(captions.source(split)) for split in captions.splits} == COUNTS
    for split in captions.splits:
        for batch in captions.evaluation_batches(split).as_numpy_iterator():
            check_batch(batch, image_shape=(40, 56, 3), num_classes=8)
    scene = render_scene(SceneOptions(held_out=True, image_size=(40, 56)), split="unseen", index=3)
    assert captions.unseen.text(3) == scene.caption
    assert captions.class_names[captions.unseen.labels()[3]] == scene.objects[scene.target].shape
    assert captions.references("unseen").scene(3)["objects"][0]["shape"] == scene.objects[0].shape
    assert captions.problems.names == {}


def test_questions_are_pairs(questions):
    assert questions.question_types == ("color", "count", "relation", "shape", "yes_no")
    assert 4 * 29 <= len(questions.train) <= 5 * 29 and len(questions.train.images) == 29
    for batch in questions.train_batches(seed=1).take(3).as_numpy_iterator():
        check_batch(batch, image_shape=(40, 56, 3), num_classes=questions.num_classes)
    source = questions.unseen
    asked = questions.examples("unseen", range(len(source)))
    for index in range(len(source)):
        scene = render_scene(
            SceneOptions(held_out=True, image_size=(40, 56)), split="unseen", index=source.image_of(index)
        )
        (item,) = [item for item in scene.questions if item["question"] == source.text(index)]
        assert (
            questions.question_types[asked["question_type"][index]] == item["type"] == source.pairs[index].question_type
        )
        label = asked["labels"][index]
        assert (
            item["answer"] == questions.class_names[label]
            if label >= 0
            else item["answer"] not in questions.class_names
        )
    assert "annotator_answers" not in asked


@pytest.mark.parametrize("resize", ["crop", "stretch"])
def test_words_of_a_caption_have_the_boxes_of_their_objects(folder, resize):
    data = scenes(folder, texts="captions", resize=resize)
    for index in range(COUNTS["validation"]):
        scene = data.validation.scene(index)
        text = data.validation.text(index)
        named = {}
        words, boxes = data.words("validation", index), data.word_boxes("validation", index)
        assert len(words) == len(boxes)
        for word, box in zip(words, boxes, strict=True):
            assert (box is not None) == any(
                word.text.lower() in (o["shape"], o["color"], o["size"]) for o in scene["objects"]
            )
            if box is not None:
                assert box.shape == (1, 4) and box.dtype == np.float32
                named.setdefault(tuple(box[0].tolist()), set()).add(word.text.lower())
        assert len(named) == len(scene["objects"])
        for item in scene["objects"]:
            key = min(named, key=lambda box: np.abs(np.subtract(box, item["box"])).sum())
            np.testing.assert_allclose(key, item["box"], atol=1e-6)
            assert named[key] == {item["shape"], item["color"], item["size"]}
        for start, end, box, part in data.validation.links(index):
            (item,) = [o for o in scene["objects"] if np.allclose(o["box"], box[0])]
            assert item[part] == text[start:end].lower()


def test_boxes_follow_the_view_that_the_model_sees(folder, monkeypatch):
    data = scenes(folder, texts="captions")
    whole = data.word_boxes("validation", 2)
    monkeypatch.setattr("vitcross.data.geometry.evaluation_view", lambda *a, **k: (0.5, 0.0, 1.0, 1.0))
    lower = data.word_boxes("validation", 2)
    for before, after in zip(whole, lower, strict=True):
        if before is None or before[0][2] <= 0.5:
            assert after is None
        else:
            y_min, x_min, y_max, x_max = before[0]
            np.testing.assert_allclose(after[0], (max(0, 2 * y_min - 1), x_min, 2 * y_max - 1, x_max), atol=1e-6)


OBJECTS = [
    {"shape": "star", "color": "red", "size": "small", "box": [0.1, 0.1, 0.2, 0.2]},
    {"shape": "star", "color": "blue", "size": "large", "box": [0.3, 0.3, 0.4, 0.4]},
    {"shape": "ring", "color": "blue", "size": "large", "box": [0.5, 0.5, 0.6, 0.6]},
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What shape is the red object?", [("red", "color", [0])]),
        ("What color is the ring?", [("ring", "shape", [2])]),
        ("How many blue objects are there?", [("blue", "color", [1, 2])]),
        ("How many objects are there?", []),
        ("How many white objects are there?", []),
        ("Where is the red object, seen from the blue object?", [("red", "color", [0]), ("blue", "color", [1, 2])]),
        ("Is there a blue star?", [("blue", "color", [1]), ("star", "shape", [1])]),
        ("Is there a red ring?", []),
        ("Is there a cyan star?", []),
        ("Are the STARS starring?", []),
        ("Red star!", [("Red", "color", [0]), ("star", "shape", [0])]),
    ],
)
def test_words_of_a_question_name_what_their_color_and_shape_fit(text, expected):
    links = scene_links({"objects": OBJECTS, "links": []}, text, is_caption=False)
    assert [(text[start:end], part) for start, end, _, part in links] == [(word, part) for word, part, _ in expected]
    for (_, _, boxes, _), (_, _, indices) in zip(links, expected, strict=True):
        np.testing.assert_allclose(boxes, [OBJECTS[k]["box"] for k in indices])


def test_questions_of_scenes_point_at_what_decides_them():
    for k in range(60):
        scene = render_scene(SceneOptions(), split="train", index=k)
        content = {"objects": [item.description() for item in scene.objects], "links": scene.links}
        for item in scene.questions:
            links = scene_links(content, item["question"], is_caption=False)
            pointed = {tuple(box) for _, _, boxes, _ in links for box in boxes.tolist()}
            decisive = {tuple(np.float32(content["objects"][n]["box"]).tolist()) for n in item["objects"]}
            assert pointed == (set() if item["question"].startswith("How many objects") else decisive)


def test_other_options_make_another_folder(folder, captions):
    names = {path.name for path in (folder / "vitcross_scenes").iterdir()}
    assert "40x56_red_max5_seed0_heldout_29_13_7_11" in names
    plain = scenes(folder, texts="captions", held_out_combinations=False, train_examples=5)
    assert plain.splits == ("train", "validation", "test") and plain.evaluation_splits == ("validation",)
    assert (folder / "vitcross_scenes" / "40x56_red_max5_seed0_5_13_7").is_dir()


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"texts": "poems"}, "expected 'captions' or 'questions'. Received: texts='poems'"),
        ({"texts": "captions", "max_objects": 1}, "max_objects must be from 2 to 5 with held-out.*Received: 1"),
        ({"texts": "captions", "num_classes": 9}, "num_classes must be the 8"),
        ({"texts": "captions", "unseen_examples": 0}, "expected a positive integer. Received: unseen_examples=0"),
    ],
)
def test_wrong_options_are_named(folder, wrong, rule):
    with pytest.raises(ValueError, match=rule):
        scenes(folder, **wrong)


def test_further_questions_are_true_different_and_ask_for_every_object(folder):
    data = scenes(folder, texts="questions", questions_per_scene=99)
    few = scenes(folder, texts="questions", questions_per_scene=6)
    stored = scenes(folder, texts="questions")
    assert max(np.bincount(few.train.image_ids)) == 6 < max(np.bincount(data.train.image_ids))
    assert data.validation.texts() == stored.validation.texts()
    assert {pair.question_type for pair in data.train.pairs} == {"shape", "color", "count", "relation", "yes_no"}
    for index, pair in enumerate(data.train.pairs):
        objects = data.train.scene(index)["objects"]
        words = pair.text.lower().rstrip("?").split()
        fits = [o for o in objects if o["color"] in words or o["shape"] in words]
        if pair.question_type in ("shape", "color"):
            (item,) = fits
            assert item[pair.question_type] == pair.label
        elif pair.question_type == "count":
            number = len(objects) if words[2] == "objects" else len(fits)
            assert pair.label == ("zero", "one", "two", "three", "four", "five")[number]
        elif pair.question_type == "yes_no":
            there = any(o["color"] in words and o["shape"] in words for o in objects)
            assert pair.label == ("yes" if there else "no")
    for image in np.unique(data.train.image_ids):
        texts = [pair.text for pair in data.train.pairs if pair.image == image]
        assert len(texts) == len(set(texts))
        colors = [o["color"] for o in data.train.images.scene(int(image))["objects"]]
        asked = {c for c in colors if colors.count(c) == 1}
        assert all(f"What shape is the {color} object?" in texts for color in asked)


def test_further_relations_agree_with_the_stored_ones(folder):
    """Stored answers come from the places of the objects, further ones from their boxes."""
    further = scenes(folder, texts="questions", questions_per_scene=99).train
    stored = scenes(folder, texts="questions").train
    known = {(pair.image, pair.text): pair.label for pair in further.pairs}
    both = [(known[pair.image, pair.text], pair.label) for pair in stored.pairs if (pair.image, pair.text) in known]
    assert len(both) > 20 and all(one == other for one, other in both)


def test_scenes_know_which_of_their_objects_were_held_out(captions):
    held_out = held_out_combinations("red")
    for split in COUNTS:
        for index in range(len(captions.source(split))):
            scene = captions.references(split).scene(index)
            found = [k for k, o in enumerate(scene["objects"]) if (o["shape"], o["color"]) in held_out]
            assert scene["held_out"] == found and bool(found) == (split == "unseen")
            assert scene["image_size"] == [40, 56]
    assert "held_out" not in render_scene(SceneOptions(), split="train", index=0).to_json()
