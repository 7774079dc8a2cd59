"""Describes the text of one example for the maps: its tokens, its words, and the boxes of what the words name.

Shape legend: K boxes of one word.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from vitcross.attention_maps.records.label_part import labels_of
from vitcross.data.tokenizer import Token, Word

NO_BOXES = np.zeros((0, 4), np.float32)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ProbeText:
    """A text, in addition to the row of token ids that the model gets.

    Args:
        text: str, as written.
        tokens: tuple of `Token`, one for each position of the row that is not padding, BOS and EOS included.
        words: tuple of `Word`, in reading order, with the positions of their tokens.
        word_boxes: tuple, for every word (K, 4) float boxes (y_min, x_min, y_max, x_max) in [0, 1] of the objects that
            it names, or None where it names none; () where no boxes are known.

    Raises:
        ValueError: a word refers to a token that does not exist, or `word_boxes` does not have one entry per word.
    """

    text: str
    tokens: tuple[Token, ...]
    words: tuple[Word, ...]
    word_boxes: tuple[np.ndarray | None, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "tokens", tuple(self.tokens))
        object.__setattr__(self, "words", tuple(self.words))
        boxes = self.word_boxes or (None,) * len(self.words)
        boxes = tuple(None if b is None or not len(b) else np.asarray(b, np.float32).reshape(-1, 4) for b in boxes)
        object.__setattr__(self, "word_boxes", boxes)
        if len(boxes) != len(self.words):
            raise ValueError(f"`word_boxes` must be one per word ({len(self.words)}). Received: {len(boxes)}")
        for word in self.words:
            if not word.tokens or not all(0 <= position < len(self.tokens) for position in word.tokens):
                raise ValueError(
                    f"`words` must name positions of the {len(self.tokens)} tokens, at least one each. Received: {word}"
                )

    @property
    def boxes(self) -> np.ndarray:
        """(K, 4) float32, the boxes of all words, in their order; a box of several words is repeated."""
        return np.concatenate([NO_BOXES, *(boxes for boxes in self.word_boxes if boxes is not None)])

    def boxes_of(self, wanted: str) -> np.ndarray:
        """(K, 4) float32, the boxes of every word equal to `wanted`, ignoring case."""
        words = zip(self.words, self.word_boxes, strict=True)
        found = [b for word, b in words if b is not None and word.text.casefold() == wanted.casefold()]
        return np.concatenate([NO_BOXES, *found])

    def to_json(self) -> dict:
        """JSON-ready."""
        return {
            "text": self.text,
            "tokens": [list(token) for token in self.tokens],
            "words": [[*word[:3], list(word.tokens)] for word in self.words],
            "word_boxes": [None if boxes is None else boxes.tolist() for boxes in self.word_boxes],
        }

    @classmethod
    def from_json(cls, content: dict) -> ProbeText:
        """The inverse of `to_json`."""
        return cls(
            text=content["text"],
            tokens=tuple(Token(*token) for token in content["tokens"]),
            words=tuple(Word(*word[:3], tuple(word[3])) for word in content["words"]),
            word_boxes=tuple(content["word_boxes"]),
        )


def probe_texts(data, split: str, indices) -> list[ProbeText]:
    """The texts of some examples of a split, with the boxes of their words.

    Args:
        data: `vitcross.data.text_data.ImageTextData`.
        split: str.
        indices: sequence of ints, positions in the split, as for `data.examples`.
    """
    texts = [(int(index), data.source(split).text(int(index))) for index in indices]
    return [
        ProbeText(
            text=text,
            tokens=tuple(data.tokenizer.tokens(text, max_length=data.max_text_length)),
            words=tuple(data.words(split, index)),
            word_boxes=tuple(data.word_boxes(split, index) or ()),
        )
        for index, text in texts
    ]


def texts_of(task, data, split: str, indices) -> dict:
    """The arguments `texts` and `describe_predictions` of a capture of an image-text model; `labels` of a model of
    several labels per image.

    Args:
        task: task of the model (`vitcross.tasks`), which describes its predictions in words.
        data, split, indices: as for `probe_texts`; the result is empty for data without texts.
    """
    if data.tokenizer is None:
        labels = labels_of(data, split, indices, task)
        return {} if labels is None else {"labels": labels}
    references = data.references(split)
    return {
        "texts": probe_texts(data, split, indices),
        "describe_predictions": lambda batch: task.describe_predictions(
            task.predict_rows(batch), data.class_names, references
        ),
    }


def text_from_user(tokenizer, text: str, *, max_length: int) -> ProbeText:
    """A text that the user typed, without boxes."""
    return ProbeText(
        text=text,
        tokens=tuple(tokenizer.tokens(text, max_length=max_length)),
        words=tuple(tokenizer.words(text, max_length=max_length)),
    )
