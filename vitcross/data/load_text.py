"""The functions for pictures with texts that `conf/data/*.yaml` name through `load.py`: plain values in,
`ImageTextData` out. TensorFlow is imported only when one is called.
"""

import dataclasses

from vitcross.data.options import ImageOptions
from vitcross.data.text_options import TextOptions


def scene_texts(
    *,
    texts,
    questions_per_scene=None,
    target_colour="red",
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
            a scene: shape, colour, count, relation, yes or no; the answers are the classes).
        questions_per_scene: int or None: questions that training asks about a scene, every object in turn; None: one of
            each type, as in the other splits.
        target_colour, max_objects, scene_seed, data_dir, image_size, channels: as for `load.scenes`.
        held_out_combinations: bool, whether some combinations of shape and colour (`scenes.held_out_combinations`)
            occur in a split of their own, `unseen`, only.
        train_examples, validation_examples, test_examples: int > 0, scenes of each split.
        unseen_examples: int > 0, scenes of the split `unseen`; without held-out combinations there is none.
        num_classes: int or None; checked where it is given.
        **options: the other arguments of `ImageOptions`, and those of `TextOptions`.

    Returns:
        `ImageTextData`.
    """
    from vitcross.data.scene_texts import scene_captions, scene_questions
    from vitcross.data.scenes import UNSEEN, SceneOptions
    from vitcross.data.scenes_builder import prepared_scenes
    from vitcross.data.text_problems import TextProblems
    from vitcross.data.tfds_source import TFDSSource

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
        target_colour=target_colour,
        max_objects=max_objects,
        held_out=held_out_combinations,
    )
    builder = prepared_scenes(scenes=scenes, counts=counts, data_dir=data_dir)
    pictures = {split: TFDSSource(builder=builder, split=split, channels=channels) for split in counts}
    return _image_text_data(
        name="scenes",
        sources=scene_captions(pictures)
        if texts == "captions"
        else scene_questions(pictures, scenes=scenes, questions_per_scene=questions_per_scene),
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
    """Own pictures with captions or questions: a CSV or JSONL file of pairs (`pairs_file.py`).

    Args:
        file: path.
        image_size: (height, width) that the model sees.
        validation_share: float in [0, 1), share of the pictures, cut off where the file has no validation pairs; 0:
            its test pairs are watched during training.
        test_share: float in [0, 1), cut off where the file has no test pairs.
        split_seed: int, decides which pictures are cut off.
        data_dir: not used; every data set has this key.
        channels: 1 or 3.
        num_classes: int or None for the number of categories or answers.
        **options: the other arguments of `ImageOptions`, and those of `TextOptions`.

    Returns:
        `ImageTextData`.

    Raises:
        TooManyUnreadable: where more pictures than `max_unreadable` are not there.
    """
    from vitcross.data.pair_source import PairSource
    from vitcross.data.pairs_file import list_pairs
    from vitcross.data.picture_files import PictureFiles
    from vitcross.data.text_problems import TextProblems

    problems = TextProblems()
    listing = list_pairs(
        file, validation_share=validation_share, test_share=test_share, split_seed=split_seed, problems=problems
    )
    pictures = PictureFiles(listing.pictures, name=listing.file.stem, channels=channels)
    made = {
        id(pairs): PairSource(
            name=f"{listing.file.stem}/{split}", pictures=pictures, pairs=pairs, class_names=listing.class_names
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
    """A TensorFlow Datasets set of pictures with captions, by name.

    Args:
        name, train_split, validation_split, test_split, data_dir, download, image_size, channels: as for `load.tfds`.
        num_classes: None; captions have no classes.
        **options: the other arguments of `ImageOptions`, and those of `TextOptions`.

    Returns:
        `ImageTextData`.
    """
    from vitcross.data.text_problems import TextProblems
    from vitcross.data.tfds_captions import caption_key, caption_pairs
    from vitcross.data.tfds_prepare import prepared_builder
    from vitcross.data.tfds_source import TFDSSource

    problems = TextProblems()
    builder = prepared_builder(name=name, data_dir=data_dir, download=download)
    key = caption_key(builder.info)
    splits = {"train": train_split, "validation": validation_split, "test": test_split}
    sources = {
        split: caption_pairs(
            TFDSSource(builder=builder, split=expression, channels=channels, labelled=False), key=key, problems=problems
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
