"""Scores captions of rendered scenes by the share of attributes that are correct.

A caption of the scenes' language (`vitcross.data.scenes.language`) names objects, each by size, color and shape, and
one relation of two objects, or the place of a single one. It is read word by word, so that a broken sentence still
scores for its correct words.
"""

import dataclasses
import re
import types

from vitcross.data.scenes.language import OPPOSITE, relation
from vitcross.data.scenes.scene import COLORS, SIZES
from vitcross.data.scenes.shapes import SHAPES

ROWS, COLUMNS = ("upper", "middle", "lower"), ("left", "center", "right")
PARTS = {"size": tuple(SIZES), "color": tuple(COLORS), "shape": tuple(SHAPES)}
_WORTH = {"size": 100, "color": 101, "shape": 102}  # of a right word; of as many right words a shape tells most
KINDS = (*PARTS, "relation")
_PART_OF = {word: part for part, words in PARTS.items() for word in words}
_RELATIONS = tuple(OPPOSITE)
_PLACES = tuple(f"{row} {column}" for row in ROWS for column in COLUMNS)
_WORDS = re.compile(rf"\b({'|'.join((*_PART_OF, *_RELATIONS, *_PLACES))})\b")


@dataclasses.dataclass(frozen=True)
class Description:
    """What a text says.

    Attributes:
        objects: list of dict from `size`, `color`, `shape` to a word; parts that are not named are missing.
        relations: list of (subject, words, object), positions in `objects` or None where nothing stands.
        places: list of (subject, words), likewise.
    """

    objects: list
    relations: list
    places: list


@dataclasses.dataclass
class Attributes:
    """Counts of attributes by kind (`KINDS`).

    Attributes:
        right: dict, said and true. true: dict, how many there are. said: dict, how many were said.
    """

    right: dict = dataclasses.field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    true: dict = dataclasses.field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    said: dict = dataclasses.field(default_factory=lambda: dict.fromkeys(KINDS, 0))


def parse_caption(text):
    """The `Description` in a text; capital letters do not matter, unknown words are passed over."""
    objects, relations, places, current = [], [], [], {}
    for word in _WORDS.findall(text.lower()):
        part = _PART_OF.get(word)
        # Size, color, shape is the order: a part that stands already, or comes after the shape, begins a new object.
        if current and (part is None or part in current or "shape" in current):
            objects, current = [*objects, current], {}
        before = len(objects) - 1 if objects else None
        if part is not None:
            current[part] = word
        elif word in _PLACES:
            places.append((before, word))
        else:
            relations.append((before, word, len(objects)))
    objects = [*objects, current] if current else objects
    relations = [(first, word, None if second == len(objects) else second) for first, word, second in relations]
    return Description(objects, relations, places)


def score_caption(text, scene, truth):
    """`Attributes` of one caption.

    Generated and true objects are matched so that the most words are right. An invented object has no match and a
    missing one is not said; both cost. A relation is right where the true caption states it, or where it holds
    between the boxes of the matched objects, or of ones that look the same; the place of a single object where the
    true caption says the same.

    Args:
        text: str, the generated caption.
        scene: dict of `Scene.to_json`: `objects` with size, color, shape, box; `image_size` where images are not
            square.
        truth: str, the true caption.
    """
    said, objects = parse_caption(text), scene["objects"]
    matches = match_objects(said.objects, objects)
    counts = Attributes()
    for part in PARTS:
        counts.true[part] = len(objects)
        counts.said[part] = sum(part in item for item in said.objects)
        counts.right[part] = sum(_same(item, objects[m], part) for item, m in _matched(said.objects, matches))
    counts.true["relation"], counts.said["relation"] = 1, len(said.relations) + len(said.places)
    true_caption = parse_caption(truth)
    holds = any(_holds(item, matches, scene, _stated(true_caption)) for item in said.relations)
    true_places = {words for _, words in true_caption.places}
    in_place = any(words in true_places for subject, words in said.places if subject is not None)
    counts.right["relation"] = int(holds or in_place)
    return counts


def score_objects(text, scene, indices):
    """`Attributes` of the true objects at `indices` alone: size, color and shape, no relation."""
    said, objects = parse_caption(text), scene["objects"]
    counts = Attributes()
    found = [(item, m) for item, m in _matched(said.objects, match_objects(said.objects, objects)) if m in set(indices)]
    for part in PARTS:
        counts.true[part] = len(set(indices))
        counts.said[part] = sum(part in item for item, _ in found)
        counts.right[part] = sum(_same(item, objects[m], part) for item, m in found)
    return counts


def attribute_accuracy(scores):
    """Share of right attributes over many captions, `right / max(true, said)`, summed before dividing.

    Args:
        scores: list of `Attributes`.

    Returns:
        dict of float: `attribute_accuracy`, and `attribute_accuracy/<kind>` for each kind that occurs.
    """

    def total(counts):
        return sum(counts.values())

    right = sum(total(score.right) for score in scores)
    values = {"attribute_accuracy": right / max(1, sum(max(total(s.true), total(s.said)) for s in scores))}
    for kind in KINDS:
        possible = sum(max(score.true[kind], score.said[kind]) for score in scores)
        if possible:
            values[f"attribute_accuracy/{kind}"] = sum(score.right[kind] for score in scores) / possible
    return values


def match_objects(said, true):
    """For each object that was said the position of its true one, or None: an exact search for the most right words.

    `best[set of true objects taken]` = (worth, matches): at most 32 sets for five objects, however many are said.
    """
    best = {0: (0, ())}
    for item in said:
        extended = {taken: (worth, (*matches, None)) for taken, (worth, matches) in best.items()}
        for taken, (worth, matches) in best.items():
            for k, candidate in enumerate(true):
                more = sum(_WORTH[part] for part in PARTS if _same(item, candidate, part))
                together = taken | 1 << k
                if more and together != taken and worth + more > extended.get(together, (-1,))[0]:
                    extended[together] = (worth + more, (*matches, k))
        best = extended
    return max(best.values(), key=lambda value: value[0])[1]


def _matched(said, matches):
    return [(item, match) for item, match in zip(said, matches, strict=True) if match is not None]


def _same(said, true, part):
    return said.get(part) == true[part]


def _look(item):
    return tuple(item.get(part) for part in PARTS)


def _stated(description):
    """Relations that a caption states, seen from either object: set of (look, words, look)."""
    named = [
        (_look(description.objects[first]), words, _look(description.objects[second]))
        for first, words, second in description.relations
        if first is not None and second is not None
    ]
    return {*named, *((second, OPPOSITE[words], first) for first, words, second in named)}


def _holds(relation_said, matches, scene, stated):
    first, words, second = relation_said
    if first is None or second is None or matches[first] is None or matches[second] is None:
        return False
    looks = [_look(item) for item in scene["objects"]]
    first_look, second_look = looks[matches[first]], looks[matches[second]]
    # Boxes tell the rest; for objects on the diagonal of one another they may differ from what the caption says.
    if (first_look, words, second_look) in stated:
        return True
    firsts, seconds = ([k for k, look in enumerate(looks) if look == own] for own in (first_look, second_look))
    points = _centers(scene)
    return any(relation(points[a], points[b]) == words for a in firsts for b in seconds if a != b)


def _centers(scene):
    """Centers of the boxes in pixels: within a pixel or two of the place that the true caption was made from."""
    height, width = scene.get("image_size", (1, 1))
    boxes = [item["box"] for item in scene["objects"]]
    return [types.SimpleNamespace(x=(x0 + x1) / 2 * width, y=(y0 + y1) / 2 * height) for y0, x0, y1, x1 in boxes]
