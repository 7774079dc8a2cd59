"""Declares the options of the tasks."""

from typing import Literal

from vitcross.options.fields import Count, Share, options


@options
class ClassificationOptions:
    """One class per image.

    Args:
        label_smoothing: share of the target spread evenly over all classes.
        loss: `softmax` (one class of all) or `sigmoid` (one yes-or-no question per class; also known as BCE).
            Probabilities are those of the softmax either way: the order of the classes is the same, and rows sum to 1.
    """

    label_smoothing: Share = 0.0
    loss: Literal["softmax", "sigmoid"] = "softmax"


@options
class MultilabelOptions:
    """Any number of labels per image, each a yes or no.

    Args:
        label_smoothing: share of the target that is moved to one half.
    """

    label_smoothing: Share = 0.0


@options
class ContrastiveOptions:
    """Matching images and texts near each other.

    Args:
        loss: `softmax` (CLIP) or `sigmoid` (SigLIP).
        chunk_size: images compared with all texts of a batch at a time; None: all at once.
    """

    loss: Literal["softmax", "sigmoid"] = "softmax"
    chunk_size: Count | None = None


@options
class CaptioningTaskOptions:
    """A caption for each image.

    Args:
        label_smoothing: share of the target spread evenly over the vocabulary.
        beam_size: captions kept while one is generated for validation; 1 = greedy.
    """

    label_smoothing: Share = 0.0
    beam_size: Count = 1


@options
class QuestionAnsweringTaskOptions:
    """An answer for each question about an image.

    Args:
        label_smoothing: share of the target spread evenly over all answers.
    """

    label_smoothing: Share = 0.0
