"""What a task makes of own images and text: which text goes with an image, and what is predicted for the pair.

Shape letters: B images, H W C pixels, K classes.
"""

import dataclasses

import numpy as np
from scipy.special import softmax

from vitcross.tasks.captioning import Captioning
from vitcross.tasks.classification import Classification
from vitcross.tasks.classification_metrics import predictions
from vitcross.tasks.contrastive import Contrastive
from vitcross.tasks.zero_shot import TEMPLATES, class_embeddings, zero_shot_logits


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageQuery:
    """What a user wants to know of own images.

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
    """What a task predicts for B own images.

    Attributes:
        batch: dict of the batch contract (`vitcross.data.batch`), truth unknown.
        texts: list of B str, the text that stands beside each image; None for images alone.
        columns, lines: the table of `predictions.csv`.
        words: list of B str, the prediction of each image in words.
    """

    batch: dict
    texts: list[str] | None
    columns: list[str]
    lines: list[list]
    words: list[str]


def choices_of(task, query):
    """(K, D) float32, L2-normalized: what a contrastive model chooses from, the mean over all sentences of each class
    (`class_embeddings`); None where there is nothing to choose."""
    if not (isinstance(task, Contrastive) and query.classes):
        return None
    return class_embeddings(task.network, query.tokenizer, query.classes, query.templates)


def answer(task, images, query, first=0, choices=None):
    """Everything that is predicted for own images.

    Args:
        images: (B, H, W, C) float32 in [-1, 1].
        query: `ImageQuery`.
        first: int, number of the first image.
        choices: as of `choices_of`, for several calls; None: made here.

    Returns:
        `Answer`.
    """
    if isinstance(task, Classification):
        probabilities = task.probabilities(images)
        columns, lines = predictions({"probabilities": probabilities}, query.class_names)
        words = [_first_two(row, query.class_names) for row in probabilities]
        return Answer(batch=_batch(images, first, None, query), texts=None, columns=columns, lines=lines, words=words)
    if isinstance(task, Contrastive):
        if not query.classes:
            return _compare(task, images, query, first)
        return _choose(task, images, query, first, choices_of(task, query) if choices is None else choices)
    return (_caption if isinstance(task, Captioning) else _reply)(task, images, query, first)


def _compare(task, images, query, first):
    texts = [query.text] * len(images)
    batch = _batch(images, first, texts, query)
    rows = task.predict_rows(batch)
    cosines = np.sum(rows["image_embeddings"] * rows["text_embeddings"], axis=-1)
    lines = [[text, float(cosine)] for text, cosine in zip(texts, cosines, strict=True)]
    words = [f"cosine {cosine:.3f}" for cosine in cosines]
    return Answer(batch=batch, texts=texts, columns=["text", "cosine"], lines=lines, words=words)


def _choose(task, images, query, first, classes_KD):
    """Zero-shot: the class whose sentences are nearest; probabilities by the network's own scale."""
    any_text = _batch(images, first, list(query.classes[:1]) * len(images), query)
    logits_BK = zero_shot_logits(task.predict_rows(any_text)["image_embeddings"], classes_KD)
    shares_BK = softmax(logits_BK * float(np.asarray(task.network.logit_scale)), axis=-1)
    columns, lines = predictions({"probabilities": shares_BK}, query.classes)
    texts = [query.templates[0].replace("{}", line[0]) for line in lines]
    words = [_first_two(row, query.classes) for row in shares_BK]
    return Answer(batch=_batch(images, first, texts, query), texts=texts, columns=columns, lines=lines, words=words)


def _caption(task, images, query, first):
    texts = [query.text] * len(images) if query.text else task.caption(images)
    batch = _batch(images, first, texts, query)
    rows = task.predict_rows(batch)
    captions = [task.tokenizer.decode(row) for row in rows["generated"]]
    losses = rows["losses"] / np.maximum(rows["tokens"], 1)
    lines = [[c, t, float(loss)] for c, t, loss in zip(captions, texts, losses, strict=True)]
    return Answer(batch=batch, texts=texts, columns=["caption", "text", "loss_of_text"], lines=lines, words=captions)


def _reply(task, images, query, first):
    texts = [query.text] * len(images)
    batch = _batch(images, first, texts, query)
    rows = task.predict_rows(batch)
    answers = [query.class_names[k] for k in rows["predictions"]]
    lines = [list(line) for line in zip(texts, answers, rows["confidence"].astype(float), strict=True)]
    words = [text for text, _, _ in task.describe_predictions(rows, query.class_names)]
    return Answer(batch=batch, texts=texts, columns=["question", "answer", "probability"], lines=lines, words=words)


def _batch(images, first, texts, query):
    count = len(images)
    batch = {"images": images, "index": np.arange(first, first + count), "valid": np.ones(count, bool)}
    if texts is not None:
        token_ids, padding_mask, _ = query.tokenizer.encode(texts, max_length=query.max_length)
        batch |= {"token_ids": token_ids, "padding_mask": padding_mask, "labels": np.full(count, -1, np.int32)}
    return batch


def _first_two(shares, class_names):
    order = np.argsort(-shares)[:2]
    first, *second = (f"{class_names[k]} {shares[k]:.1%}" for k in order)
    return first + "".join(f"  (then {other})" for other in second)
