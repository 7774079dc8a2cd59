"""What a task makes of a user's own pictures and text: which text goes with a picture, and what is said of the pair."""

import numpy as np

from vitcross.tasks.captioning import Captioning
from vitcross.tasks.classification import Classification
from vitcross.tasks.classification_metrics import predictions
from vitcross.tasks.contrastive import Contrastive


def own_texts(task, images, text):
    """The text of each picture (B, H, W, C): the user's, else the caption that the model writes; None where it has no
    use for texts.
    """
    if isinstance(task, Classification):
        return None
    return task.caption(images) if not text else [text] * len(images)


def own_batch(images, first, texts, tokenizer, max_length):
    """A batch of own examples whose truth is unknown, by the contract of `vitcross.data.batch`.

    Args:
        images: (B, H, W, C) float32 in [-1, 1].
        first: int, number of the first one.
        texts: list of B str, or None for pictures alone.
        tokenizer: `vitcross.data.tokenizer.Tokenizer`, or None.
        max_length: int, longest text in tokens.
    """
    count = len(images)
    batch = {"images": images, "index": np.arange(first, first + count), "valid": np.ones(count, bool)}
    if texts is not None:
        token_ids, padding_mask, _ = tokenizer.encode(texts, max_length=max_length)
        batch |= {"token_ids": token_ids, "padding_mask": padding_mask, "labels": np.full(count, -1, np.int32)}
    return batch


def own_predictions(task, batch, texts, class_names):
    """`(columns, lines, said)`: the table of `predictions.csv`, and one line of text for each picture."""
    if isinstance(task, Classification):
        probabilities = task.probabilities(batch["images"])
        columns, lines = predictions({"probabilities": probabilities}, class_names)
        return columns, lines, [_first_two(row, class_names) for row in probabilities]
    rows = task.predict_rows(batch)
    if isinstance(task, Contrastive):
        cosines = np.sum(rows["image_embeddings"] * rows["text_embeddings"], axis=-1)
        lines = [[text, float(cosine)] for text, cosine in zip(texts, cosines, strict=True)]
        return ["text", "cosine"], lines, [f"cosine {cosine:.3f}" for cosine in cosines]
    if isinstance(task, Captioning):
        captions = [task.tokenizer.decode(row) for row in rows["generated"]]
        losses = rows["losses"] / np.maximum(rows["tokens"], 1)
        lines = [[c, t, float(loss)] for c, t, loss in zip(captions, texts, losses, strict=True)]
        return ["caption", "text", "loss_of_text"], lines, captions
    said = [said for said, _, _ in task.describe(rows, class_names)]
    answers = [class_names[k] for k in rows["predictions"]]
    lines = [list(line) for line in zip(texts, answers, rows["confidence"].astype(float), strict=True)]
    return ["question", "answer", "probability"], lines, said


def _first_two(shares, class_names):
    first, second = np.argsort(-shares)[:2]
    return f"{class_names[first]} {shares[first]:.1%}  (then {class_names[second]} {shares[second]:.1%})"
