"""The functions that `conf/data/*.yaml` name: plain values in, `ImageData` out; those with texts are in `load_text.py`.

TensorFlow is imported only when one is called.
"""

import dataclasses
import inspect

from vitcross.data.load_text import pairs, scene_texts, tfds_captions
from vitcross.data.options import ImageOptions
from vitcross.data.text_options import TextOptions

__all__ = ["image_folder", "keys", "pairs", "scene_texts", "scenes", "tfds", "tfds_captions"]
_WITH_TEXTS = (pairs, scene_texts, tfds_captions)


def tfds(
    *,
    name,
    train_split="train",
    validation_split="validation",
    test_split=None,
    data_dir=None,
    download=False,
    image_size=None,
    channels=None,
    num_classes=None,
    **options,
):
    """A TensorFlow Datasets set by name.

    Args:
        name: str, as TFDS calls it (`oxford_flowers102`), with a configuration where it has several
            (`imagenet_v2/topimages`).
        train_split: str, any TFDS split expression.
        validation_split: str.
        test_split: str or None.
        data_dir: path or None: TFDS's own (TFDS_DATA_DIR, else ~/tensorflow_datasets).
        download: bool, fetch what is not prepared.
        image_size: (height, width) or None for the size of the pictures, where all have one.
        channels: 1, 3 or None for those of the data set.
        num_classes: int or None for those of the data set.
        **options: the other arguments of `ImageOptions`.

    Returns:
        `ImageData`.
    """
    from vitcross.data.tfds_prepare import prepared_builder
    from vitcross.data.tfds_source import TFDSSource

    builder = prepared_builder(name=name, data_dir=data_dir, download=download)
    splits = {"train": train_split, "validation": validation_split, "test": test_split}
    sources = {
        key: TFDSSource(builder=builder, split=split, channels=channels)
        for key, split in splits.items()
        if split is not None
    }
    return _image_data(name=name, sources=sources, image_size=image_size, num_classes=num_classes, options=options)


def scenes(
    *,
    target_colour="red",
    max_objects=5,
    scene_seed=0,
    train_examples=20_000,
    validation_examples=2_000,
    test_examples=2_000,
    watermark=None,
    data_dir=None,
    image_size=(64, 64),
    channels=3,
    num_classes=None,
    **options,
):
    """Rendered scenes (`scenes.py`), drawn at `image_size` and prepared in seconds if they are not yet.

    Args:
        target_colour: str, colour of the object whose shape is the label.
        max_objects: int from 1 to 5.
        scene_seed: int >= 0.
        train_examples: int > 0.
        validation_examples: int > 0.
        test_examples: int > 0.
        watermark: dict of the arguments of `Watermark` or None: a mark that gives the class away in training; two more
            splits, `unmarked` and `misleading`, tell what a model learned besides (`watermark.py`).
        data_dir: path or None: TFDS's own (TFDS_DATA_DIR, else ~/tensorflow_datasets).
        image_size: (height, width) in pixels.
        channels: 1 or 3; colours are lost with 1.
        num_classes: int or None; checked, scenes have 8.
        **options: the other arguments of `ImageOptions`.

    Returns:
        `ImageData` whose batches hold `box` and `num_objects`, and `mark_box` with a watermark.
    """
    from vitcross.data.scenes import SceneOptions
    from vitcross.data.scenes_builder import prepared_scenes
    from vitcross.data.tfds_source import TFDSSource
    from vitcross.data.watermark import Watermark, marked

    counts = {"train": train_examples, "validation": validation_examples, "test": test_examples}
    scene_options = SceneOptions(
        image_size=image_size, seed=scene_seed, target_colour=target_colour, max_objects=max_objects
    )
    builder = prepared_scenes(scenes=scene_options, counts=counts, data_dir=data_dir)
    sources, watched = {split: TFDSSource(builder=builder, split=split, channels=channels) for split in counts}, {}
    if watermark is not None:
        sources, watched = marked(sources, Watermark(**watermark), seed=scene_seed)
    return _image_data(
        name="scenes",
        sources=sources,
        watched=watched,
        image_size=image_size,
        num_classes=num_classes,
        options=options,
    )


def image_folder(
    *,
    root,
    image_size,
    validation_share=0.1,
    test_share=0.0,
    split_seed=0,
    data_dir=None,
    channels=3,
    num_classes=None,
    **options,
):
    """A folder of pictures, a class per subfolder (`image_folder.py`).

    Args:
        root: path of the folder: `root/<class>/...`, or `root/train/<class>/...` and `root/validation/<class>/...`.
        image_size: (height, width) that the model sees.
        validation_share: float in (0, 1), cut from each class where there is no validation folder.
        test_share: float in [0, 1), cut where there is no test folder.
        split_seed: int, decides which pictures are cut.
        data_dir: not used; every data set has this key.
        channels: 1 or 3.
        num_classes: int or None for the number of folders.
        **options: the other arguments of `ImageOptions`.

    Returns:
        `ImageData`.
    """
    from vitcross.data.image_folder import ImageFolderSource, list_image_folder

    listing = list_image_folder(root, validation_share=validation_share, test_share=test_share, split_seed=split_seed)
    sources = {split: ImageFolderSource(listing=listing, split=split, channels=channels) for split in listing.splits}
    return _image_data(
        name=listing.root.name, sources=sources, image_size=image_size, num_classes=num_classes, options=options
    )


def keys(function):
    """All keys that a configuration of one of these functions may hold: its arguments and those of the options."""
    own = {name for name, value in inspect.signature(function).parameters.items() if value.kind is value.KEYWORD_ONLY}
    of_texts = dataclasses.fields(TextOptions) if function in _WITH_TEXTS else ()
    return own | {field.name for field in (*dataclasses.fields(ImageOptions), *of_texts)}


def _image_data(*, name, sources, image_size, num_classes, options, watched=None):
    from vitcross.data.image_data import ImageData

    train = sources["train"]
    if image_size is None:
        if train.image_shape is None:
            raise ValueError(f"image_size must be given for {name}, whose pictures differ in size. Received: null")
        image_size = train.image_shape[:2]
    options = ImageOptions(image_size=image_size, channels=train.channels, **options)
    return ImageData(name=name, options=options, num_classes=num_classes, watched=watched, **sources)
