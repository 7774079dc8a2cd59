"""A source of pairs of an image and a text: an image with five captions gives five examples and is decoded once.

A text is a caption, or a question with an answer from each annotator.
"""

import typing

import numpy as np

from vitcross.data.sources.source import Source

CAPTION = "caption"


class Pair(typing.NamedTuple):
    """One text with its image and answers.

    Attributes:
        image: int, position of the image in the source of images.
        text: str, a caption or a question.
        label: str or None, the class of the image (captions) or the most frequent answer (questions).
        question_type: str, `caption` or the type of the question.
        answers: tuple of str, one from each annotator; () for captions.
        name: str or None, the name of the text in messages.
    """

    image: int
    text: str
    label: str | None = None
    question_type: str = CAPTION
    answers: tuple[str, ...] = ()
    name: str | None = None


class PairSource(Source):
    """One split of pairs; `len` is the number of pairs, `labels` are -1 where the class or answer is unknown.

    Args:
        name: str, e.g. `scenes/train`.
        images: `Source` of images; images without a text are ignored.
        pairs: list of `Pair`.
        class_names: sequence of str, the classes of the images or the answers.
        find_links: function (scene, text, is_caption=bool) -> what `links` returns, for rendered scenes.
    """

    def __init__(self, *, name, images, pairs, class_names=(), find_links=None):
        super().__init__(
            name=name,
            class_names=class_names,
            channels=images.channels,
            image_shape=images.image_shape,
            optional_keys=images.optional_keys,
        )
        self._every_image, self.pairs, self._find_links = images, list(pairs), find_links
        used, self.image_ids = np.unique([pair.image for pair in self.pairs], return_inverse=True)
        self.images = images if len(used) == len(images) else Subset(images, used)
        number = {name: k for k, name in enumerate(self.class_names)}
        self._labels = np.array([number.get(pair.label, -1) for pair in self.pairs], np.int64)

    def __len__(self):
        return len(self.pairs)

    def select(self, indices):
        """The same source with the pairs at `indices` only."""
        return PairSource(
            name=self.name,
            images=self._every_image,
            pairs=[self.pairs[index] for index in indices],
            class_names=self.class_names,
            find_links=self._find_links,
        )

    def example_mark(self, index):
        return super().example_mark(index) + self.text(index).encode("utf-8", "surrogatepass")

    def record(self, index):
        return dict(self.images.record(self.image_of(index))) | {"label": int(self._labels[index])}

    def labels(self):
        return self._labels

    def example_name(self, index):
        """The name of the pair's image."""
        return self.images.example_name(self.image_of(index))

    def text_name(self, index):
        """The name of a text in messages: file and line, or split and position."""
        return self.pairs[index].name or f"{self.name}/{index}"

    def image_of(self, index):
        """Position of the pair's image in `images`."""
        return int(self.image_ids[index])

    def text(self, index):
        """The caption or question, as written."""
        return self.pairs[index].text

    def texts(self, most=None):
        """All captions or questions, in order, or `most` of them, evenly spread: list of str."""
        count = len(self) if most is None else min(most, len(self))
        return [self.text(k * len(self) // count) for k in range(count)]

    def answers(self, index):
        """The answer of each annotator: tuple of str; () for captions."""
        return self.pairs[index].answers

    def question_type(self, index):
        """`caption` or the type of the question."""
        return self.pairs[index].question_type

    @property
    def question_types(self):
        """The sorted types of all questions: tuple of str; () for captions."""
        return tuple(sorted({pair.question_type for pair in self.pairs if pair.answers}))

    @property
    def num_annotators(self):
        """Answers of the question with the most; 0 for captions."""
        return max((len(pair.answers) for pair in self.pairs), default=0)

    def references(self, index):
        """All texts of the pair's image: list of str."""
        if not hasattr(self, "_pairs_of_image"):
            order = np.argsort(self.image_ids, kind="stable")
            ends = np.cumsum(np.bincount(self.image_ids, minlength=len(self.images)))
            self._pairs_of_image = np.split(order, ends[:-1])
        return [self.text(k) for k in self._pairs_of_image[self.image_of(index)]]

    def scene(self, index):
        return self.images.scene(self.image_of(index))

    def links(self, index):
        """The words that name objects: list of (start, end, boxes, part), empty if the scene is unknown.

        Characters [start, end) of the text; boxes (K, 4) float32 of the K objects in the whole image; part `shape`,
        `color` or `size`.
        """
        if self._find_links is None:
            return []
        return self._find_links(self.scene(index), self.text(index), is_caption=not self.answers(index))


class Subset(Source):
    """The examples at `indices` of another source."""

    def __init__(self, source, indices):
        super().__init__(
            name=source.name,
            class_names=source.class_names,
            channels=source.channels,
            image_shape=source.image_shape,
            optional_keys=source.optional_keys,
            multilabel=source.multilabel,
        )
        self._source, self._indices = source, indices

    def __len__(self):
        return len(self._indices)

    def record(self, index):
        return self._source.record(int(self._indices[index]))

    def example_name(self, index):
        return self._source.example_name(int(self._indices[index]))

    def scene(self, index):
        return self._source.scene(int(self._indices[index]))

    def label_boxes(self, index):
        return self._source.label_boxes(int(self._indices[index]))
