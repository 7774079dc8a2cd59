"""Generates captions and questions about a scene, with links from their words to the objects."""

COUNTS = ("zero", "one", "two", "three", "four", "five")
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


class _Text:
    """A text under construction that records which characters name which object."""

    def __init__(self):
        self.text = ""
        self.links = []

    def add(self, words):
        self.text += words

    def name(self, index, item):
        """Appends e.g. "a large red star"; each of size, color and shape is linked to the object."""
        self.add("an " if item.size[0] in "aeiou" else "a ")
        for word in (item.size, item.color, item.shape):
            self.links.append([len(self.text), len(self.text) + len(word), index])
            self.add(word + " ")
        self.text = self.text[:-1]

    def finish(self):
        """Sentences begin with a capital letter; lengths, and so links, do not change."""
        sentences = [sentence[:1].upper() + sentence[1:] for sentence in self.text.split(". ")]
        return ". ".join(sentences)


def relation(first, second):
    """Position of `first` relative to `second`, along the axis of the larger distance."""
    dx, dy = first.x - second.x, first.y - second.y
    if abs(dx) > abs(dy):
        return "left of" if dx < 0 else "right of"
    return "above" if dy < 0 else "below"


def caption_and_links(rng, objects, image_size):
    """One or two sentences that name every object once with size, color, shape, and a relation.

    Returns:
        caption (str), links: list of [start, end, object index], characters [start, end) of the caption.
    """
    order = rng.sample(range(len(objects)), len(objects))
    text = _Text()
    text.name(order[0], objects[order[0]])
    if len(order) == 1:
        text.add(f" is in the {_place(objects[order[0]], image_size)}.")
        return text.finish(), text.links
    text.add(f" is {relation(objects[order[0]], objects[order[1]])} ")
    text.name(order[1], objects[order[1]])
    text.add(".")
    rest = order[2:]
    if rest:
        text.add(" there is also ")
    for k, index in enumerate(rest):
        if k:
            text.add(" and " if k == len(rest) - 1 else ", ")
        text.name(index, objects[index])
    if rest:
        text.add(".")
    return text.finish(), text.links


def _place(item, image_size):
    height, width = image_size
    row = ("upper", "middle", "lower")[min(2, int(3 * item.y / height))]
    column = ("left", "center", "right")[min(2, int(3 * item.x / width))]
    return f"{row} {column}"


def questions(rng, objects, target, *, shapes, colors, unspoken=frozenset()):
    """One question of each type that the scene allows, with one-word answers.

    `unspoken` are absent (shape, color) pairs that are not asked about either, since the answer would always be no.

    Returns:
        list of {"type", "question", "answer", "objects"}; types: shape, color, count, relation, yes_no.
    """
    by_color, by_shape = unique(objects, "color"), unique(objects, "shape")
    # `by_color` is never empty: only one object has the target color.
    asked = [shape_question(objects, rng.choice(by_color))]
    if by_shape:
        asked.append(color_question(objects, rng.choice(by_shape)))
    asked.append(_count(rng, objects, colors))
    others = [index for index in by_color if index != target]
    if others:
        first, second = rng.sample([target, rng.choice(others)], 2)
        asked.append(relation_question(objects, first, second))
    asked.append(_yes_no(rng, objects, shapes, colors, unspoken))
    return asked


def _question(kind, question, answer, indices):
    return {"type": kind, "question": question, "answer": answer, "objects": indices}


def unique(objects, attribute):
    """Indices of the objects whose value of an attribute no other object has."""
    values = [getattr(item, attribute) for item in objects]
    return [index for index, value in enumerate(values) if values.count(value) == 1]


def shape_question(objects, index):
    """Asks for the shape of the only object of its color."""
    return _question("shape", f"What shape is the {objects[index].color} object?", objects[index].shape, [index])


def color_question(objects, index):
    """Asks for the color of the only object of its shape."""
    return _question("color", f"What color is the {objects[index].shape}?", objects[index].color, [index])


def count_question(objects, color):
    """Asks for the number of objects of a color, or of all objects where it is None."""
    matching = [index for index, item in enumerate(objects) if color in (None, item.color)]
    what = "objects" if color is None else f"{color} objects"
    return _question("count", f"How many {what} are there?", COUNTS[len(matching)], matching)


def relation_question(objects, first, second):
    """Asks for the relative position of two objects, each the only one of its color."""
    answer = relation(objects[first], objects[second]).split()[0]
    text = f"Where is the {objects[first].color} object, seen from the {objects[second].color} object?"
    return _question("relation", text, answer, [first, second])


def existence_question(objects, shape, color):
    """Asks whether there is an object of a shape and a color."""
    matching = [index for index, item in enumerate(objects) if (item.color, item.shape) == (color, shape)]
    article = "an" if color[0] in "aeiou" else "a"
    return _question("yes_no", f"Is there {article} {color} {shape}?", "yes" if matching else "no", matching)


def _count(rng, objects, colors):
    if rng.random() < 0.5:
        return count_question(objects, None)
    # Half of the time the color occurs in the scene, so that "zero" is not the usual answer.
    return count_question(objects, rng.choice(objects).color if rng.random() < 0.5 else rng.choice(colors))


def _yes_no(rng, objects, shapes, colors, unspoken):
    if rng.random() < 0.5:
        item = rng.choice(objects)
        return existence_question(objects, item.shape, item.color)
    left_out = {(item.shape, item.color) for item in objects} | unspoken
    color, shape = rng.choice([(c, s) for c in colors for s in shapes if (s, c) not in left_out])
    return existence_question(objects, shape, color)
