import colorsys
import json

import numpy as np
import pytest
from PIL import Image

from tests.data.images import decode_image
from vitcross.data.scenes.language import OPPOSITE, relation
from vitcross.data.scenes.scene import COLORS, SIZES, SceneOptions, render_scene
from vitcross.data.scenes.shapes import SHAPES, draw_mask
from vitcross.png import stored_png

OPTIONS = SceneOptions()
SCENES = [render_scene(OPTIONS, split="train", index=k) for k in range(400)]


def test_a_scene_is_a_function_of_its_arguments():
    again = render_scene(SceneOptions(), split="train", index=7)
    assert again.image.tobytes() == SCENES[7].image.tobytes()
    assert (again.caption, again.to_json()) == (SCENES[7].caption, SCENES[7].to_json())
    others = [
        render_scene(OPTIONS, split="test", index=7),
        render_scene(OPTIONS, split="train", index=8),
        render_scene(SceneOptions(seed=1), split="train", index=7),
    ]
    assert len({scene.image.tobytes() for scene in [again, *others]}) == 4


def test_exactly_one_object_has_the_target_color_and_decides_the_label():
    for scene in SCENES:
        assert [item.color == "red" for item in scene.objects].count(True) == 1
        assert scene.objects[scene.target].color == "red"
        assert SHAPES[scene.label] == scene.objects[scene.target].shape
    blue = render_scene(SceneOptions(target_color="blue"), split="train", index=0)
    assert [item.color for item in blue.objects].count("blue") == 1


def test_every_shape_size_color_and_number_occurs_and_shapes_are_independent():
    assert {len(scene.objects) for scene in SCENES} == {1, 2, 3, 4, 5}
    assert {scene.label for scene in SCENES} == set(range(8)) and len(SHAPES) == 8
    everything = [item for scene in SCENES for item in scene.objects]
    assert {item.size for item in everything} == set(SIZES) and {item.color for item in everything} == set(COLORS)
    pairs = np.zeros((8, 8))
    for scene in SCENES:
        for k, item in enumerate(scene.objects):
            if k != scene.target:
                pairs[scene.label, SHAPES.index(item.shape)] += 1
    expected = pairs.sum(1, keepdims=True) * pairs.sum(0, keepdims=True) / pairs.sum()
    assert ((pairs - expected) ** 2 / expected).sum() < 85  # chi-squared, 49 degrees of freedom: p = .001


def test_boxes_are_tight_and_objects_apart():
    for scene in SCENES[:100]:
        width, height = scene.image.size
        for k, item in enumerate(scene.objects):
            y_min, x_min, y_max, x_max = item.box
            assert 0 <= y_min < y_max <= 1 and 0 <= x_min < x_max <= 1
            assert (y_max - y_min) * height <= 2 * item.radius + 2 and (x_max - x_min) * width <= 2 * item.radius + 2
            for other in scene.objects[:k]:
                assert np.hypot(item.x - other.x, item.y - other.y) > item.radius + other.radius


def test_a_box_is_where_the_color_is():
    for scene in SCENES[:100]:
        pixels = np.asarray(scene.image).astype(float) / 255
        hue, saturation, _ = np.moveaxis(np.array([[colorsys.rgb_to_hsv(*p) for p in row] for row in pixels]), -1, 0)
        red = ((hue < 0.033) | (hue > 0.967)) & (saturation > 0.7)
        rows, columns = np.nonzero(red)
        y_min, x_min, y_max, x_max = np.array(scene.objects[scene.target].box) * 64
        # Mixed pixels at edges, dim clutter and neighbors' borders blur the comparison by a pixel or two.
        inside = (rows >= y_min) & (rows < y_max) & (columns >= x_min) & (columns < x_max)
        assert inside.mean() > 0.9
        found = np.array([rows[inside].min(), columns[inside].min(), rows[inside].max() + 1, columns[inside].max() + 1])
        np.testing.assert_allclose(found, [y_min, x_min, y_max, x_max], atol=2)


