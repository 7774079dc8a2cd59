"""Declares the options of data sets: size, transforms and limits of images, tokens of texts, and each source."""

import dataclasses
import re
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from vitcross.options.effects import never, only_above, only_with
from vitcross.options.fields import (
    Bool,
    Count,
    CountOrZero,
    Float,
    Int,
    NonNegative,
    PathText,
    PositiveShare,
    Share,
    ShareOrAll,
    Size,
    ValueRange,
    options,
)


def _tfds_name(name):
    # A name before the colon would be that of a collection whose code TFDS downloads and runs; a version may follow it.
    if not re.fullmatch(r"[^:]+(:[\d.*]+)?", name):
        raise PydanticCustomError("tfds_name", "a name, perhaps with a version, as mnist:3.0.1")
    return name


TFDSName = Annotated[str, AfterValidator(_tfds_name)]
TokenizerKind = Literal["bpe", "wordpiece"]
TOKENIZER_KINDS = get_args(TokenizerKind)
SHARES = ("validation_share", "test_share", "split_seed")  # options of data whose splits are cut here
SHORTEST_TEXT = 3  # BOS, one token, EOS


@options
class Augmentation:
    """Random changes of training images; each off by default.

    Args:
        flip: mirror left-right with probability one half.
        padded_crop: shift by up to this many pixels in each direction (the border is filled by reflection).
        random_resized_crop: smallest share of the area that a random crop keeps, or None; the crop's aspect ratio
            varies between 3/4 and 4/3 (Szegedy et al. 2015, arXiv 1409.4842, section 6).
        randaugment_operations: N of RandAugment (`randaugment.py`): random changes of each image, one after the other;
            0: none.
        randaugment_magnitude: M of RandAugment, how strong they are.
        three_augment: gray, solarized or blurred, one of them for each image (`three_augment.py`).
        color_jitter: x; brightness, contrast and saturation vary by factors in [1 - x, 1 + x].
        erasing: probability that a rectangle becomes noise (`erasing.py`).
        mixup: a of Beta(a, a) for the share of an image; the rest is another's (`mixing.py`); 0: off.
        cutmix: the same for the area of one that replaces a part of the other; with mixup, each half of the time.
        mix_probability: of an image to be mixed, where mixup or cutmix is on.
        repeats: how often a batch holds each example, each time changed differently (repeated augmentation, Hoffer et
            al. 2020, arXiv 1901.09335); a pass over the data then takes so many epochs.
    """

    flip: Bool = False
    padded_crop: CountOrZero = 0
    random_resized_crop: PositiveShare | None = None
    randaugment_operations: Annotated[CountOrZero, Field(le=4)] = 0
    randaugment_magnitude: Annotated[NonNegative, Field(le=10)] = 9.0
    three_augment: Bool = False
    color_jitter: Share = 0.0
    erasing: ShareOrAll = 0.0
    mixup: NonNegative = 0.0
    cutmix: NonNegative = 0.0
    mix_probability: PositiveShare = 1.0
    repeats: Count = 1

    MATTERS: ClassVar = {
        "randaugment_magnitude": only_above(0, "randaugment_operations"),
        "mix_probability": only_above(0, "mixup", "cutmix"),
    }

    def __post_init__(self):
        if self.three_augment and self.randaugment_operations:
            raise ValueError(
                "augmentation.three_augment takes the place of RandAugment: one of them must be off. Received: "
                f"three_augment=true, randaugment_operations={self.randaugment_operations}"
            )

    @property
    def mixes(self):
        """Whether images are mixed with each other, and a batch has `mixed_labels` and `mixing`."""
        return self.mixup > 0 or self.cutmix > 0

    @property
    def rows_together(self):
        """Rows of a batch that belong together: batches begin and end at a multiple of it.

        The repetitions of an example follow each other; what is mixed with it follows them.
        """
        return self.repeats * (2 if self.mixes else 1)


