"""Loads data sets: the functions that `conf/data/*.yaml` name, which return `ImageData` or `ImageTextData`.

The arguments of each are those of a class of `vitcross.options.data`. Only a call imports TensorFlow.
"""

import dataclasses
import logging

from vitcross.options import data as options_of

logger = logging.getLogger(__name__)
MOST_FOR_TOKENIZER = 300_000  # training texts that a tokenizer is trained on; more change little

__all__ = [
    "huggingface",
    "huggingface_captions",
    "huggingface_questions",
    "image_folder",
    "labels_file",
    "pairs",
    "scene_texts",
    "scenes",
    "tfds",
    "tfds_captions",
]


def tfds(**given):
    """Loads an image classification set of TensorFlow Datasets: `TFDSOptions` -> `ImageData`."""
    options = options_of.TFDSOptions(**given)
    return _image_data(name=options.name, options=options, sources=_tfds_sources(options, _tfds_builder(options)))


def scenes(**given):
    """Loads rendered scenes, and renders them first if necessary: `ScenesOptions` -> `ImageData`.

    Its batches have the keys `box` and `num_objects`, and `mark_box` with a watermark; with `multilabel` none of them.
    """
    from vitcross.data.scenes.shape_labels import SceneShapes
    from vitcross.data.scenes.watermark import Watermark, marked

    options = options_of.ScenesOptions(**given)
    sources, watched = _scene_sources(options, _scene_options(options)), {}
    if options.multilabel:
        sources = {split: SceneShapes(source) for split, source in sources.items()}
    if options.watermark is not None:
        watermark = Watermark(**dataclasses.asdict(options.watermark))
        sources, watched = marked(sources, watermark, seed=options.scene_seed)
    return _image_data(name="scenes", options=options, sources=sources, watched=watched)


def image_folder(**given):
    """Loads a folder of images with one subfolder per class: `ImageFolderOptions` -> `ImageData`."""
    from vitcross.data.sources.copies import copies_lines
    from vitcross.data.sources.image_folder import ImageFolderSource, list_image_folder

    options = options_of.ImageFolderOptions(**given)
    listing = list_image_folder(options.root, **_shares(options))
    copies = copies_lines(
        listing.splits, names=listing.class_names.__getitem__, base=listing.root, limit=options.find_copies
    )
    _warn((*listing.notes, *copies))
    sources = {
        split: ImageFolderSource(listing=listing, split=split, channels=options.channels) for split in listing.splits
    }
    return _image_data(name=listing.root.name, options=options, sources=sources)


def labels_file(**given):
    """Loads the user's images with labels from a table: `LabelsFileOptions` -> `ImageData`.

    Its batches have the key `box` if the table has boxes.
    """
    from vitcross.data.sources.copies import copies_lines
    from vitcross.data.sources.labels_file import LABELS_KEYS, list_labels
    from vitcross.data.sources.labels_source import LabelsFileSource
    from vitcross.data.sources.table_rows import tell

    options = options_of.LabelsFileOptions(**given)
    arguments = {key: getattr(options, key) for key in LABELS_KEYS}
    listing = list_labels(options.file, **_shares(options), **arguments)
    tell(listing.table)
    files = {
        split: [(image.path, tuple(sorted(image.labels))) for image in images]
        for split, images in listing.splits.items()
    }
    _warn(copies_lines(files, names=", ".join, base=listing.root, limit=options.find_copies))
    sources = {
        split: LabelsFileSource(listing=listing, split=split, channels=options.channels) for split in listing.splits
    }
    return _image_data(name=listing.file.stem, options=options, sources=sources)


def huggingface(**given):
    """Loads labeled images of Hugging Face's `datasets`: `HuggingFaceOptions` -> `ImageData`."""
    from vitcross.data.sources.huggingface_set import labeled_sources

    options = options_of.HuggingFaceOptions(**given)
    name, sources = labeled_sources(options)
    _warn(_copies_of_stored(sources, options.find_copies))
    return _image_data(name=name, options=options, sources=sources)


