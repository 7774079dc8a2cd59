"""Captions and questions of rendered scenes as pairs of a picture and a text."""

import json

from vitcross.data.pair_source import Pair, PairSource


def scene_captions(pictures):
    """dict of split to `PairSource` of the captions, one a scene; the label is the scene's class.

    Args:
        pictures: dict of split to `TFDSSource` of scenes.
    """
    sources = {}
    for split, source in pictures.items():
        pairs = []
        for index in range(len(source)):
            feature = source.example(index).features.feature
            label = source.class_names[feature["label"].int64_list.value[0]]
            pairs.append(Pair(index, feature["caption"].bytes_list.value[0].decode(), label=label))
        names = source.class_names
        sources[split] = PairSource(name=f"scenes/{split}", pictures=source, pairs=pairs, class_names=names)
    return sources


def scene_questions(pictures):
    """dict of split to `PairSource` of the questions, up to five a scene; classes are the answers that training knows,
    sorted.

    Args:
        pictures: dict of split to `TFDSSource` of scenes.
    """
    pairs = {split: [] for split in pictures}
    for split, source in pictures.items():
        for index in range(len(source)):
            scene = json.loads(source.example(index).features.feature["scene"].bytes_list.value[0])
            for item in scene["questions"]:
                answer = item["answer"]
                pairs[split].append(Pair(index, item["question"], answer, kind=item["type"], answers=(answer,)))
    names = sorted({pair.label for pair in pairs["train"]})
    return {
        split: PairSource(name=f"scenes/{split}", pictures=source, pairs=pairs[split], class_names=names)
        for split, source in pictures.items()
    }


MAKERS = {"captions": scene_captions, "questions": scene_questions}