@pytest.mark.parametrize("shape", SHAPES)
def test_masks_fill_their_place_and_differ(shape):
    mask = np.asarray(draw_mask(shape, radius=20.0, rotation=0.7)) / 255
    assert mask.shape == (42, 42) and 250 < mask.sum() < 1300
    for other in SHAPES:
        if other != shape:
            turned = [
                np.asarray(draw_mask(other, radius=20.0, rotation=r)) / 255 for r in np.linspace(0, 2 * np.pi, 24)
            ]
            assert min(np.abs(mask - m).sum() / np.maximum(mask, m).sum() for m in turned) > 0.09


def test_links_point_at_words_that_name_their_object():
    for scene in SCENES:
        named = {k: set() for k in range(len(scene.objects))}
        for start, end, k in scene.links:
            named[k].add(scene.caption[start:end].lower())
        for k, item in enumerate(scene.objects):
            assert named[k] == {item.size, item.color, item.shape}


def test_captions_are_one_or_two_sentences_with_a_true_relation():
    for scene in SCENES:
        sentences = scene.caption.split(". ")
        assert len(sentences) == (1 if len(scene.objects) < 3 else 2) and scene.caption.endswith(".")
        assert all(sentence[0].isupper() for sentence in sentences)
        if len(scene.objects) > 1:
            order = list(dict.fromkeys(k for _, _, k in scene.links))
            first, second = (scene.objects[k] for k in order[:2])
            assert f" is {relation(first, second)} " in sentences[0]
            assert relation(second, first) == OPPOSITE[relation(first, second)]


def test_answers_are_true():
    numbers = ["zero", "one", "two", "three", "four", "five"]
    kinds = set()
    for scene in SCENES:
        for question in scene.questions:
            kinds.add(question["type"])
            words = question["question"].rstrip("?").split()
            items, indices, answer = scene.objects, question["objects"], question["answer"]
            if question["type"] == "shape":
                assert [item.shape for item in items if item.color == words[4]] == [answer]
            elif question["type"] == "color":
                assert [item.color for item in items if item.shape == words[-1]] == [answer]
            elif question["type"] == "count":
                counted = [item for item in items if words[2] in ("objects", item.color)]
                assert numbers[len(counted)] == answer and len(indices) == len(counted)
            elif question["type"] == "relation":
                first, second = (items[k] for k in indices)
                assert (words[3], words[8]) == (first.color, second.color)
                assert relation(first, second).startswith(answer)
            else:
                found = any((item.color, item.shape) == (words[3], words[4]) for item in items)
                assert answer == ("yes" if found else "no")
    assert kinds == {"shape", "color", "count", "relation", "yes_no"}
    answers = [q["answer"] for scene in SCENES for q in scene.questions if q["type"] == "yes_no"]
    assert 0.4 < answers.count("yes") / len(answers) < 0.6


def test_json_holds_what_later_tasks_need():
    content = json.loads(SCENES[3].to_json())
    assert set(content) == {"objects", "target", "links", "questions"}
    assert content["objects"][content["target"]]["color"] == "red"
    np.testing.assert_allclose(content["objects"][0]["box"], SCENES[3].objects[0].box, atol=1e-6)


@pytest.mark.parametrize("size", [(32, 32), (48, 96), (224, 160)])
def test_other_sizes(size):
    scene = render_scene(SceneOptions(image_size=size, max_objects=3), split="train", index=5)
    assert scene.image.size == size[::-1] and len(scene.objects) <= 3


@pytest.mark.parametrize(
    "wrong", [{"image_size": (20, 64)}, {"target_color": "pink"}, {"max_objects": 6}, {"seed": -1}]
)
def test_wrong_options_are_named(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} .*must be .* Received"):
        SceneOptions(**wrong)


def test_stored_png_is_lossless():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (13, 29, 3), np.uint8))
    np.testing.assert_array_equal(decode_image(stored_png(image), channels=3), np.asarray(image))