def huggingface_captions(**given):
    """Loads images with captions of Hugging Face's `datasets`: `HuggingFaceCaptionsOptions` -> `ImageTextData`."""
    return _huggingface_texts(options_of.HuggingFaceCaptionsOptions(**given), "captions")


def huggingface_questions(**given):
    """Loads images with questions of Hugging Face's `datasets`: `HuggingFaceQuestionsOptions` -> `ImageTextData`."""
    return _huggingface_texts(options_of.HuggingFaceQuestionsOptions(**given), "questions")


def scene_texts(**given):
    """Loads rendered scenes with captions or questions: `SceneTextsOptions` -> `ImageTextData`."""
    from vitcross.data.problems import TextProblems
    from vitcross.data.scenes.scene import UNSEEN
    from vitcross.data.scenes.texts import scene_captions, scene_questions

    options = options_of.SceneTextsOptions(**given)
    scenes = _scene_options(options, held_out=options.held_out_combinations)
    more = {UNSEEN: options.unseen_examples} if options.held_out_combinations else {}
    images = _scene_sources(options, scenes, **more)
    if options.texts == "captions":
        sources = scene_captions(images)
    else:
        sources = scene_questions(images, scenes=scenes, questions_per_scene=options.questions_per_scene)
    return _image_text_data(name="scenes", options=options, sources=sources, problems=TextProblems())


def pairs(**given):
    """Loads the user's images with captions or questions from a file of pairs: `PairsOptions` -> `ImageTextData`.

    Raises:
        TooManyUnreadable: if more than `max_unreadable` images are missing, or as many lines give no pair.
    """
    from vitcross.data.problems import TextProblems
    from vitcross.data.sources.copies import copies_lines
    from vitcross.data.sources.image_files import ImageFiles
    from vitcross.data.sources.pair_source import PairSource
    from vitcross.data.sources.pairs_file import PAIRS_KEYS, list_pairs
    from vitcross.data.sources.table_rows import tell

    options, problems = options_of.PairsOptions(**given), TextProblems()
    arguments = {key: getattr(options, key) for key in PAIRS_KEYS}
    listing = list_pairs(options.file, **_shares(options), **arguments, problems=problems)
    tell(listing.table)
    files, known = {}, set()  # an image of two splits is told already
    for split, pairs in listing.splits.items():
        paths = dict.fromkeys(listing.images[pair.image] for pair in pairs)
        files[split] = [(path, "") for path in paths if path not in known]
        known.update(paths)
    _warn(copies_lines(files, names=str, base=listing.file.parent, limit=options.find_copies))
    name, classes = listing.file.stem, listing.class_names
    images = ImageFiles(listing.images, name=name, channels=options.channels)
    made = {  # two splits may share their pairs
        id(pairs): PairSource(name=f"{name}/{split}", images=images, pairs=pairs, class_names=classes)
        for split, pairs in listing.splits.items()
    }
    sources = {split: made[id(pairs)] for split, pairs in listing.splits.items()}
    return _image_text_data(name=name, options=options, sources=sources, problems=problems, missing=listing.missing)


def tfds_captions(**given):
    """Loads a set of images with captions of TensorFlow Datasets: `TFDSCaptionsOptions` -> `ImageTextData`."""
    from vitcross.data.problems import TextProblems
    from vitcross.data.sources.tfds_captions import caption_key, caption_pairs

    options, problems = options_of.TFDSCaptionsOptions(**given), TextProblems()
    builder = _tfds_builder(options)
    key = caption_key(builder.info)
    images = _tfds_sources(options, builder, labeled=False)
    sources = {split: caption_pairs(source, key=key, problems=problems) for split, source in images.items()}
    return _image_text_data(name=options.name, options=options, sources=sources, problems=problems)


def _warn(lines):
    for line in lines:
        logger.warning("%s", line)


def _copies_of_stored(sources, limit):
    from vitcross.data.sources.copies import StoredImage, copies_lines

    names = sources["train"].class_names
    if sum(map(len, sources.values())) > limit:
        return copies_lines(sources, names=None, base=None, limit=limit)
    stored = {split: [(StoredImage(s, k), s.label(k)) for k in range(len(s))] for split, s in sources.items()}
    several = sources["train"].multilabel
    text = (lambda label: ", ".join(names[k] for k in label)) if several else names.__getitem__
    return copies_lines(stored, names=text, base=None, limit=limit)


