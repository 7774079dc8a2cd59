"""Makes batches of pairs of an image and a text. Shape letters: P images, T token positions."""

import dataclasses

import numpy as np

from vitcross.data import geometry
from vitcross.data.image_data import ImageData
from vitcross.data.problems import TextProblems, UnreadableImage
from vitcross.data.sources.pair_source import PairSource
from vitcross.data.text_arrays import text_arrays
from vitcross.data.text_reader import ImageTextsReader, TextReader
from vitcross.data.tokenizer import Tokenizer
from vitcross.derangement import derangement
from vitcross.options.data import check_augmentation

_ANOTHER = 0x0FF5E7  # separates the exchange of images from other uses of a seed
_EVALUATION_SEED = 0  # a blind evaluation shows the same images in every run


@dataclasses.dataclass(frozen=True, kw_only=True)
class References:
    """Information about a split for metrics; `index` is that of a pair, as in its batch."""

    source: PairSource
    tokenizer: Tokenizer
    question_types: tuple[str, ...] = ()

    def texts(self, index):
        """All texts of a pair's image: list of str."""
        return self.source.references(index)

    def text(self, index):
        """The caption or question of a pair, as written."""
        return self.source.text(index)

    def answers(self, index):
        """The answers of a pair's annotators: tuple of str."""
        return self.source.answers(index)

    def scene(self, index):
        """The content of a pair's image (`Source.scene`)."""
        return self.source.scene(index)


class ImageTextData(ImageData):
    """The splits of a set of pairs; an example is a pair, `len(data.train)` counts pairs.

    Args:
        texts: `TextOptions`.
        tokenizer: `Tokenizer`.
        unseen: `PairSource` of scenes with held-out combinations, or None.
        problems: `TextProblems` found so far.
        missing: paths of missing images, which count as unreadable.
        **arguments: those of `ImageData`, whose sources are `PairSource`s; `watched` follows from `unseen`.

    Raises:
        TooManyUnreadable: if more than `max_unreadable` images are missing.
        ValueError: as `ImageData`; for a baseline with one image, class weights, and mixed or repeated images.
    """

    def __init__(self, *, texts, tokenizer, unseen=None, problems=None, missing=(), **arguments):
        self.unseen, self.texts, self.tokenizer = unseen, texts, tokenizer
        super().__init__(watched={} if unseen is None else {"unseen": unseen}, **arguments)
        self.problems = problems or TextProblems()
        types = {kind for split in self.splits for kind in self.source(split).question_types}
        self.question_types = tuple(sorted(types))
        self._check()
        for path in missing:
            self.unreadable.add(UnreadableImage(path, "no such file"))
        self._text_arrays = self._make_arrays()
        self.problems.log()

    def _check(self):
        check_augmentation(self.options.augmentation)
        if self.options.batch_size % self.texts.texts_per_image:
            raise ValueError(
                "texts_per_image must divide batch_size. Received: "
                f"texts_per_image={self.texts.texts_per_image}, batch_size={self.options.batch_size}"
            )
        if self.options.class_weights is not None:
            raise ValueError(f"class_weights must be null for texts. Received: {self.options.class_weights!r}")
        for split in self.splits:
            if self.texts.baseline is not None and len(self.source(split).images) < 2:
                raise ValueError(
                    f"baseline needs at least two images in each split. Received: {self.texts.baseline} with one in "
                    f"'{split}' of {self.name}"
                )

    def _make_arrays(self):
        arguments = {
            "tokenizer": self.tokenizer,
            "max_length": self.max_text_length,
            "question_types": self.question_types,
            "num_annotators": max(self.source(split).num_annotators for split in self.splits),
            "problems": self.problems,
        }
        sources = {id(self.source(split)): self.source(split) for split in self.splits}  # two splits may share one
        made = {key: text_arrays(source, **arguments) for key, source in sources.items()}
        return {split: made[id(self.source(split))] for split in self.splits}

    @property
    def max_text_length(self):
        """T, the number of token positions of a row."""
        return self.texts.max_text_length

    @property
    def vocabulary_size(self):
        """Number of tokens of the tokenizer."""
        return self.tokenizer.vocabulary_size

    def references(self, split):
        """`References` of a split."""
        return References(source=self.source(split), tokenizer=self.tokenizer, question_types=self.question_types)

    def words(self, split, index):
        """The `Word`s of a pair's text with the positions of their tokens."""
        return self.tokenizer.words(self.source(split).text(index), max_length=self.max_text_length)

    def word_boxes(self, split, index):
        """Boxes (K, 4) float32 of the objects that each of `words(split, index)` names, or None.

        Boxes are (y_min, x_min, y_max, x_max) in [0, 1] of the evaluation view of the pair's own image (also with a
        blind baseline); objects outside the view are omitted.
        """
        source, options = self.source(split), self.options
        links, words = source.links(index), self.words(split, index)
        if not links:
            return [None] * len(words)
        size = source.image(index, source.record(index)).size
        view = geometry.evaluation_view(
            size, options.image_size, resize=options.resize, evaluation_crop=options.evaluation_crop
        )
        return [_boxes_of(word, links, view) for word in words]

    def _training_reader(self, seed):
        texts, images = self.texts, self._image_reader("train", training=True)
        arguments = {
            "image_of": self.train.image_ids,
            "arrays": self._text_arrays["train"],
            "shown": derangement(len(self.train.images), (_ANOTHER, seed)) if texts.baseline == "shuffled" else None,
            "draw": texts.baseline == "blind",
        }
        if texts.texts_per_image == 1:
            return TextReader(images, **arguments)
        return ImageTextsReader(images, texts_per_image=texts.texts_per_image, **arguments)

    def _reader(self, split, *, cache=True):
        source, blind = self.source(split), self.texts.baseline == "blind"
        return TextReader(
            self._image_reader(split, cache=cache),
            image_of=source.image_ids,
            arrays=self._text_arrays[split],
            shown=derangement(len(source.images), (_ANOTHER, _EVALUATION_SEED)) if blind else None,
        )

    def _images(self, split):
        return self.source(split).images


def _boxes_of(word, links, view):
    named = [boxes for start, end, boxes, _ in links if start < word.end and word.start < end]
    if not named:
        return None
    seen = geometry.boxes_in_view(np.concatenate(named), view)
    return seen if len(seen) else None
