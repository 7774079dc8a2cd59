"""What the configuration may say about texts: pure values, checked here, importable without TensorFlow."""

import dataclasses

from vitcross.data.tokenizer import KINDS, SHORTEST

BASELINES = (None, "blind", "shuffled")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextOptions:
    """Tokens of an image-text data set, and which of its pairs are used how.

    Args:
        tokenizer_kind: `bpe` or `wordpiece`, what is trained on the training texts.
        vocabulary_size: int > 0, most tokens that it may have.
        tokenizer: path of a `tokenizer.json` to use instead, or None.
        max_text_length: int >= 3, token positions of a row, BOS and EOS among them; longer texts are cut.
        texts_per_picture: int > 0, texts of a picture that a training batch holds together: the picture is encoded once
            for all of them. The other splits always have one.
        evaluation_examples: int > 0 or None: the other splits keep only their first so many pairs.
        distinct_texts: bool, the other splits keep only the first pair of each text (before `evaluation_examples`).
        baseline: what a model is to be compared with, or None for the real pairs. `blind`: each picture is replaced by
            one of another pair, in training drawn anew at every position, so that only the text says anything.
            `shuffled`: in training the texts of each picture belong to another one, the same one throughout, so that
            nothing but learning by heart helps; the other splits are right.
    """

    tokenizer_kind: str = "bpe"
    vocabulary_size: int = 512
    tokenizer: str | None = None
    max_text_length: int = 48
    texts_per_picture: int = 1
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
        if self.texts_per_picture <= 0:
            raise ValueError(f"texts_per_picture must be > 0. Received: {self.texts_per_picture}")
        if self.evaluation_examples is not None and self.evaluation_examples <= 0:
            raise ValueError(f"evaluation_examples must be null or > 0. Received: {self.evaluation_examples}")
        if self.baseline not in BASELINES:
            raise ValueError(f"baseline must be null, 'blind' or 'shuffled'. Received: {self.baseline!r}")


def check_augmentation(augmentation):
    """Raises ValueError for changes (`Augmentation`) that have no meaning where each picture has a text of its own."""
    for key, off in (("mixup", 0), ("cutmix", 0), ("repeats", 1)):
        if getattr(augmentation, key) != off:
            raise ValueError(
                f"augmentation.{key} must be {off} with texts: a text belongs to one whole picture, and two equal ones "
                f"in a batch are no contrast. Received: {getattr(augmentation, key)}"
            )
