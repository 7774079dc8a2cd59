"""Relevance of a model for a target: the rules of `relevance_rules.py` on what `gradients.py` measures, tower by tower.

A tower is explained by itself, or after the tower that it reads, and read out where the model reads its answer: in the
row of a class token, of the last token, or of the token before the one that it predicts, or by its pooling. All of that
follows from the properties of `Tower`. What such a row or pooling took from the tower that was read goes on with it.

Reference: Chefer, Gur, Wolf, ICCV 2021 (arXiv 2103.15679).

Shape legend: B batch, P patches, S image tokens, T text tokens.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from vitcross.attention_maps.capture.gradients import Gradients, compiled_gradients
from vitcross.attention_maps.methods.relevance_rules import (
    mean_pooling_weights,
    positive_weights,
    read_by_pooling,
    read_row,
    self_attention_relevance,
    two_stream_relevance,
)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RelevanceMaps:
    """Maps of one batch for one target each; all float32 >= 0, padding and what has no part in the target 0.

    Args:
        target: (B,) int32, what is explained (`choose_target`).
        score: (B,) float32, its logit or cosine.
        image: (B, P), how much each patch counts.
        text: (B, T), how much each text token counts; None for a model of images alone.
        tokens: (B, T, P), the patches of each text token: what the token read for the answer, or where a text is
            predicted what its own prediction took (each token is a target of its own); None where no text reads the
            image, and where they were not asked for.
    """

    target: np.ndarray
    score: np.ndarray
    image: np.ndarray
    text: np.ndarray | None = None
    tokens: np.ndarray | None = None


class RelevanceExplainer:
    """Explains one model, as often as it is called; compiled once for each shape of its batches.

    Args:
        model: built model that implements `Explainable`.
        transpose: bool, equation 10 with the factor Rbar_ss^T of the paper (`after_cross_attention`). Default True.

    Raises:
        ValueError: a model of which there is nothing to explain, such as a vision transformer without classes.
    """

    def __init__(self, model, transpose: bool = True):
        model.check_explainable()
        self.model, self.transpose = model, transpose
        self._gradients = compiled_gradients(model)

    def explain(self, batch, target, every_token: bool = True) -> RelevanceMaps:
        """Maps of a batch.

        Args:
            batch: dict of arrays, the batch contract; as many texts as images.
            target: (B,) int of `choose_target`.
            every_token: bool, with `tokens`. Where a text is predicted they need one pass for each position.
        """
        images, words = batch[self.model.batch_keys[0]], self.model.words
        layout = self.model.token_layout_for(tuple(images.shape[1:3]))
        mask = None if words is None else np.asarray(batch["padding_mask"], bool)
        if words is not None and len(mask) != len(images):
            raise ValueError(f"`batch` must have one text per image, {len(images)}. Received: {len(mask)} texts")
        target = _checked_target(target, len(images), mask.sum(axis=1) if self.model.predicts_next else None)
        found, streams = self._streams(batch, target, mask)
        image, text = self._read_out(found, streams, target, mask)
        tokens = None
        if every_token and words is not None and words.reads is not None:
            tokens = layout.patches(streams[words.name][1])
            if words.predicts_next:
                tokens = self._each_token(batch, mask, np.zeros_like(tokens), layout)
        return _maps(target, found.score, layout.patches(image), text, tokens)

    def _streams(self, batch, target, mask):
        """What was measured, and for each tower R_ss of its tokens and R_sq of those that it reads, or None."""
        found, streams = self._gradients(batch, target), {}
        for tower in self.model.towers:
            abars = list(_abars(found, tower.blocks, mask if tower.tokens == "words" else None))
            if tower.reads is None:
                streams[tower.name] = self_attention_relevance(abars), None
            else:
                # Self-attention and cross-attention take turns.
                blocks = list(zip(abars[::2], abars[1::2], strict=True))
                streams[tower.name] = two_stream_relevance(blocks, streams[tower.reads][0], self.transpose)
        return found, streams

    def _read_out(self, found: Gradients, streams, target, mask):
        """(B, S) of the image tokens and (B, T) of the text tokens or None: what the answer reads of each tower."""
        maps = {}
        for tower in self.model.towers:
            own, to_other = streams[tower.name]
            rows, counts = _answer_rows(tower, target, mask)
            if rows is not None:
                maps[tower.name] = read_row(own, rows) * counts
                read = None if to_other is None else to_other[np.arange(len(rows)), rows] * counts
            elif tower.pooling is not None:
                pooling = _pooling_weights(tower, found)
                maps[tower.name] = read_by_pooling(pooling, own)
                # Equation 7: what the pooled tokens took from the other tower goes on with them.
                read = None if to_other is None else (pooling[:, None] @ to_other)[:, 0]
            else:
                continue
            if read is not None:
                maps[tower.reads] = maps.get(tower.reads, 0.0) + read
        image, *text = (maps[tower.name] for tower in self.model.towers)
        return image, text[0] if text else None

    def _each_token(self, batch, mask, tokens, layout) -> np.ndarray:
        """Fills `tokens` (B, T, P), each real token explained by its own prediction; nothing predicts the first one."""
        for position in range(1, int(mask.sum(axis=1).max())):
            target = np.where(mask[:, position], position, 0).astype(np.int32)
            image, _ = self._read_out(*self._streams(batch, target, mask), target, mask)
            tokens[:, position] = layout.patches(image)
        return tokens


def choose_target(model, wanted=None, **known):
    """`(target, names)` of a batch: what is explained, (B,) int32, and in words. The arguments `logits`, `class_names`,
    `texts` and `size` and the errors are those of `vitcross.models.explainable.Explainable.choose_target`."""
    return model.choose_target(wanted, **known)


def relevance(model, batch, target=None, *, class_names=(), texts=None):
    """How much each patch counts for what a model says.

    For several batches keep a `RelevanceExplainer`, which compiles once.

    Args:
        model: built model, as of `RelevanceExplainer`.
        batch: dict of arrays, the batch contract.
        target: as `wanted` of `choose_target`: None for what is most probable (of a caption its last real token where
            no `texts` are given); a name or a word; (B,) int.
        class_names, texts: as of `choose_target`.

    Returns:
        (B, P) float32 >= 0, row-major, of a model of images alone; `RelevanceMaps` of a model of images and texts.

    Raises:
        ValueError: as `choose_target` and `RelevanceExplainer`.
    """
    if model.predicts_next and texts is None and (target is None or np.ndim(target) == 1):
        target = np.asarray(batch["padding_mask"], bool).sum(axis=1) - 1 if target is None else target
    else:
        logits = _logits(model, batch) if target is None and model.num_choices is not None else None
        size = len(batch[model.batch_keys[0]])
        target, _ = choose_target(model, target, logits=logits, class_names=class_names, texts=texts, size=size)
    maps = RelevanceExplainer(model).explain(batch, target)
    return maps.image if model.words is None else maps


def _logits(model, batch) -> np.ndarray:
    from keras import ops

    from vitcross.layers.attention_controls import AttentionControls
    from vitcross.models.compiled import compiled

    def forward(inputs):
        tokens = model.embed(inputs[model.batch_keys[0]], training=False)
        outputs = model.read(tokens, inputs, AttentionControls(addresses=())).outputs
        return ops.cast(model.logits_of(outputs), "float32")

    return compiled(model, forward, as_numpy=True)(model.inputs_of(batch))


def _maps(target, score, image, text=None, tokens=None) -> RelevanceMaps:
    image, text, tokens = (None if a is None else np.asarray(a, np.float32) for a in (image, text, tokens))
    return RelevanceMaps(target=target, score=score, image=image, text=text, tokens=tokens)


def _checked_target(target, size: int, lengths=None) -> np.ndarray:
    target = np.asarray(target)
    if target.shape != (size,) or target.dtype.kind not in "iu":
        raise ValueError(
            f"`target` must be ({size},) integers, one per example. Received: {target.dtype} of shape {target.shape}"
        )
    if lengths is not None and not ((target >= 1) & (target < lengths)).all():
        raise ValueError(
            "`target` must be the position of a real token after the first one, which nothing predicts. "
            f"Received: {target.tolist()}"
        )
    return target.astype(np.int32)


def _abars(found: Gradients, addresses, mask=None):
    return (positive_weights(found.weights[a], found.gradients[a], mask) for a in addresses)


def _pooling_weights(tower, found: Gradients) -> np.ndarray:
    """(B, T) Abar of the one query of a tower's pooling by mean or attention."""
    if tower.pooling == "gap":
        return mean_pooling_weights(found.products[tower.name])
    address = tower.attention_addresses[-1]
    return positive_weights(found.weights[address], found.gradients[address])[:, 0]


def _answer_rows(tower, target, mask):
    """(B,) the row of a tower in which the answer is read, and (B, 1) whether there is one: nothing predicts the first
    token of a text. None for a tower that is read by a mean, by attention, or by another tower alone."""
    everywhere = np.ones((len(target), 1), bool)
    if tower.predicts_next:
        return np.maximum(target - 1, 0), (target > 0)[:, None]
    if tower.pooling == "eos":
        return mask.sum(axis=1) - 1, everywhere
    return (np.zeros(len(target), np.int64) if tower.pooling == "cls" else None), everywhere
