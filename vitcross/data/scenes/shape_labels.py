"""Labels rendered scenes with every shape that is in the image, and says where the objects of each shape are."""

import numpy as np

from vitcross.data.scenes.shapes import SHAPES
from vitcross.data.sources.source import Source


class SceneShapes(Source):
    """The scenes of a source, with several labels per image: the shapes of its objects, of whatever color.

    Args:
        scenes: `TFDSSource` of rendered scenes.
    """

    def __init__(self, scenes):
        super().__init__(
            name=scenes.name,
            class_names=SHAPES,
            channels=scenes.channels,
            image_shape=scenes.image_shape,
            multilabel=True,
        )
        self._scenes = scenes

    def __len__(self):
        return len(self._scenes)

    def record(self, index):
        return {"image": self._scenes.record(index)["image"], "label": tuple(sorted(self.label_boxes(index)))}

    def label_boxes(self, index):
        found = {}
        for item in self.scene(index)["objects"]:
            found.setdefault(SHAPES.index(item["shape"]), []).append(item["box"])
        return {label: np.array(boxes, np.float32) for label, boxes in found.items()}

    def scene(self, index):
        return self._scenes.scene(index)

    def example_name(self, index):
        return self._scenes.example_name(index)
