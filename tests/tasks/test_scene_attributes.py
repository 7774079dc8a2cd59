import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitcross.data.scenes.scene import SceneOptions, render_scene
from vitcross.tasks.scene_attributes import PARTS, attribute_accuracy, match_objects, score_caption, score_objects


def thing(look, x, y):
    size, color, shape = look.split()
    return {"size": size, "color": color, "shape": shape, "box": [y - 0.1, x - 0.1, y + 0.1, x + 0.1]}


SCENE = {
    "objects": [
        thing("large red star", 0.2, 0.5),
        thing("small blue ring", 0.8, 0.6),
        thing("medium cyan heart", 0.5, 0.1),
    ]
}
TRUTH = "A large red star is left of a small blue ring. There is also a medium cyan heart."


def accuracy(text, scene=SCENE, truth=TRUTH):
    return attribute_accuracy([score_caption(text, scene, truth)])["attribute_accuracy"]


@pytest.mark.parametrize("index", range(40))
def test_true_captions_are_wholly_right(index):
    scene = render_scene(SceneOptions(image_size=(32, 56)), split="validation", index=index)
    counts = score_caption(scene.caption.lower(), json.loads(scene.to_json()), scene.caption)
    assert counts.right == counts.true == counts.said
    assert counts.true == dict.fromkeys(PARTS, len(scene.objects)) | {"relation": 1}


def test_boxes_tell_true_relations_but_for_objects_on_the_diagonal_of_one_another():
    right = []
    for index in range(150):
        scene = render_scene(SceneOptions(image_size=(64, 64)), split="validation", index=index)
        if len(scene.objects) > 1:
            right.append(score_caption(scene.caption, json.loads(scene.to_json()), "").right["relation"])
    assert sum(right) / len(right) > 0.97


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TRUTH, 1.0),
        (TRUTH.lower(), 1.0),
        # Any order of the objects, and any pair of them.
        ("a medium cyan heart is above a large red star. there is also a small blue ring.", 1.0),
        ("a small blue ring is right of a large red star. there is also a medium cyan heart.", 1.0),
        ("a large red star is right of a small blue ring. there is also a medium cyan heart.", 0.9),  # relation
        ("a large red star is left of a large blue ring. there is also a medium cyan heart.", 0.9),  # a size
        ("a large red star is left of a blue ring. there is also a medium cyan heart.", 0.9),  # not said
        ("a large red star is left of a small blue ring.", 0.7),  # an object is missing
        (TRUTH[:-1] + " and a large white cross.", 10 / 13),
        (TRUTH[:-1] + ", a large red star.", 10 / 13),
        ("", 0.0),
        ("a a a of is the", 0.0),
        ("left of above", 0.0),
        ("in the upper left", 0.0),
    ],
)  # fmt: skip
def test_share_of_right_attributes(text, expected):
    assert accuracy(text) == pytest.approx(expected)


def test_the_place_of_a_single_object_is_its_relation():
    scene = {"objects": [thing("small red cross", 0.1, 0.1)]}
    truth = "A small red cross is in the upper left."
    assert accuracy(truth, scene, truth) == 1.0
    assert accuracy("a small red cross is in the upper right.", scene, truth) == 0.75
    assert accuracy("a small red cross is above a", scene, truth) == 0.75
    assert accuracy("in the upper left", scene, truth) == 0.0


def test_a_relation_may_be_of_another_object_that_looks_the_same():
    stars = [thing("small red star", 0.2, 0.2), thing("small red star", 0.8, 0.2)]
    scene = {"objects": [*stars, thing("large blue ring", 0.5, 0.2)]}
    text = "a small red star is {} a large blue ring. there is also a small red star."
    assert accuracy(text.format("left of"), scene, "") == accuracy(text.format("right of"), scene, "") == 1.0
    assert accuracy(text.format("above"), scene, "") == 0.9


def test_what_the_true_caption_states_is_right_from_either_object():
    truth = "A large red star is above a small blue ring."  # the boxes say left of
    for text in ("a large red star is above a small blue ring.", "a small blue ring is below a large red star."):
        assert score_caption(text, SCENE, truth).right["relation"] == 1
    assert score_caption("a large red star is below a small blue ring.", SCENE, truth).right["relation"] == 0


def test_relations_of_images_that_are_not_square():
    scene = {"objects": [thing("small red star", 0.2, 0.2), thing("large blue ring", 0.5, 0.6)], "image_size": [32, 96]}
    text = "a small red star is left of a large blue ring."
    assert accuracy(text, scene, "") == 1.0
    assert accuracy(text, {"objects": scene["objects"]}, "") < 1.0


def test_objects_that_were_held_out_are_counted_alone():
    text = "a large red star is above a small blue star. there is also a small white cross."
    counts = score_objects(text, SCENE, [1])
    assert (counts.right["size"], counts.right["color"], counts.right["shape"]) == (1, 1, 0)
    values = attribute_accuracy([counts, score_objects(TRUTH, SCENE, [1])])
    assert values["attribute_accuracy"] == pytest.approx(5 / 6)
    assert values["attribute_accuracy/shape"] == 0.5 and "attribute_accuracy/relation" not in values
    assert attribute_accuracy([score_objects("", SCENE, [0, 2])])["attribute_accuracy"] == 0.0


def test_accuracy_by_kind():
    values = attribute_accuracy([score_caption("a large red star is above a small red heart.", SCENE, TRUTH)])
    assert values["attribute_accuracy/shape"] == pytest.approx(2 / 3)
    assert values["attribute_accuracy/relation"] == 0.0
    assert list(values) == ["attribute_accuracy", *(f"attribute_accuracy/{kind}" for kind in (*PARTS, "relation"))]


LOOKS = st.fixed_dictionaries({part: st.sampled_from(words[:3]) for part, words in PARTS.items()})


@settings(max_examples=60, deadline=None)
@given(said=st.lists(LOOKS, max_size=5), true=st.lists(LOOKS, min_size=1, max_size=4))
def test_matching_is_the_best_one(said, true):
    def words(matches):
        pairs = [(item, true[k]) for item, k in zip(said, matches, strict=True) if k is not None]
        return sum(item[part] == other[part] for item, other in pairs for part in PARTS)

    matches = match_objects(said, true)
    taken = [k for k in matches if k is not None]
    assert len(set(taken)) == len(taken)
    places = [*range(len(true)), *[None] * len(said)]
    assert words(matches) == max(words(chosen) for chosen in set(itertools.permutations(places, len(said))))


def test_many_invented_objects_are_matched_quickly():
    said = [{"size": "small", "color": "red", "shape": "star"}] * 60
    assert sum(match is not None for match in match_objects(said, SCENE["objects"] * 2)) <= 6
