"""Generates any number of training questions about a rendered scene, taking the types in turn.

Most ask about single objects and relations, which are hard to learn. Counting and existence, which colors alone nearly
decide, get few questions.
"""

import dataclasses
import itertools
import random

from vitcross.data.scenes.language import (
    color_question,
    count_question,
    existence_question,
    relation_question,
    shape_question,
    unique,
)

# Where two distances differ by less, "left" and "above" are equally correct.
_CLEAR = 0.03


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Seen:
    """An object of a stored scene: words, and the center of its box in units of the image's height."""

    shape: str
    color: str
    size: str
    x: float
    y: float


def training_questions(scene, *, seed, count, image_size, shapes, colors, unspoken=frozenset()):
    """Up to `count` different questions about a scene; a pure function of the arguments.

    Args:
        scene: dict of `Scene.to_json`.
        seed: str, selects the questions where there are more.
        count: int.
        image_size: (height, width).
        shapes, colors: tuples of str, those that scenes may contain.
        unspoken: frozenset of (shape, color) that no training scene contains and no question asks about.

    Returns:
        list of dicts as `language.questions`.
    """
    rng = random.Random(seed)
    objects = [_seen(item, image_size) for item in scene["objects"]]
    by_color, by_shape = unique(objects, "color"), unique(objects, "shape")
    kinds = [
        [shape_question(objects, index) for index in by_color],
        [color_question(objects, index) for index in by_shape],
        [relation_question(objects, *pair) for pair in itertools.permutations(by_color, 2) if _clear(objects, *pair)],
        [count_question(objects, rng.choice([None, rng.choice(objects).color, rng.choice(colors)]))],
        _existence(rng, objects, shapes, colors, unspoken),
    ]
    for kind in kinds:
        rng.shuffle(kind)
    shapes_asked, colors_asked, relations, *easy = kinds
    # Two relations per turn: they depend on two objects, so they are learned last.
    turns = itertools.zip_longest(shapes_asked, colors_asked, relations[::2], *easy, relations[1::2])
    in_turn = (item for turn in turns for item in turn if item is not None)
    different = {item["question"]: item for item in in_turn}
    return list(different.values())[:count]


def _existence(rng, objects, shapes, colors, unspoken):
    """One question about an object in the scene and one about an absent object."""
    there = {(item.shape, item.color) for item in objects}
    elsewhere = [pair for pair in itertools.product(shapes, colors) if pair not in there and pair not in unspoken]
    return [existence_question(objects, *rng.choice(pairs)) for pairs in (sorted(there), elsewhere)]


def _seen(item, image_size):
    height, width = image_size
    y_min, x_min, y_max, x_max = item["box"]
    words = {key: item[key] for key in ("shape", "color", "size")}
    return _Seen(**words, x=(x_min + x_max) / 2 * width / height, y=(y_min + y_max) / 2)


def _clear(objects, first, second):
    dx, dy = abs(objects[first].x - objects[second].x), abs(objects[first].y - objects[second].y)
    return abs(dx - dy) >= _CLEAR
