"""Computes the metrics of generated captions in NumPy. n examples, T token positions."""

import re

import numpy as np
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from vitcross.tasks.scene_attributes import attribute_accuracy, score_caption, score_objects


def summarize(rows, tokenizer, references=None):
    """Scalars that training logs as `val/<name>`.

    An image with several texts is captioned and counted once.

    Args:
        rows: dict of arrays over the same n examples: `generated` (n, T) token ids, `losses`, `correct`, `tokens` (n,)
            sums over the tokens of the given caption, `index` (n,), perhaps `image_id` (n,).
        tokenizer: decodes token ids.
        references: knows the texts and scenes of the examples (`vitcross.tasks.evaluation.evaluate`), or None.

    Returns:
        dict of float: `loss` and `token_accuracy`, means over tokens; with references `bleu4`, `rouge_l`, `cider`;
        where they know the scenes `attribute_accuracy` and `attribute_accuracy/<kind>`.
    """
    tokens = max(1, int(rows["tokens"].sum()))
    values = {
        "loss": float(rows["losses"].sum(dtype=np.float64) / tokens),
        "token_accuracy": float(rows["correct"].sum() / tokens),
    }
    if references is None:
        return values
    _, first = np.unique(rows.get("image_id", rows["index"]), return_index=True)
    indices = [int(index) for index in rows["index"][first]]
    captions = [tokenizer.decode(row) for row in rows["generated"][first]]
    values |= caption_metrics(captions, [references.texts(index) for index in indices])
    return values | scene_metrics(captions, indices, references)


def scene_metrics(captions, indices, references):
    """Shares of correct attributes where every image's scene is known, {} elsewhere.

    Where scenes hold (shape, color) combinations that training never saw, `attribute_accuracy` is over those objects
    alone, and `attribute_accuracy_all_objects` over all objects.
    """
    scenes = [references.scene(index) for index in indices]
    if any(scene is None for scene in scenes):
        return {}
    overall = attribute_accuracy(
        [
            score_caption(caption, scene, references.text(index))
            for caption, scene, index in zip(captions, scenes, indices, strict=True)
        ]
    )
    held_out = [
        score_objects(caption, scene, scene["held_out"])
        for caption, scene in zip(captions, scenes, strict=True)
        if scene.get("held_out")
    ]
    if not held_out:
        return overall
    return {"attribute_accuracy_all_objects": overall["attribute_accuracy"], **attribute_accuracy(held_out)}


_WORD = re.compile(r"\w+")


def words(text):
    """A text as lower-case words with one space between them."""
    return " ".join(_WORD.findall(text.lower()))


def caption_metrics(captions, references):
    """Scores of generated captions, each against all texts of its image.

    Args:
        captions: list of n str.
        references: list of n lists of str, at least one each.

    Returns:
        dict of float: `bleu4` in [0, 1] (corpus BLEU, Papineni et al. 2002), `rouge_l` in [0, 1] (Lin 2004, beta 1.2),
        `cider` in [0, 10] (CIDEr-D, arXiv 1411.5726; word weights from these references: 0 with a single image).

    Raises:
        ValueError: no caption, or an image without a reference.
    """
    if not captions or not all(references) or len(captions) != len(references):
        raise ValueError(
            "caption metrics need captions, each with at least one reference. "
            f"Received: {len(captions)} captions, {sum(map(bool, references))} with references"
        )
    said = {n: [words(caption)] for n, caption in enumerate(captions)}
    true = {n: [words(text) for text in texts] for n, texts in enumerate(references)}
    bleu, _ = Bleu(4).compute_score(true, said, verbose=0)
    values = {"bleu4": bleu[3], "rouge_l": Rouge().compute_score(true, said)[0]}
    values["cider"] = Cider().compute_score(true, said)[0]
    return {name: float(value) for name, value in values.items()}
