"""Real TFDS data sets with a handful of made-up examples: written by the set's own builder, in its own format."""

import numpy as np
import tensorflow_datasets as tfds


def prepare(name, data_dir, monkeypatch, examples=24):
    """Prepare `name` into `data_dir` with `examples` random examples in each of its splits."""
    builder = tfds.builder(name, data_dir=str(data_dir), try_gcs=False)
    splits = {"oxford_flowers102": ("train", "validation", "test"), "imagenet2012": ("train", "validation")}
    splits["coco_captions"] = ("train", "val", "test", "restval")
    names = splits.get(name, ("train", "test"))
    features = builder.info.features

    def generate(seed):
        random = np.random.default_rng(seed)
        for i in range(examples):
            yield i, {key: value(feature, i, random) for key, feature in features.items()}

    monkeypatch.setattr(
        type(builder), "_split_generators", lambda *a, **k: {split: generate(n) for n, split in enumerate(names)}
    )
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    return builder


def value(feature, i, random):
    if isinstance(feature, tfds.features.Image):
        height, width, channels = feature.shape
        return random.integers(0, 256, (height or 40 + i, width or 53, channels), dtype=np.uint8)
    if isinstance(feature, tfds.features.ClassLabel):
        return i % feature.num_classes
    if isinstance(feature, tfds.features.Sequence):  # captions of COCO; its objects stay empty
        texts = [f"caption {n} of image {i}." for n in range(1 + i % 3)]
        return [{"id": n, "text": text} for n, text in enumerate(texts)] if "text" in feature.feature else []
    if isinstance(feature, tfds.features.Scalar | tfds.features.Tensor) and not feature.shape:
        return i if np.issubdtype(feature.np_dtype, np.integer) else f"example_{i}"
    return f"example_{i}"