def _huggingface_texts(options, reads):
    from vitcross.data.problems import TextProblems
    from vitcross.data.sources.huggingface_set import text_sources

    problems = TextProblems()
    name, sources = text_sources(options, reads, problems)
    return _image_text_data(name=name, options=options, sources=sources, problems=problems)


def _tfds_builder(options):
    from vitcross.data.sources.tfds_prepare import prepared_builder

    return prepared_builder(name=options.name, data_dir=options.data_dir, download=options.download)


def _tfds_sources(options, builder, **more):
    """A `TFDSSource` for each split of a prepared set."""
    from vitcross.data.sources.tfds_source import TFDSSource

    splits = {"train": options.train_split, "validation": options.validation_split, "test": options.test_split}
    return {
        split: TFDSSource(builder=builder, split=expression, channels=options.channels, **more)
        for split, expression in splits.items()
        if expression is not None
    }


def _scene_options(options, held_out=False):
    from vitcross.data.scenes.scene import SceneOptions

    return SceneOptions(
        image_size=options.image_size,
        seed=options.scene_seed,
        target_color=options.target_color,
        max_objects=options.max_objects,
        held_out=held_out,
    )


def _scene_sources(options, scenes, **more):
    """A `TFDSSource` for each split of rendered scenes; `more` gives the sizes of additional splits."""
    from vitcross.data.scenes.scenes_builder import prepared_scenes
    from vitcross.data.sources.tfds_source import TFDSSource

    counts = {split: getattr(options, f"{split}_examples") for split in ("train", "validation", "test")} | more
    builder = prepared_scenes(scenes=scenes, counts=counts, data_dir=options.data_dir)
    return {split: TFDSSource(builder=builder, split=split, channels=options.channels) for split in counts}


def _shares(options):
    return {key: getattr(options, key) for key in options_of.SHARES}


def _resolved(options, name, train):
    """The options with the size, channels and range of values of the images where none were given."""
    image_size = options.image_size or (train.image_shape and train.image_shape[:2])
    if image_size is None:
        raise ValueError(f"image_size must be given for {name}, whose images differ in size. Received: null")
    value_range = options.value_range
    if value_range is None and train.image_shape is None:  # images of one known shape have 8 bits
        value_range = _found_value_range(train)
    return dataclasses.replace(options, image_size=image_size, channels=train.channels, value_range=value_range)


def _found_value_range(train):
    from vitcross.data.sources.deep_pixels import find_value_range

    found = find_value_range(train)
    if found is not None:
        low, high = found
        logger.info(
            "Images of more than 8 bits: %g is black and %g is white, as a sample uses them (data.value_range)",
            low,
            high,
        )
    return found


def _image_data(*, name, options, sources, watched=None):
    from vitcross.data.image_data import ImageData

    options = _resolved(options, name, sources["train"])
    return ImageData(name=name, options=options, num_classes=options.num_classes, watched=watched, **sources)


def _image_text_data(*, name, options, sources, problems, missing=()):
    from vitcross.data.text_arrays import first_of_each_text
    from vitcross.data.text_data import ImageTextData
    from vitcross.data.tokenizer import Tokenizer

    options = _resolved(options, name, sources["train"])
    if options.tokenizer is not None:
        tokenizer = Tokenizer.load(options.tokenizer)
    else:
        tokenizer = Tokenizer.train(
            sources["train"].texts(MOST_FOR_TOKENIZER),
            vocabulary_size=options.vocabulary_size,
            kind=options.tokenizer_kind,
        )
    for split in sources.keys() - {"train"}:
        if options.distinct_texts:
            sources[split] = sources[split].select(first_of_each_text(sources[split], tokenizer=tokenizer))
        if options.evaluation_examples is not None:
            sources[split] = sources[split].select(range(min(options.evaluation_examples, len(sources[split]))))
    return ImageTextData(
        name=name,
        options=options,
        texts=options,
        tokenizer=tokenizer,
        problems=problems,
        missing=missing,
        num_classes=options.num_classes,
        **sources,
    )
