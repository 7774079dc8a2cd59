"""Captions and questions of rendered scenes as pairs of an image and a text."""

import json

from vitcross.data.scenes.questions import training_questions
from vitcross.data.scenes.scene import COLORS, SHAPES, held_out_combinations
from vitcross.data.sources.pair_source import Pair, PairSource


def scene_captions(images):
    """dict of split to `PairSource` of the captions, one a scene; the label is the scene's class.

    Args:
        images: dict of split to `TFDSSource` of scenes.
    """
    sources = {}
    for split, source in images.items():
        pairs = []
        for index in range(len(source)):
            feature = source.example(index).features.feature
            label = source.class_names[feature["label"].int64_list.value[0]]
            pairs.append(Pair(index, feature["caption"].bytes_list.value[0].decode(), label=label))
        names = source.class_names
        sources[split] = PairSource(name=f"scenes/{split}", images=source, pairs=pairs, class_names=names)
    return sources


def scene_questions(images, *, scenes, questions_per_scene=None):
    """dict of split to `PairSource` of the questions; classes are the answers that training knows, sorted.

    Args:
        images: dict of split to `TFDSSource` of scenes.
        scenes: `SceneOptions` of those scenes.
        questions_per_scene: int or None: training asks up to so many questions about a scene (`scene_questions.py`);
            None: those that the scenes hold, one of each type, as in the other splits.
    """
    pairs = {split: [] for split in images}
    for split, source in images.items():
        for index in range(len(source)):
            scene = json.loads(source.example(index).features.feature["scene"].bytes_list.value[0])
            asked = scene["questions"]
            if split == "train" and questions_per_scene is not None:
                asked = _training_questions(scene, f"{scenes.seed}/{index}", questions_per_scene, scenes)
            for item in asked:
                answer = item["answer"]
                pairs[split].append(
                    Pair(index, item["question"], answer, question_type=item["type"], answers=(answer,))
                )
    names = sorted({pair.label for pair in pairs["train"]})
    return {
        split: PairSource(name=f"scenes/{split}", images=source, pairs=pairs[split], class_names=names)
        for split, source in images.items()
    }


def _training_questions(scene, seed, count, scenes):
    return training_questions(
        scene,
        seed=seed,
        count=count,
        image_size=scenes.image_size,
        shapes=SHAPES,
        colors=tuple(COLORS),
        unspoken=held_out_combinations(scenes.target_color) if scenes.held_out else frozenset(),
    )
