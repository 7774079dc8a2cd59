"""The functions that `conf/data/*.yaml` name: plain values in, `ImageData` out.

TensorFlow is imported only when one is called.
"""

import dataclasses
import inspect

from vitcross.data.options import ImageOptions, TextOptions

__all__ = ["image_folder", "keys", "pairs", "scene_texts", "scenes", "tfds", "tfds_captions"]


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
        image_size: (height, width) or None for the size of the images, where all have one.
        channels: 1, 3 or None for those of the data set.
        num_classes: int or None for those of the data set.
        **options: the other arguments of `ImageOptions`.

    Returns:
        `ImageData`.
    """
    from vitcross.data.sources.tfds_prepare import prepared_builder
    from vitcross.data.sources.tfds_source import TFDSSource

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
    target_color="red",
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
        target_color: str, color of the object whose shape is the label.
        max_objects: int from 1 to 5.
        scene_seed: int >= 0.
        train_examples: int > 0.
        validation_examples: int > 0.
        test_examples: int > 0.
        watermark: dict of the arguments of `Watermark` or None: a mark that gives the class away in training; two more
            splits, `unmarked` and `misleading`, tell what a model learned besides (`watermark.py`).
        data_dir: path or None: TFDS's own (TFDS_DATA_DIR, else ~/tensorflow_datasets).
        image_size: (height, width) in pixels.
        channels: 1 or 3; colors are lost with 1.
        num_classes: int or None; checked, scenes have 8.
        **options: the other arguments of `ImageOptions`.

    Returns:
        `ImageData` whose batches hold `box` and `num_objects`, and `mark_box` with a watermark.
    """
    from vitcross.data.scenes.scene import SceneOptions
    from vitcross.data.scenes.scenes_builder import prepared_scenes
    from vitcross.data.scenes.watermark import Watermark, marked
    from vitcross.data.sources.tfds_source import TFDSSource

    counts = {"train": train_examples, "validation": validation_examples, "test": test_examples}
    scene_options = SceneOptions(
        image_size=image_size, seed=scene_seed, target_color=target_color, max_objects=max_objects
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
    """A folder of images, a class per subfolder (`image_folder.py`).

    Args:
        root: path of the folder: `root/<class>/...`, or `root/train/<class>/...` and `root/validation/<class>/...`.
        image_size: (height, width) that the model sees.
        validation_share: float in (0, 1), cut from each class where there is no validation folder.
        test_share: float in [0, 1), cut where there is no test folder.
        split_seed: int, decides which images are cut.
        data_dir: not used; every data set has this key.
        channels: 1 or 3.
        num_classes: int or None for the number of folders.
        **options: the other arguments of `ImageOptions`.

    Returns:
        `ImageData`.
    """
    from vitcross.data.sources.image_folder import ImageFolderSource, list_image_folder

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
            raise ValueError(f"image_size must be given for {name}, whose images differ in size. Received: null")
        image_size = train.image_shape[:2]
    options = ImageOptions(image_size=image_size, channels=train.channels, **options)
    return ImageData(name=name, options=options, num_classes=num_classes, watched=watched, **sources)


def scene_texts(
    *,
    texts,
    questions_per_scene=None,
    target_color="red",
    max_objects=5,
    scene_seed=0,
    held_out_combinations=True,
    train_examples=20_000,
    validation_examples=2_000,
    test_examples=2_000,
    unseen_examples=2_000,
    data_dir=None,
    image_size=(64, 64),
    channels=3,
    num_classes=None,
    **options,
):
    """Rendered scenes (`scenes.py`) with their captions or with questions about them.

    Args:
        texts: `captions` (one a scene, naming every object; the class is that of the scene) or `questions` (up to five
            a scene: shape, color, count, relation, yes or no; the answers are the classes).
        questions_per_scene: int or None: questions that training asks about a scene, every object in turn; None: one of
            each type, as in the other splits.
        target_color, max_objects, scene_seed, data_dir, image_size, channels: as for `load.scenes`.
        held_out_combinations: bool, whether some combinations of shape and color (`scenes.held_out_combinations`)
            occur in a split of their own, `unseen`, only.
        train_examples, validation_examples, test_examples: int > 0, scenes of each split.
        unseen_examples: int > 0, scenes of the split `unseen`; without held-out combinations there is none.
        num_classes: int or None; checked where it is given.
        **options: the other arguments of `ImageOptions`, and those of `TextOptions`.

    Returns:
        `ImageTextData`.
    """
    from vitcross.data.problems import TextProblems
    from vitcross.data.scenes.scene import UNSEEN, SceneOptions
    from vitcross.data.scenes.scenes_builder import prepared_scenes
    from vitcross.data.scenes.texts import scene_captions, scene_questions
    from vitcross.data.sources.tfds_source import TFDSSource

    if texts not in ("captions", "questions"):
        raise ValueError(f"texts must be one of ('captions', 'questions'). Received: {texts!r}")
    if texts == "captions" and questions_per_scene is not None:
        raise ValueError(f"questions_per_scene must be null with texts=captions. Received: {questions_per_scene}")
    counts = {"train": train_examples, "validation": validation_examples, "test": test_examples}
    if held_out_combinations:
        counts[UNSEEN] = unseen_examples
    scenes = SceneOptions(
        image_size=image_size,
        seed=scene_seed,
        target_color=target_color,
        max_objects=max_objects,
        held_out=held_out_combinations,
    )
    builder = prepared_scenes(scenes=scenes, counts=counts, data_dir=data_dir)
    images = {split: TFDSSource(builder=builder, split=split, channels=channels) for split in counts}
    return _image_text_data(
        name="scenes",
        sources=scene_captions(images)
        if texts == "captions"
        else scene_questions(images, scenes=scenes, questions_per_scene=questions_per_scene),
        image_size=image_size,
        num_classes=num_classes,
        problems=TextProblems(),
        options=options,
    )


def pairs(
    *,
    file,
    image_size,
    validation_share=0.1,
    test_share=0.0,
    split_seed=0,
    data_dir=None,
    channels=3,
    num_classes=None,
    **options,
):
    """Own images with captions or questions: a CSV or JSONL file of pairs (`pairs_file.py`).

    Args:
        file: path.
        image_size: (height, width) that the model sees.
        validation_share: float in [0, 1), share of the images, cut off where the file has no validation pairs; 0:
            its test pairs are watched during training.
        test_share: float in [0, 1), cut off where the file has no test pairs.
        split_seed: int, decides which images are cut off.
        data_dir: not used; every data set has this key.
        channels: 1 or 3.
        num_classes: int or None for the number of categories or answers.
        **options: the other arguments of `ImageOptions`, and those of `TextOptions`.

    Returns:
        `ImageTextData`.

    Raises:
        TooManyUnreadable: where more images than `max_unreadable` are not there.
    """
    from vitcross.data.problems import TextProblems
    from vitcross.data.sources.image_files import ImageFiles
    from vitcross.data.sources.pair_source import PairSource
    from vitcross.data.sources.pairs_file import list_pairs

    problems = TextProblems()
    listing = list_pairs(
        file, validation_share=validation_share, test_share=test_share, split_seed=split_seed, problems=problems
    )
    images = ImageFiles(listing.images, name=listing.file.stem, channels=channels)
    made = {
        id(pairs): PairSource(
            name=f"{listing.file.stem}/{split}", images=images, pairs=pairs, class_names=listing.class_names
        )
        for split, pairs in listing.splits.items()
    }
    return _image_text_data(
        name=listing.file.stem,
        sources={split: made[id(pairs)] for split, pairs in listing.splits.items()},
        image_size=image_size,
        num_classes=num_classes,
        problems=problems,
        missing=listing.missing,
        options=options,
    )


def tfds_captions(
    *,
    name,
    train_split="train",
    validation_split="validation",
    test_split=None,
    data_dir=None,
    download=False,
    image_size,
    channels=None,
    num_classes=None,
    **options,
):
    """A TensorFlow Datasets set of images with captions, by name.

    Args:
        name, train_split, validation_split, test_split, data_dir, download, image_size, channels: as for `load.tfds`.
        num_classes: None; captions have no classes.
        **options: the other arguments of `ImageOptions`, and those of `TextOptions`.

    Returns:
        `ImageTextData`.
    """
    from vitcross.data.problems import TextProblems
    from vitcross.data.sources.tfds_captions import caption_key, caption_pairs
    from vitcross.data.sources.tfds_prepare import prepared_builder
    from vitcross.data.sources.tfds_source import TFDSSource

    problems = TextProblems()
    builder = prepared_builder(name=name, data_dir=data_dir, download=download)
    key = caption_key(builder.info)
    splits = {"train": train_split, "validation": validation_split, "test": test_split}
    sources = {
        split: caption_pairs(
            TFDSSource(builder=builder, split=expression, channels=channels, labeled=False), key=key, problems=problems
        )
        for split, expression in splits.items()
        if expression is not None
    }
    return _image_text_data(
        name=name, sources=sources, image_size=image_size, num_classes=num_classes, problems=problems, options=options
    )


def _image_text_data(*, name, sources, image_size, num_classes, problems, options, missing=()):
    from vitcross.data.text_arrays import first_of_each_text
    from vitcross.data.text_data import ImageTextData
    from vitcross.data.tokenizer import Tokenizer

    known = {field.name for field in dataclasses.fields(TextOptions)}
    texts = TextOptions(**{key: value for key, value in options.items() if key in known})
    images = ImageOptions(
        image_size=image_size,
        channels=sources["train"].channels,
        **{key: value for key, value in options.items() if key not in known},
    )
    if texts.tokenizer is not None:
        tokenizer = Tokenizer.load(texts.tokenizer)
    else:
        tokenizer = Tokenizer.train(
            sources["train"].texts(), vocabulary_size=texts.vocabulary_size, kind=texts.tokenizer_kind
        )
    for split in sources.keys() - {"train"}:
        if texts.distinct_texts:
            sources[split] = sources[split].select(first_of_each_text(sources[split], tokenizer=tokenizer))
        if texts.evaluation_examples is not None:
            sources[split] = sources[split].select(range(min(texts.evaluation_examples, len(sources[split]))))
    return ImageTextData(
        name=name,
        options=images,
        texts=texts,
        tokenizer=tokenizer,
        problems=problems,
        missing=missing,
        num_classes=num_classes,
        **sources,
    )


_WITH_TEXTS = (pairs, scene_texts, tfds_captions)
