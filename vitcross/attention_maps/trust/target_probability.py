"""Probability that a model assigns to a target, from all or some of its image tokens.

It is the softmax probability of the target among all that the model could have said: of a class, of an answer, of a
token of a caption under teacher forcing. Where image and text are only compared it is that among the texts or classes
that are given, or with a single one its cosine, in [-1, 1]: `Explainable.make_query` and `Explainable.probability`.

Shape legend: R rows that are scored, S image tokens that are there, D features of a token, H W C pixels.
"""

from __future__ import annotations

import dataclasses


def score_tokens(model, tokens, query, attention_controls=None):
    """What the model says of embedded tokens (R, S, D): prefix tokens first, then any of the patches.

    Args:
        query: dict of tensors, `Query.arrays` of these rows.
        attention_controls: AttentionControls or None.

    Returns:
        `(number, correct, most)`, each (R,): of the target, whether it is what the model says most, and what that is.
    """
    from vitcross.layers.attention_controls import AttentionControls

    # No weights are asked for: kept, they would take more memory than all else.
    controls = dataclasses.replace(attention_controls or AttentionControls(), addresses=())
    return model.probability(model.read(tokens, query, controls).outputs, query)


def score_images(model, images, query, attention_controls=None):
    """The same of images (R, H, W, C), whole or under `AttentionControls`."""
    return score_tokens(model, model.embed(images, training=False), query, attention_controls)
