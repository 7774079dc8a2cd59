"""Finds the words of a text that name objects of a rendered scene, with the boxes of these objects."""

import re

import numpy as np

from vitcross.data.scenes.scene import COLORS
from vitcross.data.scenes.shapes import SHAPES

PARTS = ("size", "color", "shape")
_PHRASE = re.compile(rf"\b(?:({'|'.join(COLORS)}) )?({'|'.join(SHAPES)}|objects?)\b", re.IGNORECASE)


def scene_links(scene, text, *, is_caption):
    """Words of a text that name objects of its scene.

    Args:
        scene: dict of `Scene.to_json`.
        text: str, the scene's caption, or any question about it.
        is_caption: bool; the scene stores the links of its caption, those of a question are found here.

    Returns:
        list of (start, end, boxes (K, 4) float32 = (y_min, x_min, y_max, x_max) in [0, 1], part); a word of a question
        names every object that matches its color and shape ("how many red objects").
    """
    objects = scene["objects"]
    if not is_caption:
        return _question_links(objects, text)
    links = []
    for start, end, index in scene["links"]:
        word = text[start:end].lower()
        part = next(part for part in PARTS if objects[index][part] == word)
        links.append((start, end, _boxes([objects[index]]), part))
    return links


def _question_links(objects, text):
    links = []
    for match in _PHRASE.finditer(text):
        color, noun = (word and word.lower() for word in match.groups())
        shape = noun if noun in SHAPES else None
        found = [item for item in objects if color in (None, item["color"]) and shape in (None, item["shape"])]
        for part, group, word in (("color", 1, color), ("shape", 2, shape)):
            if word is not None and found:
                links.append((*match.span(group), _boxes(found), part))
    return links


def _boxes(objects):
    return np.array([item["box"] for item in objects], np.float32)