@options
class ImageOptions:
    """What every data set of images takes.

    Args:
        data_dir: folder of prepared sets, or None: TFDS's own (TFDS_DATA_DIR, else ~/tensorflow_datasets); not used by
            folders and files.
        batch_size: rows of a training batch.
        image_size: (height, width) that the model sees, in pixels, or one number for both; None: that of the images,
            where all have one.
        channels: 1 (gray) or 3 (RGB); None: those of the data set.
        value_range: (low, high), the values of black and white in images of more than 8 bits; None: those that the
            training images use.
        num_classes: checked against the data; None: those of the data.
        augmentation: `Augmentation` or a dict of its arguments.
        resize: how an image of another shape is brought to `image_size`: `crop` (fill it, cut off what is over), `pad`
            (all of it is seen, black around it) or `stretch` (all of it, distorted).
        evaluation_crop: share of the image's side kept by the central crop of `crop`, e.g. 0.875.
        cache_gigabytes: decoded images are kept in memory where all of a split needs less than what is left of this.
        num_workers: processes that decode images which differ in size; 0: threads of this process; None: threads on up
            to 4 cores, on more of them a process per core. The pixels are the same.
        max_unreadable: more distinct unreadable images than this are an error.
        class_weights: None or `balanced` (inverse class frequency, mean 1 over classes).
    """

    data_dir: PathText | None = None
    batch_size: Count = 128
    image_size: Size | None = None
    channels: Literal[1, 3] | None = 3
    value_range: ValueRange | None = None
    num_classes: Annotated[Int, Field(ge=2)] | None = None
    augmentation: Augmentation = Augmentation()
    resize: Literal["crop", "pad", "stretch"] = "crop"
    evaluation_crop: PositiveShare = 1.0
    cache_gigabytes: NonNegative = 2.0
    num_workers: Annotated[CountOrZero, Field(le=1024)] | None = None
    max_unreadable: CountOrZero = 0
    class_weights: Literal["balanced"] | None = None

    MATTERS: ClassVar = {"evaluation_crop": only_with("resize", "crop")}

    def __post_init__(self):
        changes = self.augmentation
        if self.batch_size % changes.rows_together:
            raise ValueError(
                f"batch_size must be a multiple of {changes.rows_together}: augmentation.repeats="
                f"{changes.repeats}{', twice for mixup or cutmix' if changes.mixes else ''}. "
                f"Received: {self.batch_size}"
            )
        if self.image_size is None:
            return
        if changes.padded_crop >= min(self.image_size):
            raise ValueError(
                f"augmentation.padded_crop must be smaller than both sides of image_size {self.image_size} "
                f"(the border is reflected). Received: {changes.padded_crop}"
            )

    @property
    def image_shape(self):
        """(height, width, channels) of one image as the model sees it."""
        return (*self.image_size, self.channels)


@options
class TFDSOptions(ImageOptions):
    """An image classification set of TensorFlow Datasets.

    Args:
        name: as TFDS calls it (`oxford_flowers102`), with a configuration where it has several
            (`imagenet_v2/topimages`).
        train_split, validation_split: any TFDS split expression.
        test_split: the same, or None for none.
        download: fetch and prepare what is missing.
    """

    name: TFDSName
    train_split: str = "train"
    validation_split: str = "validation"
    test_split: str | None = None
    download: Bool = False
    channels: Literal[1, 3] | None = None


@options
class ImageFolderOptions(ImageOptions):
    """A folder of images, a class per subfolder.

    Args:
        root: path of the folder: `root/<class>/...`, or `root/train/<class>/...` and `root/validation/<class>/...`.
        validation_share: cut from each class where there is no validation folder.
        test_share: cut where there is no test folder.
        split_seed: decides which images are cut.
        find_copies: images of up to so many files are held against each other, by size and bytes: the same content in
            two splits or under two classes is told; 0: none are.
    """

    root: PathText
    validation_share: Annotated[Float, Field(gt=0, lt=1)] = 0.1
    test_share: Share = 0.0
    split_seed: CountOrZero = 0
    find_copies: CountOrZero = 50_000

    MATTERS: ClassVar = {"data_dir": never("images of a folder are read where they are")}


@options
class WatermarkOptions:
    """A mark that gives the class away (`vitcross/data/scenes/watermark.py`).

    Args:
        corner: where it stands.
        size: height of the mark as a share of the image's shorter side; its cells are whole pixels, at least one.
        share: of the images that have the mark of their class; the others have none.
    """

    corner: Literal["top_left", "top_right", "bottom_left", "bottom_right"] = "bottom_right"
    size: Annotated[Float, Field(gt=0, le=0.5)] = 0.22
    share: PositiveShare = 1.0


@options
class DrawnOptions(ImageOptions):
    """What all rendered scenes take, drawn at `image_size`.

    Args:
        target_color: color of the object whose shape is the label.
        max_objects: from 1 to 5.
        scene_seed: another one draws other images.
        train_examples, validation_examples, test_examples: scenes of each split.
    """

    target_color: str = "red"
    max_objects: Count = 5
    scene_seed: CountOrZero = 0
    train_examples: Count = 20_000
    validation_examples: Count = 2_000
    test_examples: Count = 2_000
    image_size: Size | None = (64, 64)


