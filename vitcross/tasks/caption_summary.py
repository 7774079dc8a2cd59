"""Scalars of generated captions. Pure NumPy. n examples, T token positions."""

import numpy as np

from vitcross.tasks.caption_metrics import caption_metrics
from vitcross.tasks.scene_attributes import attribute_accuracy, score_caption, score_objects


def summarize(rows, tokenizer, references=None):
    """Scalars that training logs as `val/<name>`.

    A picture with several texts is captioned and counted once.

    Args:
        rows: dict of arrays over the same n examples: `generated` (n, T) token ids, `losses`, `correct`, `tokens` (n,)
            sums over the tokens of the given caption, `index` (n,), perhaps `image_id` (n,).
        tokenizer: decodes token ids.
        references: knows the texts and scenes of the examples (`vitcross.evaluation.evaluate`), or None.

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
    """Shares of right attributes where every picture's scene is known, {} elsewhere.

    Where scenes hold (shape, colour) combinations that training never saw, `attribute_accuracy` is over those objects
    alone, and `attribute_accuracy_all_objects` over the whole captions.
    """
    scenes = [references.scene(index) for index in indices]
    if any(scene is None for scene in scenes):
        return {}
    whole = attribute_accuracy(
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
        return whole
    return {"attribute_accuracy_all_objects": whole["attribute_accuracy"], **attribute_accuracy(held_out)}
