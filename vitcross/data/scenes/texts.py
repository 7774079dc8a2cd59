"""Makes pairs of an image and a text from the captions and questions of rendered scenes."""

import json

from vitcross.data.scenes.questions import training_questions
from vitcross.data.scenes.scene import COLORS, SHAPES, held_out_combinations
from vitcross.data.scenes.word_boxes import scene_links
from vitcross.data.sources.pair_source import Pair, PairSource


def scene_captions(images):
    """dict of split to `PairSource`, one caption per scene, from a dict of split to `TFDSSource` of scenes.

    The label is the class of the scene.
    """
    sources = {}
    for split, source in images.items():
        pairs = []
        for index in range(len(source)):
            feature = source.example(index).features.feature
            label = source.class_names[feature["label"].int64_list.value[0]]
            pairs.append(Pair(index, feature["caption"].bytes_list.value[0].decode(), label=label))
        sources[split] = _source(split, source, pairs, source.class_names)
    return sources


def scene_questions(images, *, scenes, questions_per_scene=None):
    """dict of split to `PairSource` of the questions; classes are the answers of the training split, sorted.

    Args:
        images: dict of split to `TFDSSource` of scenes.
        scenes: `SceneOptions` of those scenes.
        questions_per_scene: int, the most questions about a training scene (`questions.py`); None: the stored ones,
            one of each type, as in the other splits.
    """
    unspoken = held_out_combinations(scenes.target_color) if scenes.held_out else frozenset()
    world = {"image_size": scenes.image_size, "shapes": SHAPES, "colors": tuple(COLORS), "unspoken": unspoken}
    pairs = {split: [] for split in images}
    for split, source in images.items():
        for index in range(len(source)):
            scene = json.loads(source.example(index).features.feature["scene"].bytes_list.value[0])
            asked = scene["questions"]
            if split == "train" and questions_per_scene is not None:
                asked = training_questions(scene, seed=f"{scenes.seed}/{index}", count=questions_per_scene, **world)
            pairs[split] += [
                Pair(index, item["question"], item["answer"], question_type=item["type"], answers=(item["answer"],))
                for item in asked
            ]
    names = sorted({pair.label for pair in pairs["train"]})
    return {split: _source(split, source, pairs[split], names) for split, source in images.items()}


def _source(split, images, pairs, class_names):
    name = f"scenes/{split}"
    return PairSource(name=name, images=images, pairs=pairs, class_names=class_names, find_links=scene_links)
