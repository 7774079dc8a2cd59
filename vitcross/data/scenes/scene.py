"""Renders scenes of colored shapes with a caption, questions and boxes, as a pure function of (seed, split, index).

Exactly one object of a scene has the target color; its shape is the label and its box is where a model should look.
Only pixels may differ between versions of Pillow.
Shape letters: H W C pixels.
"""

import colorsys
import dataclasses
import json
import random

from PIL import Image, ImageChops

from vitcross.data.scenes.backgrounds import NUM_SHADINGS, draw_background, draw_clutter, shading
from vitcross.data.scenes.language import caption_and_links, questions
from vitcross.data.scenes.shapes import SHAPES, TURNS, mask_side, object_stamp
from vitcross.height_and_width import height_and_width

# Hue (degrees), saturation and value of each color; each object varies them slightly.
COLORS = {
    "red": (0, 0.9, 0.85),
    "orange": (28, 0.95, 0.97),
    "yellow": (54, 0.9, 0.97),
    "green": (122, 0.8, 0.66),
    "cyan": (182, 0.85, 0.88),
    "blue": (223, 0.88, 0.88),
    "purple": (281, 0.75, 0.75),
    "white": (0, 0.02, 0.97),
}
# Smallest and largest radius of the circumscribed circle, in 128ths of the image's shorter side.
SIZES = {"small": (13, 16), "medium": (18, 22), "large": (24, 29)}
SIZE_STEPS = 128
SMALLEST_SIDE = 32
UNSEEN = "unseen"  # the split of the held-out combinations


