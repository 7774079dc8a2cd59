"""What a task makes of a user's own pictures and text: which text goes with a picture, and what is said of the pair.

Shape letters: B pictures, H W C pixels, K classes.
"""

import dataclasses

import numpy as np

from vitcross.tasks.captioning import Captioning
from vitcross.tasks.classification import Classification
from vitcross.tasks.classification_metrics import predictions
from vitcross.tasks.contrastive import Contrastive
from vitcross.tasks.zero_shot import TEMPLATES, class_embeddings, zero_shot_logits


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wish:
    """What a user wants to know of own pictures.

    Args:
        text: str or None: what a contrastive model compares the pictures with, the question to answer, or a caption to
            score; a captioner writes its own where there is none.
        classes: sequence of str: names that a contrastive model chooses from; () for `text`.
        templates: sequence of str with `{}` for the name: sentences about a class.
        class_names: sequence of str, one for each output of the network.
        target: str or None: what the maps explain, a class, an answer or a word of the caption; None: what the model
            says.
        tokenizer: `vitcross.data.tokenizer.Tokenizer` of the run, or None for a model of pictures alone.
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
    """What a task says of B own pictures.

    Attributes:
        batch: dict of the batch contract (`vitcross.data.batch`), truth unknown.
        texts: list of B str, the text that stands beside each picture; None for pictures alone.
        columns, lines: the table of `predictions.csv`.
        said: list of B str, a line for each picture.
    """

    batch: dict
    texts: list[str] | None
    columns: list[str]
    lines: list[list]
    said: list[str]


def choices_of(task, wish):
    """(K, D) float32, L2-normalised: what a contrastive model chooses from, the mean over all sentences of each class
    (`class_embeddings`); None where there is nothing to choose."""
    if not (isinstance(task, Contrastive) and wish.classes):
        return None
    return class_embeddings(task.network, wish.tokenizer, wish.classes, wish.templates)


def answer(task, images, wish, first=0, choices=None):
    """Everything that is said of own pictures.

    Args:
        images: (B, H, W, C) float32 in [-1, 1].
        wish: `Wish`.
        first: int, number of the first picture.
        choices: as of `choices_of`, for several calls; None: made here.

    Returns:
        `Answer`.
    """
    if isinstance(task, Classification):
        probabilities = task.probabilities(images)
        columns, lines = predictions({"probabilities": probabilities}, wish.class_names)
        said = [_first_two(row, wish.class_names) for row in probabilities]
        return Answer(batch=_batch(images, first, None, wish), texts=None, columns=columns, lines=lines, said=said)
    if isinstance(task, Contrastive):
        if not wish.classes:
            return _compare(task, images, wish, first)
        return _choose(task, images, wish, first, choices_of(task, wish) if choices is None else choices)
    return (_caption if isinstance(task, Captioning) else _reply)(task, images, wish, first)


def _compare(task, images, wish, first):
    texts = [wish.text] * len(images)
    batch = _batch(images, first, texts, wish)
    rows = task.predict_rows(batch)
    cosines = np.sum(rows["image_embeddings"] * rows["text_embeddings"], axis=-1)
    lines = [[text, float(cosine)] for text, cosine in zip(texts, cosines, strict=True)]
    said = [f"cosine {cosine:.3f}" for cosine in cosines]
    return Answer(batch=batch, texts=texts, columns=["text", "cosine"], lines=lines, said=said)


def _choose(task, images, wish, first, classes_KD):
    """Zero-shot: the class whose sentences are nearest; probabilities by the network's own scale."""
    any_text = _batch(images, first, list(wish.classes[:1]) * len(images), wish)
    logits_BK = zero_shot_logits(task.predict_rows(any_text)["image_embeddings"], classes_KD)
    logits_BK = logits_BK * float(np.asarray(task.network.logit_scale))
    shares_BK = np.exp(logits_BK - logits_BK.max(axis=-1, keepdims=True))
    shares_BK /= shares_BK.sum(axis=-1, keepdims=True)
    columns, lines = predictions({"probabilities": shares_BK}, wish.classes)
    texts = [wish.templates[0].replace("{}", line[0]) for line in lines]
    said = [_first_two(row, wish.classes) for row in shares_BK]
    return Answer(batch=_batch(images, first, texts, wish), texts=texts, columns=columns, lines=lines, said=said)


def _caption(task, images, wish, first):
    texts = [wish.text] * len(images) if wish.text else task.caption(images)
    batch = _batch(images, first, texts, wish)
    rows = task.predict_rows(batch)
    captions = [task.tokenizer.decode(row) for row in rows["generated"]]
    losses = rows["losses"] / np.maximum(rows["tokens"], 1)
    lines = [[c, t, float(loss)] for c, t, loss in zip(captions, texts, losses, strict=True)]
    return Answer(batch=batch, texts=texts, columns=["caption", "text", "loss_of_text"], lines=lines, said=captions)


def _reply(task, images, wish, first):
    texts = [wish.text] * len(images)
    batch = _batch(images, first, texts, wish)
    rows = task.predict_rows(batch)
    answers = [wish.class_names[k] for k in rows["predictions"]]
    lines = [list(line) for line in zip(texts, answers, rows["confidence"].astype(float), strict=True)]
    said = [said for said, _, _ in task.describe(rows, wish.class_names)]
    return Answer(batch=batch, texts=texts, columns=["question", "answer", "probability"], lines=lines, said=said)


def _batch(images, first, texts, wish):
    count = len(images)
    batch = {"images": images, "index": np.arange(first, first + count), "valid": np.ones(count, bool)}
    if texts is not None:
        token_ids, padding_mask, _ = wish.tokenizer.encode(texts, max_length=wish.max_length)
        batch |= {"token_ids": token_ids, "padding_mask": padding_mask, "labels": np.full(count, -1, np.int32)}
    return batch


def _first_two(shares, class_names):
    order = np.argsort(-shares)[:2]
    first, *second = (f"{class_names[k]} {shares[k]:.1%}" for k in order)
    return first + "".join(f"  (then {other})" for other in second)
