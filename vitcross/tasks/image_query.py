"""Defines a query about the user's images and the answer of a task (`answer_images` of each task).

Shape letters: B images, H W C pixels, K classes, E features of an embedding.
"""

import dataclasses

import numpy as np

from vitcross.pages.direction import in_line
from vitcross.tasks.zero_shot import TEMPLATES


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageQuery:
    """A query about the user's images.

    Args:
        text: str or None: what a contrastive model compares the images with, the question to answer, or a caption to
            score; a captioner writes its own where there is none.
        classes: sequence of str: names that a contrastive model chooses from; () for `text`.
        templates: sequence of str with `{}` for the name: sentences about a class.
        class_names: sequence of str, one for each output of the network.
        target: str or None: what the maps explain, a class, an answer or a word of the caption; None: what the model
            says.
        tokenizer: `vitcross.data.tokenizer.Tokenizer` of the run, or None for a model of images alone.
        max_length: int or None, longest text in tokens.
    """

    class_names: tuple[str, ...]
    text: str | None = None
    target: str | None = None
    classes: tuple[str, ...] = ()
    templates: tuple[str, ...] = TEMPLATES
    tokenizer: object | None = None
    max_length: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """The predictions of a task for B images of the user.

    The arguments of `answer_images` are `images` (B, H, W, C) float32 in [-1, 1], an `ImageQuery`,
    `first`, the number of the first image, and `choices` of an earlier answer to this query.

    Attributes:
        batch: dict of the batch contract (`vitcross.data.batch`), truth unknown.
        texts: list of B str, the text that stands beside each image; None for images alone.
        columns, lines: the table of `predictions.csv`.
        words: list of B str, the prediction of each image in words.
        choices: (K, E) float32, L2-normalized: what a contrastive model chose from, the mean over all sentences of each
            class (`class_embeddings`); None where there was nothing to choose.
    """

    batch: dict
    texts: list[str] | None
    columns: list[str]
    lines: list[list]
    words: list[str]
    choices: np.ndarray | None = None


def batch_of(images, query, first=0, texts=None):
    """The batch of images (B, H, W, C), the first of which has the number `first`, and of B texts or None."""
    count = len(images)
    batch = {"images": images, "index": np.arange(first, first + count), "valid": np.ones(count, bool)}
    if texts is not None:
        token_ids, padding_mask, _ = query.tokenizer.encode(texts, max_length=query.max_length)
        batch |= {"token_ids": token_ids, "padding_mask": padding_mask, "labels": np.full(count, -1, np.int32)}
    return batch


def two_most_probable(probabilities_BK, class_names):
    """A line for each image: the two most probable classes with their probabilities."""
    lines = []
    for row in probabilities_BK:
        first, *second = (f"{in_line(class_names[k])} {row[k]:.1%}" for k in np.argsort(-row)[:2])
        lines.append(first + "".join(f"  (then {other})" for other in second))
    return lines
