"""What the configuration may say about images: pure values, checked here, importable without TensorFlow."""

import dataclasses

from vitcross.data.tokenizer import KINDS, SHORTEST
from vitcross.height_and_width import height_and_width

RESIZE_RULES = ("crop", "pad", "stretch")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of training images; each off by default.

    Args:
        flip: bool, mirror left-right with probability one half.
        padded_crop: int >= 0, shift by up to this many pixels in each direction (the border is filled by reflection).
        random_resized_crop: float in (0, 1] or None: smallest share of the area that a random crop keeps; the crop's
            aspect ratio varies between 3/4 and 4/3 (Szegedy et al. 2015, arXiv 1409.4842, section 6).
        randaugment_operations: int from 0 to 4, N of RandAugment (`randaugment.py`): random changes of each image,
            one after the other; 0: none.
        randaugment_magnitude: float in [0, 10], M of RandAugment, how strong they are.
        three_augment: bool, gray, solarized or blurred, one of them for each image (`three_augment.py`).
        color_jitter: float in [0, 1): brightness, contrast and saturation vary by factors in [1 - x, 1 + x].
        erasing: float in [0, 1], probability that a rectangle becomes noise (`erasing.py`).
        mixup: float >= 0, a of Beta(a, a) for the share of an image; the rest is another's (`mixing.py`); 0: off.
        cutmix: float >= 0, the same for the area of one that replaces a part of the other; with mixup, each half of
            the time.
        mix_probability: float in (0, 1], of an image to be mixed, where mixup or cutmix is on.
        repeats: int > 0, how often each example stands in a batch, each time changed anew (repeated augmentation,
            Hoffer et al. 2020, arXiv 1901.09335); a pass over the data then takes so many epochs.
    """

    flip: bool = False
    padded_crop: int = 0
    random_resized_crop: float | None = None
    randaugment_operations: int = 0
    randaugment_magnitude: float = 9.0
    three_augment: bool = False
    color_jitter: float = 0.0
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_probability: float = 1.0
    repeats: int = 1

    def __post_init__(self):
        if self.padded_crop < 0:
            raise ValueError(f"augmentation.padded_crop must be >= 0 pixels. Received: {self.padded_crop}")
        scale = self.random_resized_crop
        if scale is not None and not 0 < scale <= 1:
            raise ValueError(f"augmentation.random_resized_crop must be null or in (0, 1]. Received: {scale}")
        if not 0 <= self.color_jitter < 1:
            raise ValueError(f"augmentation.color_jitter must be in [0, 1). Received: {self.color_jitter}")
        self._check_recipe()

    def _check_recipe(self):
        rules = {
            "randaugment_operations": (0 <= self.randaugment_operations <= 4, "from 0 to 4"),
            "randaugment_magnitude": (0 <= self.randaugment_magnitude <= 10, "in [0, 10]"),
            "erasing": (0 <= self.erasing <= 1, "in [0, 1]"),
            "mixup": (self.mixup >= 0, ">= 0"),
            "cutmix": (self.cutmix >= 0, ">= 0"),
            "mix_probability": (0 < self.mix_probability <= 1, "in (0, 1]"),
            "repeats": (self.repeats >= 1, ">= 1"),
        }
        for key, (holds, rule) in rules.items():
            if not holds:
                raise ValueError(f"augmentation.{key} must be {rule}. Received: {getattr(self, key)}")
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """Size, transforms and limits of an image data set.

    Args:
        image_size: (height, width) that the model sees, in pixels, or one number for both.
        channels: 1 (gray) or 3 (RGB).
        augmentation: `Augmentation` or a dict of its arguments.
        resize: how an image of another shape is brought to `image_size`: `crop` (fill it, cut off what is over), `pad`
            (all of it is seen, black around it) or `stretch` (all of it, distorted).
        evaluation_crop: float in (0, 1], share of the image's side kept by the central crop of `crop`, e.g. 0.875.
        cache_gigabytes: float >= 0, decoded images are kept in memory where all of a split needs less than what is
            left of this.
        max_unreadable: int >= 0, more distinct unreadable images than this are an error.
        batch_size: int > 0.
        class_weights: None or `balanced` (inverse class frequency, mean 1 over classes).
    """

    image_size: tuple[int, int]
    channels: int = 3
    augmentation: Augmentation = Augmentation()
    resize: str = "crop"
    evaluation_crop: float = 1.0
    cache_gigabytes: float = 2.0
    max_unreadable: int = 0
    batch_size: int = 128
    class_weights: str | None = None

    def __post_init__(self):
        object.__setattr__(self, "image_size", height_and_width(self.image_size))
        augmentation = self.augmentation
        if not isinstance(augmentation, Augmentation):
            object.__setattr__(self, "augmentation", Augmentation(**(augmentation or {})))
        self._check()

    def _check(self):
        if self.channels not in (1, 3):
            raise ValueError(f"channels must be 1 (gray) or 3 (RGB). Received: {self.channels}")
        if self.resize not in RESIZE_RULES:
            raise ValueError(f"resize must be one of {RESIZE_RULES}. Received: {self.resize!r}")
        if not 0 < self.evaluation_crop <= 1:
            raise ValueError(f"evaluation_crop must be in (0, 1]. Received: {self.evaluation_crop}")
        if self.cache_gigabytes < 0:
            raise ValueError(f"cache_gigabytes must be >= 0. Received: {self.cache_gigabytes}")
        if self.max_unreadable < 0:
            raise ValueError(f"max_unreadable must be >= 0. Received: {self.max_unreadable}")
        if self.batch_size <= 0:
            raise ValueError(f"batch_size must be > 0. Received: {self.batch_size}")
        if self.class_weights not in (None, "balanced"):
            raise ValueError(f"class_weights must be null or 'balanced'. Received: {self.class_weights!r}")
        if self.batch_size % self.augmentation.rows_together:
            raise ValueError(
                f"batch_size must be a multiple of {self.augmentation.rows_together}: augmentation.repeats="
                f"{self.augmentation.repeats}{', twice for mixup or cutmix' if self.augmentation.mixes else ''}. "
                f"Received: {self.batch_size}"
            )
        if self.augmentation.padded_crop >= min(self.image_size):
            raise ValueError(
                f"augmentation.padded_crop must be smaller than both sides of image_size {self.image_size} "
                f"(the border is reflected). Received: {self.augmentation.padded_crop}"
            )

    @property
    def image_shape(self):
        """(height, width, channels) of one image as the model sees it."""
        return (*self.image_size, self.channels)


BASELINES = (None, "blind", "shuffled")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextOptions:
    """Tokens of an image-text data set, and which of its pairs are used how.

    Args:
        tokenizer_kind: `bpe` or `wordpiece`, what is trained on the training texts.
        vocabulary_size: int > 0, most tokens that it may have.
        tokenizer: path of a `tokenizer.json` to use instead, or None.
        max_text_length: int >= 3, token positions of a row, BOS and EOS among them; longer texts are cut.
        texts_per_image: int > 0, texts of an image that a training batch holds together: the image is encoded once
            for all of them. The other splits always have one.
        evaluation_examples: int > 0 or None: the other splits keep only their first so many pairs.
        distinct_texts: bool, the other splits keep only the first pair of each text (before `evaluation_examples`).
        baseline: what a model is to be compared with, or None for the real pairs. `blind`: each image is replaced by
            one of another pair, in training drawn anew at every position, so that only the text says anything.
            `shuffled`: in training the texts of each image belong to another one, the same one throughout, so that
            nothing but learning by heart helps; the other splits are right.
    """

    tokenizer_kind: str = "bpe"
    vocabulary_size: int = 512
    tokenizer: str | None = None
    max_text_length: int = 48
    texts_per_image: int = 1
    evaluation_examples: int | None = None
    distinct_texts: bool = False
    baseline: str | None = None

    def __post_init__(self):
        if self.tokenizer_kind not in KINDS:
            raise ValueError(f"tokenizer_kind must be one of {KINDS}. Received: {self.tokenizer_kind!r}")
        if self.vocabulary_size <= 0:
            raise ValueError(f"vocabulary_size must be > 0. Received: {self.vocabulary_size}")
        if self.max_text_length < SHORTEST:
            raise ValueError(
                f"max_text_length must be >= {SHORTEST} (BOS, a token, EOS). Received: {self.max_text_length}"
            )
        if self.texts_per_image <= 0:
            raise ValueError(f"texts_per_image must be > 0. Received: {self.texts_per_image}")
        if self.evaluation_examples is not None and self.evaluation_examples <= 0:
            raise ValueError(f"evaluation_examples must be null or > 0. Received: {self.evaluation_examples}")
        if self.baseline not in BASELINES:
            raise ValueError(f"baseline must be null, 'blind' or 'shuffled'. Received: {self.baseline!r}")


def check_augmentation(augmentation):
    """Raises ValueError for changes (`Augmentation`) that have no meaning where each image has a text of its own."""
    for key, off in (("mixup", 0), ("cutmix", 0), ("repeats", 1)):
        if getattr(augmentation, key) != off:
            raise ValueError(
                f"augmentation.{key} must be {off} with texts: a text belongs to one whole image, and two equal ones "
                f"in a batch are no contrast. Received: {getattr(augmentation, key)}"
            )
