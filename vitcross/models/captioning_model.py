"""Implements the captioning model: an image encoder, and a causal decoder that reads the image in every block.

Encoder and decoder as in "Attention Is All You Need" (arXiv 1706.03762, section 3.1), over patches instead of words.

Shapes: B batch, H W C pixels, S image tokens, T tokens, N heads, D embed_dim, V vocabulary.
"""

import functools
from dataclasses import replace

import keras
import numpy as np
from keras import ops

from vitcross.models import targets
from vitcross.models.explainable import Query, Tower, pick, probability_of, query_target
from vitcross.models.generation import GenerationSteps
from vitcross.models.image_text_model import ContextModel
from vitcross.options.models import CaptioningOptions


@keras.saving.register_keras_serializable(package="vitcross")
class CaptioningModel(ContextModel):
    """Maps images and the beginning of a text to logits of its next token. It is built when constructed.

    Args:
        image_encoder: VisionTransformer with `num_classes=None` and pooling "gap" or "cls".
        text_decoder: TextTransformer with `causal=True`, `cross_attention=True`, `pooling=None`.
        **options: those of `vitcross.options.models.CaptioningOptions`.

    Call arguments:
        images: (B, H, W, C) float32 in [-1, 1].
        token_ids: (B, T) int. With K texts for every image (images (B / K, H, W, C), static sizes), rows i K to
            i K + K - 1 belong to image i.
        padding_mask: bool (B, T), True = real token; None = all real.
        training: bool.
        return_attention_scores: bool.
        attention_controls: AttentionControls by the addresses of `attention_addresses`, split between the two parts.
            Patches that are not kept are masked in the cross-attention too.

    Returns:
        logits (B, T, V), float32 also in mixed precision: position t predicts token t + 1; with
        `return_attention_scores` a tuple of them and a dict from address to weights of both parts:
        `image_encoder/block_00/self_attention`, ..., `text_decoder/block_00/self_attention` (B, N, T, T),
        `text_decoder/block_00/cross_attention` (B, N, T, S), ...

    Raises:
        ValueError: an encoder and a decoder that do not fit, or controls that name an unknown address.
    """

    TOWERS = ("image_encoder", "text_decoder")
    OPTIONS = CaptioningOptions

    def __init__(self, *, image_encoder, text_decoder, name: str = "captioning_model", **options):
        super().__init__(image_encoder=image_encoder, text_tower=text_decoder, name=name, **options)
        if not text_decoder.causal or text_decoder.pooling is not None:
            raise ValueError(
                "expected a text decoder with causal=True and pooling=None. "
                f"Received: causal={text_decoder.causal}, pooling={text_decoder.pooling!r}"
            )
        self.build()

    def build(self, input_shape=None):
        if self.tie_embeddings:
            return
        self.head = self.built_head(self.text_decoder.vocabulary_size, self.text_decoder.embed_dim)

    def logits(self, tokens):
        """tokens (..., D) of the decoder -> (..., V) float32."""
        return self.text_decoder.embedding.logits(tokens) if self.tie_embeddings else self.head(tokens)

    @property
    def towers(self) -> tuple[Tower, ...]:
        image, text = super().towers
        return image, replace(text, predicts_next=True)

    def choose_target(self, wanted=None, *, logits=None, class_names=(), texts=None, size=None):
        each = targets.one_each(wanted, targets.num_examples(wanted, logits, texts, size))
        if texts is None:
            raise ValueError("`texts` must be one `ProbeText` per image to choose a word. Received: None")
        found = [targets.word(text, one) for text, one in zip(texts, each, strict=True)]
        return np.array([position for position, _ in found], np.int32), tuple(name for _, name in found)

    def possible_targets(self, wanted: str, texts) -> list[str | None]:
        return targets.where_written(texts, wanted)

    def logits_of(self, outputs):
        return None

    def score(self, outputs, inputs, target):
        # The row before a token predicts it; nothing predicts the first one.
        row = pick(outputs, ops.maximum(target - 1, 0))
        return pick(self.logits(row), pick(inputs["token_ids"], target))

    def make_query(self, batch, target=None, choices=None) -> Query:
        """Of `Explainable`: `target` is the token itself, `position` (B,) the row whose logits count."""
        target, text = query_target(target, len(batch["images"])), self.text_of(batch)
        lengths = text["padding_mask"].sum(axis=1)
        place = np.where(target < 0, np.maximum(lengths - 2, 1), target)
        if (place < 1).any() or (place >= lengths).any():
            raise ValueError(
                "`target` must be positions of real tokens that are predicted, from 1 on. "
                f"Received: target={target.tolist()} with texts of {lengths.tolist()} tokens"
            )
        own = text["token_ids"][np.arange(len(place)), place]
        # A causal text does not read beyond the row that counts.
        shortened = {key: array[:, : place.max()] for key, array in text.items()}
        return Query(rows={"target": own, "position": (place - 1).astype(np.int32), **shortened})

    def probability(self, outputs, query: dict):
        return probability_of(self.logits(pick(outputs, query["position"])), query["target"])

    @functools.cached_property
    def generation_steps(self) -> GenerationSteps:
        """Compiled functions of `vitcross.models.generation.generate`, kept as Keras keeps its `predict_function`."""
        return GenerationSteps(self)
