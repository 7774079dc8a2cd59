"""Finds which pairs of a batch a contrastive loss compares: the matching ones and the true negatives.

A batch holds B matching (image, text) pairs. Image i and text j with i != j are a negative pair, unless texts i and j
or images i and j are equal: such a pair is neither positive nor negative.

Shape letters: B pairs, c the pairs of one chunk.
"""

import typing

from keras import ops

MASKED = -1e30  # a logit that takes no part; finite, so that a row without any candidate has no NaN gradient


class Pairs(typing.NamedTuple):
    """Identifies pairs: tensors over the same pairs, None where everything is distinct.

    Attributes:
        position: `(B,)` int32, the place in the batch.
        weight: `(B,)` float32, 1 for a valid pair, 0 for one that is neither positive nor negative with any other.
        image_id: `(B,)` integers, equal for the same image, or None.
        text_id: `(B,)` integers, equal for equal texts, or None.
    """

    position: object
    weight: object
    image_id: object = None
    text_id: object = None


def pairs_of(size, *, image_id=None, text_id=None, valid=None):
    """`Pairs` of a batch of `size` pairs from what the batch contract says of them."""
    weight = ops.ones((size,), "float32") if valid is None else ops.cast(valid, "float32")
    ids = (None if key is None else ops.convert_to_tensor(key) for key in (image_id, text_id))
    return Pairs(ops.arange(size, dtype="int32"), weight, *ids)


def comparable(rows, columns):
    """`(c, B)` bool: the matching pairs and the negatives, among the images of `rows` and the texts of `columns`.

    Args:
        rows, columns: `Pairs`, of which `rows` may be a part.
    """

    def equal(key):
        return ops.equal(getattr(rows, key)[:, None], getattr(columns, key)[None, :])

    chosen = ops.logical_and(rows.weight[:, None] > 0, columns.weight[None, :] > 0)
    also_matching = [equal(key) for key in ("image_id", "text_id") if getattr(rows, key) is not None]
    if also_matching:
        distinct = ops.logical_not(also_matching[0] if len(also_matching) == 1 else ops.logical_or(*also_matching))
        chosen = ops.logical_and(chosen, ops.logical_or(distinct, equal("position")))
    return chosen
