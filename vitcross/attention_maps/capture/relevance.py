"""Relevance of a model for a target: the rules of `relevance_rules.py` on what `gradients.py` measures, read out by the
way in which each model answers.

    VisionTransformer       logit of a class, read by its pooling
    DualEncoder             cosine of image and text, each tower by itself, read by its own pooling
    QuestionAnsweringModel  logit of an answer: image tower, then the blocks of the text, read by the text's pooling
    CaptioningModel         logit of one token of the text, read in the row that predicts it

Reference: Chefer, Gur, Wolf, ICCV 2021 (arXiv 2103.15679).

Shape legend: B batch, P patches, S image tokens, T text tokens, D width.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from vitcross.attention_maps.capture.gradients import Gradients, compiled_gradients
from vitcross.attention_maps.capture.targets import choose_target, kind_of
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
        target: (B,) int32, what is explained (`targets.choose_target`).
        score: (B,) float32, its logit or cosine.
        image: (B, P), how much each patch counts.
        text: (B, T), how much each text token counts; None for a classifier.
        tokens: (B, T, P), the patches of each text token: of a question what the token read for the answer, of a
            caption what its own prediction took (each token is a target of its own); None for a classifier, for a dual
            encoder, whose texts read no image, and where they were not asked for.
    """

    target: np.ndarray
    score: np.ndarray
    image: np.ndarray
    text: np.ndarray | None = None
    tokens: np.ndarray | None = None


