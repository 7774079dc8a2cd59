"""What a model says of a target, as one number for each image; from embedded tokens, of which any may be missing, or
from whole images.

The number is the softmax probability of the target among all that the model could have said: of a class, of an answer,
of a token of a caption under teacher forcing (its logits stand in the row before it). A dual encoder chooses among the
texts or classes that it is given, else among the distinct texts of the batch, by `logit_scale` * cosine, also where it
was trained with a sigmoid loss, which never compares texts: the question is which one the image fits best. With a
single one there is no choice, and the number is the cosine itself, in [-1, 1].

Shape legend: B images, R rows that are scored, T text tokens, S image tokens that are there, D E widths, K choices,
U distinct texts of the batch.
"""

from __future__ import annotations

import numpy as np

# Rows of these arrays belong to images; what else a question holds is shared by all.
PER_IMAGE = ("target", "token_ids", "padding_mask", "position")


def make_query(model, batch, target=None, embed_texts=None, choices=None) -> dict[str, np.ndarray]:
    """What is query of every image, as arrays: `target` (B,) int32, the index of the right choice, -1 for what the
    model says of the whole image; with a text that reads the image `token_ids` and `padding_mask` (B, T); of a
    captioner `position` (B,), the row whose logits count; of a dual encoder `texts` (U, E) or (K, E), the embeddings to
    choose from, or `only_text` (1, E).

    Args:
        model: built model.
        batch: dict of arrays, the batch contract.
        target: (B,) int: class, answer, or position of the explained token in its text; of a dual encoder the index
            among its `choices`, ignored without them: then it is the pair's own text. None: what the model says of the
            whole image; of a caption the last token before its end.
        embed_texts: callable for a dual encoder, dict of `token_ids` and `padding_mask` (U, T) -> (U, E).
        choices: (K, E) float32 for a dual encoder, L2-normalized embeddings of all that it chooses from; None: the
            distinct texts of the batch.

    Raises:
        ValueError: another number of targets than images, a class, a choice or a position that does not exist.
    """
    B = len(batch["images"])
    if target is not None and np.shape(target) != (B,):
        raise ValueError(f"`target` must be one per image ({B}). Received: shape {np.shape(target)}")
    target = np.full(B, -1, np.int32) if target is None else np.asarray(target, np.int32)
    if not hasattr(model, "image_encoder"):
        return {"target": _checked(target, model.num_classes)}
    if choices is not None:
        return _choice(target, np.asarray(choices, np.float32))
    texts = {
        "token_ids": np.asarray(batch["token_ids"], np.int32),
        "padding_mask": np.asarray(batch["padding_mask"], bool),
    }
    if hasattr(model, "projection_dim"):
        return _match(texts, embed_texts)
    if hasattr(model, "text_decoder"):
        return _next_token(texts, target)
    longest = texts["padding_mask"].sum(axis=1).max()
    shortened = {key: array[:, :longest] for key, array in texts.items()}
    return {"target": _checked(target, model.num_answers), **shortened}


def _choice(target, choices):
    if len(choices) == 1:
        return {"target": np.zeros_like(target), "only_text": choices}
    return {"target": _checked(target, len(choices)), "texts": choices}


def _match(texts, embed_texts):
    rows = np.where(texts["padding_mask"], texts["token_ids"], -1)
    _, first, own = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    embeddings = embed_texts({key: array[first] for key, array in texts.items()})
    return {"target": own.reshape(-1).astype(np.int32), "only_text" if len(first) == 1 else "texts": embeddings}


def _next_token(texts, target):
    lengths = texts["padding_mask"].sum(axis=1)
    place = np.where(target < 0, np.maximum(lengths - 2, 1), target)
    if (place < 1).any() or (place >= lengths).any():
        raise ValueError(
            "`target` must be positions of real tokens that are predicted, from 1 on. "
            f"Received: target={target.tolist()} with texts of {lengths.tolist()} tokens"
        )
    # A causal text does not read beyond the row that counts.
    shortened = {key: array[:, : place.max()] for key, array in texts.items()}
    own = texts["token_ids"][np.arange(len(place)), place]
    return {"target": own, "position": (place - 1).astype(np.int32), **shortened}


def _checked(target, count):
    if (target >= count).any() or (target < -1).any():
        raise ValueError(f"`target` must be in [0, {count}). Received: {target.tolist()}")
    return target


def score_tokens(model, tokens, query):
    """What the model says of embedded tokens (R, S, D): prefix tokens first, then any of the patches.

    Args:
        query: a `make_query` of these rows.

    Returns:
        `(number, right, most)`, each (R,): of the target, whether it is what the model says most, and what that is.
    """
    if not hasattr(model, "image_encoder"):
        return _judged(model.classify(model.encode_tokens(tokens, training=False), training=False), query)
    encoder = model.image_encoder
    tokens = encoder.encode_tokens(tokens, training=False)
    if "position" not in query and "token_ids" not in query:
        from vitcross.models.dual_encoder import normalize

        return _matched(model, normalize(model.image_projection(encoder.classify(tokens, training=False))), query)
    read = getattr(model, model.TOWERS[1])(
        query["token_ids"], padding_mask=query["padding_mask"], context=encoder.norm(tokens), training=False
    )
    if "position" in query:
        return _judged(model.logits(_pick(read, query["position"])), query)
    return _judged(model.head(read), query)


def score_images(model, images, query, attention_controls=None):
    """The same of images (R, H, W, C), whole or under `AttentionControls`: the model's own call."""
    options = {"training": False, "attention_controls": attention_controls}
    if not hasattr(model, "image_encoder"):
        return _judged(model(images, **options), query)
    if "token_ids" not in query:
        return _matched(model, model.encode_images(images, **options), query)
    logits = model(images, token_ids=query["token_ids"], padding_mask=query["padding_mask"], **options)
    return _judged(_pick(logits, query["position"]) if "position" in query else logits, query)


def _matched(model, image_embeddings, query):
    """As `_judged`, of embeddings (R, E) of images."""
    from keras import ops

    texts = query["only_text"] if "only_text" in query else query["texts"]
    cosines = ops.matmul(ops.cast(image_embeddings, "float32"), ops.transpose(texts))
    if "only_text" in query:
        return cosines[:, 0], ops.ones_like(query["target"], dtype="bool"), ops.zeros_like(query["target"])
    return _judged(cosines * ops.cast(model.logit_scale, "float32"), query)


def _judged(logits, query):
    from keras import ops

    logits = ops.cast(logits, "float32")
    most = ops.cast(ops.argmax(logits, axis=-1), "int32")
    target = ops.where(query["target"] < 0, most, query["target"])
    return _pick(ops.softmax(logits, axis=-1), target), ops.equal(most, target), most


def _pick(rows, places):
    """rows (R, K) or (R, T, D), places (R,) -> (R,) or (R, D): of every row the entry at its place."""
    from keras import ops

    # One flat gather: several times faster on a CPU than indexing every number.
    flat = ops.arange(ops.shape(rows)[0], dtype="int32") * ops.shape(rows)[1] + places
    return ops.take(ops.reshape(rows, (-1, *rows.shape[2:])), flat, axis=0)