@options
class ScenesOptions(DrawnOptions):
    """Rendered scenes, each with a class.

    Args:
        watermark: a mark that gives the class away in training, or None; two more splits, `unmarked` and `misleading`,
            tell what a model learned besides.
        multilabel: the labels of an image are the shapes of all its objects; otherwise its class is the shape of the
            object with the target color.
    """

    watermark: WatermarkOptions | None = None
    multilabel: Bool = False

    def __post_init__(self):
        super().__post_init__()
        if self.multilabel and self.watermark is not None:
            raise ValueError(
                "watermark must be null with multilabel=true: the mark gives away a single class. "
                f"Received: watermark={dataclasses.asdict(self.watermark)}"
            )


@options
class TextOptions:
    """Tokens of an image-text data set, and which of its pairs are used how.

    Args:
        tokenizer_kind: what is trained on the training texts.
        vocabulary_size: most tokens that it may have.
        tokenizer: path of a `tokenizer.json` to use instead, or None.
        max_text_length: token positions of a row, BOS and EOS among them; longer texts are cut.
        texts_per_image: texts of an image that a training batch holds together: the image is encoded once for all of
            them. The other splits always have one.
        evaluation_examples: the other splits keep only their first so many pairs; None: all.
        distinct_texts: the other splits keep only the first pair of each text (before `evaluation_examples`).
        baseline: what a model is to be compared with, or None for the real pairs. `blind`: each image is replaced by
            one of another pair, in training drawn again at every position, so that only the text says anything.
            `shuffled`: in training the texts of each image belong to another one, the same one throughout, so that
            nothing but learning by heart helps; the other splits are right.
    """

    tokenizer_kind: TokenizerKind = "bpe"
    vocabulary_size: Count = 512
    tokenizer: PathText | None = None
    max_text_length: Annotated[Int, Field(ge=SHORTEST_TEXT)] = 48
    texts_per_image: Count = 1
    evaluation_examples: Count | None = None
    distinct_texts: Bool = False
    baseline: Literal["blind", "shuffled"] | None = None

    MATTERS: ClassVar = {key: only_with("tokenizer", None) for key in ("tokenizer_kind", "vocabulary_size")}


@options
class ImageTextOptions(TextOptions, ImageOptions):
    """What every data set of images with texts takes; the classes are categories or answers."""

    num_classes: CountOrZero | None = None
    class_weights: None = None

    def __post_init__(self):
        super().__post_init__()
        check_augmentation(self.augmentation)


@options
class SceneTextsOptions(ImageTextOptions, DrawnOptions):
    """Rendered scenes with their captions or with questions about them.

    Args:
        texts: `captions` (one a scene, naming every object; the class is that of the scene) or `questions` (up to five
            a scene: shape, color, count, relation, yes or no; the answers are the classes).
        questions_per_scene: questions that training asks about a scene, every object in turn; None: one of each type,
            as in the other splits.
        held_out_combinations: whether some combinations of shape and color (`scene.held_out_combinations`) occur in a
            split of their own, `unseen`, only.
        unseen_examples: scenes of the split `unseen`; without held-out combinations there is none.
    """

    image_size: Size | None = (64, 64)
    texts: Literal["captions", "questions"]
    questions_per_scene: Count | None = None
    held_out_combinations: Bool = True
    unseen_examples: Count = 2_000

    MATTERS: ClassVar = {"unseen_examples": only_with("held_out_combinations", True)}

    def __post_init__(self):
        super().__post_init__()
        if self.texts == "captions" and self.questions_per_scene is not None:
            raise ValueError(
                f"questions_per_scene must be null with texts=captions. Received: {self.questions_per_scene}"
            )


@options
class TableOptions:
    """What a table of the user's images takes (`vitcross/data/sources/table_rows.py`).

    Args:
        file: its path: CSV, TSV, JSON lines or a JSON array.
        root: the folder that its names of images are relative to, or None for the file's.
        image_column, split_column: names of columns, or None: found among common names.
        test_share: of the images, cut off where the file has no test split.
        split_seed: decides which images are cut off.
    """

    file: PathText
    root: PathText | None = None
    image_column: str | None = None
    split_column: str | None = None
    test_share: Share = 0.0
    split_seed: CountOrZero = 0

    MATTERS: ClassVar = {"data_dir": never("images of a table are read where they are")}


@options
class PairsOptions(ImageTextOptions, TableOptions):
    """The user's images with captions or questions: a table of pairs.

    Args:
        text_column: name of the column of captions, or None: found among common names.
        validation_share: of the images, cut off where the file has no validation pairs; 0: its test pairs are watched
            during training.
        find_copies: images are compared with each other where there are at most this many; 0: never.
    """

    text_column: str | None = None
    validation_share: Share = 0.1
    find_copies: CountOrZero = 50_000