@dataclasses.dataclass(frozen=True, kw_only=True)
class SceneOptions:
    """Options that decide the content of scenes.

    Args:
        image_size: (height, width) in pixels, both >= 32.
        seed: int >= 0.
        target_color: one of `COLORS`, the color of the object that decides the label.
        max_objects: int from 1 to 5.
        held_out: bool, restrict `held_out_combinations` to the split `unseen`, where every scene contains one
            (max_objects must be > 1).
    """

    image_size: tuple[int, int] = (64, 64)
    seed: int = 0
    target_color: str = "red"
    max_objects: int = 5
    held_out: bool = False

    def __post_init__(self):
        object.__setattr__(self, "image_size", height_and_width(self.image_size))
        if min(self.image_size) < SMALLEST_SIDE:
            raise ValueError(
                f"image_size of scenes must be >= {SMALLEST_SIDE} on both sides (shapes are not recognizable below). "
                f"Received: {self.image_size}"
            )
        if max(self.image_size) > 4 * min(self.image_size):
            raise ValueError(
                f"image_size of scenes must not be longer than 4 times its other side. Received: {self.image_size}"
            )
        if self.target_color not in COLORS:
            raise ValueError(f"target_color must be one of {tuple(COLORS)}. Received: {self.target_color!r}")
        if not 1 <= self.max_objects <= 5:
            raise ValueError(f"max_objects must be from 1 to 5. Received: {self.max_objects}")
        if self.held_out and self.max_objects < 2:
            raise ValueError(
                "max_objects must be from 2 to 5 with held-out combinations (the object that decides the label never "
                f"has one). Received: {self.max_objects}"
            )
        if self.seed < 0:
            raise ValueError(f"seed of scenes must be >= 0. Received: {self.seed}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SceneObject:
    """One object: words, circumscribed circle in pixels, and tight box in [0, 1]."""

    shape: str
    color: str
    size: str
    x: float
    y: float
    radius: float
    turn: int  # in steps of 1 / TURNS of a full turn
    box: tuple[float, float, float, float] | None = None  # y_min, x_min, y_max, x_max

    def description(self):
        """What texts and questions need of the object: dict for JSON."""
        box = [round(value, 6) for value in self.box]
        return {"shape": self.shape, "color": self.color, "size": self.size, "box": box}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """A rendered scene.

    Attributes:
        image: PIL image, mode RGB.
        objects: tuple of `SceneObject`.
        target: int, index of the object with the target color.
        caption: str, one or two sentences.
        links: list of (start, end, object): the characters of the caption that name an object.
        questions: list of dicts `type`, `question`, `answer`, `objects` (the indices that decide the answer).
        held_out: tuple of int, indices of the objects with a held-out combination; None where nothing is held out.
    """

    image: Image.Image
    objects: tuple[SceneObject, ...]
    target: int
    caption: str
    links: list
    questions: list
    held_out: tuple[int, ...] | None = None

    @property
    def label(self):
        """Index into `SHAPES` of the target's shape."""
        return SHAPES.index(self.objects[self.target].shape)

    def to_json(self):
        """Objects, links, questions and, if combinations are held out, the objects that have one, as JSON text."""
        content = {
            "objects": [item.description() for item in self.objects],
            "target": self.target,
            "links": self.links,
            "questions": self.questions,
        }
        if self.held_out is not None:
            content |= {"held_out": self.held_out, "image_size": [self.image.height, self.image.width]}
        return json.dumps(content, separators=(",", ":"))


def held_out_combinations(target_color):
    """frozenset of 7 of the 64 (shape, color): each color except the target's, with a different shape."""
    others = [color for color in COLORS if color != target_color]
    return frozenset((SHAPES[(3 * k + 1) % len(SHAPES)], color) for k, color in enumerate(others))


def render_scene(options, *, split, index):
    """The scene at `index` of `split` (str); a pure function of the arguments."""
    rng = random.Random(f"{options.seed}/{split}/{index}")
    held_out = held_out_combinations(options.target_color) if options.held_out else frozenset()
    objects, target = _place_objects(rng, options, held_out, unseen=options.held_out and split == UNSEEN)
    image = draw_background(rng, options.image_size)
    others = [color for color in COLORS if color != options.target_color]
    draw_clutter(rng, image, [_rgb(rng, color, dim=0.55) for color in rng.sample(others, 3)])
    objects = tuple(_draw_object(rng, image, item) for item in objects)
    caption, links = caption_and_links(rng, objects, options.image_size)
    never_trained = tuple(k for k, item in enumerate(objects) if (item.shape, item.color) in held_out)
    return Scene(
        image=image,
        objects=objects,
        target=target,
        caption=caption,
        links=links,
        questions=questions(
            rng,
            objects,
            target,
            shapes=SHAPES,
            colors=tuple(COLORS),
            unspoken=frozenset() if split == UNSEEN else held_out,
        ),
        held_out=never_trained if options.held_out else None,
    )


def _place_objects(rng, options, held_out, *, unseen):
    number = rng.randint(2 if unseen else 1, options.max_objects)
    target = rng.randrange(number)
    others = [color for color in COLORS if color != options.target_color]
    # In the split `unseen` one object must have a held-out combination; the others may.
    forced = (target + rng.randrange(1, number)) % number if unseen else None
    while True:
        placed = []
        for k in range(number):
            color = options.target_color if k == target else rng.choice(others)
            shapes = SHAPES
            if held_out and (k == forced or not unseen):
                shapes = [shape for shape in SHAPES if ((shape, color) in held_out) == unseen]
            item = _free_place(rng, options.image_size, placed, shape=rng.choice(shapes), color=color)
            if item is None:
                break
            placed.append(item)
        else:
            return placed, target


def _free_place(rng, image_size, placed, *, shape, color):
    """An object that touches no other, smaller where space is short; None if it does not fit at all."""
    height, width = image_size
    names = list(SIZES)
    for size in names[rng.randrange(len(names)) :: -1]:
        radius = rng.randint(*SIZES[size]) * min(image_size) / SIZE_STEPS
        side = mask_side(radius)
        for _ in range(12):
            left, top = 1 + int(rng.random() * (width - side - 1)), 1 + int(rng.random() * (height - side - 1))
            x, y = left + side / 2, top + side / 2
            for other in placed:
                if (x - other.x) ** 2 + (y - other.y) ** 2 <= (radius + other.radius + 2) ** 2:
                    break
            else:
                turn = rng.randrange(TURNS)
                return SceneObject(shape=shape, color=color, size=size, x=x, y=y, radius=radius, turn=turn)
    return None


def _draw_object(rng, image, item):
    stamp = object_stamp(item.shape, radius=item.radius, turn=item.turn)
    side = stamp.mask.width
    left, top = round(item.x - side / 2), round(item.y - side / 2)
    # A soft shadow and a fill that varies slightly, since flat colors would make the object too easy to find.
    image.paste((0, 0, 0), (left + 1, top + 1), stamp.shadow)
    bright = _rgb(rng, item.color)
    image.paste(bright, (left, top), stamp.mask)
    dark = tuple(round(channel * 0.72) for channel in bright)
    texture = shading(side, 3 * max(image.size), rng.randrange(NUM_SHADINGS))
    image.paste(dark, (left, top), ImageChops.multiply(stamp.mask, texture))
    x_min, y_min, x_max, y_max = stamp.box
    height, width = image.height, image.width
    box = ((top + y_min) / height, (left + x_min) / width, (top + y_max) / height, (left + x_max) / width)
    return dataclasses.replace(item, box=box)


def _rgb(rng, color, dim=1.0):
    hue, saturation, value = COLORS[color]
    hue = (hue + rng.uniform(-6, 6)) % 360
    saturation = saturation * rng.uniform(0.92, 1.0)
    value = min(1.0, value * rng.uniform(0.94, 1.03)) * dim
    return tuple(round(channel * 255) for channel in colorsys.hsv_to_rgb(hue / 360, saturation, value))