class RelevanceExplainer:
    """Explains one model, as often as it is called; compiled once for each shape of its batches.

    Args:
        model: built `VisionTransformer` with classes, `DualEncoder`, `CaptioningModel` or `QuestionAnsweringModel`.
        transpose: bool, equation 10 with the factor Rbar_ss^T of the paper (`after_cross_attention`). Default True.

    Raises:
        ValueError: a vision transformer without classes.
    """

    def __init__(self, model, transpose: bool = True):
        self.model, self.transpose = model, transpose
        self.kind = kind_of(model)
        self._gradients = compiled_gradients(model)

    def explain(self, batch, target, every_token: bool = True) -> RelevanceMaps:
        """Maps of a batch.

        Args:
            batch: dict of arrays, the batch contract; as many texts as images.
            target: (B,) int of `choose_target`.
            every_token: bool, with `tokens`. Of a caption they need one pass for each position.
        """
        images, layout = batch["images"], self.model.token_layout_for(tuple(batch["images"].shape[1:3]))
        if self.kind == "classifier":
            target = _checked_target(target, len(images))
            found = self._gradients(images, target)
            return _maps(target, found.score, layout.patches(_one_tower(self.model, found)))
        mask = np.asarray(batch["padding_mask"], bool)
        if len(mask) != len(images):
            raise ValueError(f"`batch` must have one text per image, {len(images)}. Received: {len(mask)} texts")
        target = _checked_target(target, len(images), mask.sum(axis=1) if self.kind == "captioner" else None)
        found = self._gradients(images, target, batch["token_ids"], mask)
        if self.kind == "dual_encoder":
            image, text = (
                _one_tower(tower, found, of_text)
                for tower, of_text in ((self.model.image_encoder, None), (self.model.text_encoder, mask))
            )
            return _maps(target, found.score, layout.patches(image), text)
        own, to_image = self._two_streams(found, mask)
        if self.kind == "questions":
            image, text = _read_question(self.model.text_encoder, found, mask, own, to_image)
            tokens = layout.patches(to_image) if every_token else None
            return _maps(target, found.score, layout.patches(image), text, tokens)
        image, text = _read_caption(target, own, to_image)
        tokens = self._each_token(batch, mask, layout) if every_token else None
        return _maps(target, found.score, layout.patches(image), text, tokens)

    def _two_streams(self, found: Gradients, mask):
        """R_ss (B, T, T) of the text and R_sq (B, T, S) of text and image."""
        other = self_attention_relevance(_abars(found, self.model.image_encoder.attention_addresses))
        tower = getattr(self.model, self.model.TOWERS[1])
        abars = list(_abars(found, _blocks(tower), mask))
        # Self-attention and cross-attention take turns.
        return two_stream_relevance(list(zip(abars[::2], abars[1::2], strict=True)), other, self.transpose)

    def _each_token(self, batch, mask, layout) -> np.ndarray:
        """(B, T, P) of a captioner, each real token explained by itself; nothing predicts the first one."""
        tokens = np.zeros((*mask.shape, layout.num_patches))
        for position in range(1, int(mask.sum(axis=1).max())):
            target = np.where(mask[:, position], position, 0).astype(np.int32)
            found = self._gradients(batch["images"], target, batch["token_ids"], mask)
            tokens[:, position] = layout.patches(_read_caption(target, *self._two_streams(found, mask))[0])
        return tokens


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
        (B, P) float32 >= 0 of a `VisionTransformer`, row-major; `RelevanceMaps` of an image-text model.

    Raises:
        ValueError: as `choose_target` and `RelevanceExplainer`.
    """
    kind, size = kind_of(model), len(batch["images"])
    if kind == "captioner" and texts is None and (target is None or np.ndim(target) == 1):
        target = np.asarray(batch["padding_mask"], bool).sum(axis=1) - 1 if target is None else target
    else:
        logits = _logits(model, batch) if target is None and kind in ("classifier", "questions") else None
        target, _ = choose_target(model, target, logits=logits, class_names=class_names, texts=texts, size=size)
    maps = RelevanceExplainer(model).explain(batch, target)
    return maps.image if kind == "classifier" else maps


def _logits(model, batch) -> np.ndarray:
    from vitcross.attention_maps.capture.forward import compiled

    names = [name for name in ("images", "token_ids", "padding_mask") if name in batch]
    names = names if kind_of(model) == "questions" else names[:1]

    def forward(model, *arrays):
        return (model(*arrays, training=False),), {}

    (logits,), _ = compiled(model, forward)(*(np.asarray(batch[name]) for name in names))
    return logits


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


def _blocks(tower) -> tuple[str, ...]:
    """The addresses of a tower without that of its pooling."""
    return tuple(a for a in tower.attention_addresses if not a.endswith("pooling/cross_attention"))


def _abars(found: Gradients, addresses, mask=None):
    return (positive_weights(found.weights[a], found.gradients[a], mask) for a in addresses)


def _pooling_weights(tower, found: Gradients) -> np.ndarray:
    """(B, T) Abar of the one query of a tower's pooling by mean or attention."""
    if tower.pooling == "gap":
        return mean_pooling_weights(found.products[tower.name])
    address = tower.attention_addresses[-1]
    return positive_weights(found.weights[address], found.gradients[address])[:, 0]


def _ends(mask) -> np.ndarray:
    return mask.sum(axis=1) - 1


def _one_tower(tower, found: Gradients, mask=None) -> np.ndarray:
    """(B, T) what the pooling of a tower reads, prefix tokens included."""
    own = self_attention_relevance(_abars(found, _blocks(tower), mask))
    if tower.pooling == "cls":
        return read_row(own, 0)
    return (
        read_row(own, _ends(mask)) if tower.pooling == "eos" else read_by_pooling(_pooling_weights(tower, found), own)
    )


def _read_question(tower, found: Gradients, mask, own, to_image):
    """(B, S) and (B, T) what the text's pooling reads of the image and of the text."""
    if tower.pooling == "eos":
        rows = _ends(mask)
        return to_image[np.arange(len(rows)), rows], read_row(own, rows)
    pooling = _pooling_weights(tower, found)
    # Equation 7: what the pooled tokens took from the image goes on with them.
    return (pooling[:, None] @ to_image)[:, 0], read_by_pooling(pooling, own)


def _read_caption(target, own, to_image):
    """(B, S) and (B, T) what the row that predicts the target token reads; zeros for the first token."""
    rows, predicted = np.maximum(target - 1, 0), (target > 0)[:, None]
    return to_image[np.arange(len(rows)), rows] * predicted, read_row(own, rows) * predicted