@options
class LabelsFileOptions(ImageOptions, TableOptions):
    """The user's images with labels in a table.

    Args:
        label_column, box_column, mask_column: names of columns, or None: found among common names.
        box_format: what the four numbers of a box are, in pixels or as shares of the image (found by their size), or
            None: by the names of the columns, else the one of `xyxy` and `xywh` that fits.
        multilabel: whether an image has any number of labels, or None: true where the column is called `labels` (or
            alike) or holds lists.
        label_separator: between the labels of an image in a text, or None: found.
        validation_share: of each class, cut off where the file has no validation split.
        find_copies: images are compared with each other where there are at most this many; 0: never.
    """

    label_column: str | None = None
    box_column: str | None = None
    box_format: Literal["xyxy", "xywh", "cxcywh", "yxyx"] | None = None
    mask_column: str | None = None
    multilabel: Bool | None = None
    label_separator: Annotated[str, Field(min_length=1)] | None = None
    validation_share: Annotated[Float, Field(gt=0, lt=1)] = 0.1
    find_copies: CountOrZero = 50_000

    def __post_init__(self):
        super().__post_init__()
        if self.multilabel is False and self.label_separator is not None:
            raise ValueError(f"label_separator must be null with multilabel=false. Received: {self.label_separator!r}")


@options
class TFDSCaptionsOptions(ImageTextOptions, TFDSOptions):
    """A TensorFlow Datasets set of images with captions."""

    channels: Literal[1, 3] | None = None


@options
class HuggingFacePlace:
    """Where a data set of Hugging Face's `datasets` is, its splits and images.

    Args:
        name: `ORG/NAME` on the Hub, or the path of a folder or file.
        root: folder or file (Parquet, Arrow, CSV, JSON, tar) or pattern of files; None: what `name` says.
        config_name: which of its configurations, or None where it has one.
        revision: branch, tag or commit on the Hub, or None: the newest.
        train_split, validation_split, test_split: any split expression of `datasets`; None: the split of that name,
            where there is one.
        validation_share: cut off the training split where there is no other for validation.
        split_seed: decides which examples are cut off.
        image_column: name of the column of images, or None: found by type and name.
    """

    name: str | None = None
    root: PathText | None = None
    config_name: str | None = None
    revision: str | None = None
    train_split: str | None = None
    validation_split: str | None = None
    test_split: str | None = None
    validation_share: Annotated[Float, Field(gt=0, lt=1)] = 0.1
    split_seed: CountOrZero = 0
    image_column: str | None = None

    MATTERS: ClassVar = {
        "data_dir": never("what is fetched is in Hugging Face's own cache, HF_HOME"),
        **{key: only_with("validation_split", None) for key in ("validation_share", "split_seed")},
    }


@options
class HuggingFaceOptions(HuggingFacePlace, ImageOptions):
    """Labeled images of Hugging Face's `datasets`.

    Args:
        label_column: name of the column of labels, or None: found by type and name.
        multilabel: whether an image has any number of labels: the column holds lists.
        find_copies: images are compared with each other where there are at most this many; 0: never.
    """

    label_column: str | None = None
    multilabel: Bool = False
    find_copies: CountOrZero = 50_000


@options
class HuggingFaceCaptionsOptions(HuggingFacePlace, ImageTextOptions):
    """Images with captions of Hugging Face's `datasets`.

    Args:
        text_column: name of the column of captions or lists of captions, or None: found by type and name.
        label_column: name of a column with the class of each image, or None: a column of named classes, if any.
    """

    text_column: str | None = None
    label_column: str | None = None


@options
class HuggingFaceQuestionsOptions(HuggingFacePlace, ImageTextOptions):
    """Images with questions of Hugging Face's `datasets`.

    Args:
        text_column: name of the column of questions, or None: found by type and name.
        answer_column: name of the column of answers, one or a list of several annotators', or None: found likewise.
    """

    text_column: str | None = None
    answer_column: str | None = None


def check_augmentation(augmentation):
    """Raises ValueError for changes (`Augmentation`) that have no meaning where each image has a text of its own."""
    for key, off in (("mixup", 0), ("cutmix", 0), ("repeats", 1)):
        if getattr(augmentation, key) != off:
            raise ValueError(
                f"augmentation.{key} must be {off} with texts: a text describes one unmixed image, and two equal ones "
                f"in a batch are no contrast. Received: {getattr(augmentation, key)}"
            )
