"""Finds the captions of a TensorFlow Datasets set and pairs them with its images."""

import numpy as np
import tensorflow_datasets as tfds

from vitcross.data.problems import TextProblems
from vitcross.data.sources.pair_source import Pair, PairSource

EMPTY_TEXT, NOT_UTF8 = "empty text", "not UTF-8"


def caption_key(info):
    """Stored name of the caption feature, e.g. `captions/text`: the only text feature with "caption" in its name, or
    the only text feature. Raises ValueError if neither exists.
    """
    texts = list(_text_features("", info.features))
    captions = [key for key in texts if "caption" in key.lower()]
    for found in (captions, texts):
        if len(found) == 1:
            return found[0]
    raise ValueError(
        f"A set of captions needs one Text feature, or one that is called a caption. "
        f"Received: {info.name} with {texts or 'none'}"
    )


def caption_pairs(images, *, key, problems: TextProblems):
    """`PairSource` of all captions of a `TFDSSource`; unusable captions are skipped and recorded in `problems`.

    Args:
        images: `TFDSSource`.
        key: str, `caption_key`.
        problems: `TextProblems`; names are `<set>/<split>/<position of the image>`.
    """
    pairs = []
    for index in range(len(images)):
        for value in images.example(index).features.feature[key].bytes_list.value:
            try:
                text = value.decode("utf-8").strip()
            except UnicodeDecodeError:
                problems.add(NOT_UTF8, images.example_name(index))
                continue
            if text:
                pairs.append(Pair(index, text, name=images.example_name(index)))
            else:
                problems.add(EMPTY_TEXT, images.example_name(index))
    return PairSource(name=images.name, images=images, pairs=pairs)


def _text_features(prefix, features):
    for key, feature in features.items():
        name = f"{prefix}{key}"
        while isinstance(feature, tfds.features.Sequence):
            feature = feature.feature
        # Text features and plain strings; the NumPy type of both is object.
        if isinstance(feature, tfds.features.Tensor) and feature.shape == () and feature.np_dtype == np.object_:
            yield name
        elif isinstance(feature, tfds.features.FeaturesDict):
            yield from _text_features(f"{name}/", feature)
