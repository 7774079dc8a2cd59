"""Holds the text part of a capture, for models that read text: the texts and what their tokens attend to.

Shape legend: B batch, N heads, T text tokens, S keys (image tokens, or text tokens), P patches.
"""

from __future__ import annotations

import dataclasses
import re

import numpy as np

from vitcross.attention_maps.records.probe_text import ProbeText
from vitcross.attention_maps.records.record_file import array_fields, arrays_of, check_shape

TEXT_POOLINGS = ("eos", "gap", "map", None)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TextPart:
    """The texts of a capture, as `AttentionRecord.text`.

    Args:
        texts: tuple of B `ProbeText`.
        padding_mask: (B, T) bool, True = real token (BOS and EOS are real).
        weights: dict address -> (B, N, T, S) float32 in [0, 1] of the text tower, in depth order: self-attention
            (S = T), cross-attention of the blocks (S = image tokens, prefix included), and that of an attention
            pooling, `.../pooling/cross_attention` (B, N, 1, T).
        predicts_next: bool, True for a captioner: row t of its weights predicts token t + 1, so that the row of token t
            is t - 1. False where every token has its own row.
        pooling: `"eos"`, `"gap"`, `"map"` or None: how text tokens are reduced to one vector.
        text_similarity: (B, P) float32 in [-1, 1] or None, cosine of the text embedding and each patch embedding.
        word_similarity: (B, T, P) float32 in [-1, 1] or None, the same for each text token.
        token_maps: dict method -> (B, T, P) float32 >= 0, the patches that count for every text token (at its own
            position, for a captioner too): `"relevance"`, `"rollout"`; may be empty.
        text_maps: dict method -> (B, T) float32 >= 0, how much each text token counts for the target; may be empty.
    """

    texts: tuple[ProbeText, ...]
    padding_mask: np.ndarray
    weights: dict[str, np.ndarray]
    predicts_next: bool = False
    pooling: str | None = None
    text_similarity: np.ndarray | None = None
    word_similarity: np.ndarray | None = None
    token_maps: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    text_maps: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    ARRAYS = ("padding_mask", "text_similarity", "word_similarity")
    TABLES = ("weights", "token_maps", "text_maps")
    PER_EXAMPLE = ("texts", *ARRAYS, *TABLES)

    def check(self, batch: int, layout) -> None:
        """Raise ValueError where the part contradicts the number of images or the TokenLayout of the record."""
        if self.pooling not in TEXT_POOLINGS:
            raise ValueError(f"`pooling` of texts must be one of {TEXT_POOLINGS}. Received: {self.pooling!r}")
        if len(self.texts) != batch:
            raise ValueError(f"`texts` must be one per image ({batch}). Received: {len(self.texts)}")
        length, patches = self.padding_mask.shape[-1], layout.num_patches
        check_shape("padding_mask", self.padding_mask, (batch, length))
        check_shape("text_similarity", self.text_similarity, (batch, patches))
        check_shape("word_similarity", self.word_similarity, (batch, length, patches))
        for method, maps in self.token_maps.items():
            check_shape(f"token_maps[{method!r}]", maps, (batch, length, patches))
        for method, maps in self.text_maps.items():
            check_shape(f"text_maps[{method!r}]", maps, (batch, length))
        for address, weights in self.weights.items():
            rows = 1 if _is_pooling(address) else length
            keys = layout.num_tokens if _is_cross(address) else length
            heads = weights.shape[1] if weights.ndim > 1 else "N"
            check_shape(f"weights[{address!r}]", weights, (batch, heads, rows, keys))
        for b, text in enumerate(self.texts):
            if len(text.tokens) != int(self.padding_mask[b].sum()):
                raise ValueError(
                    f"`texts[{b}].tokens` must be one per real token ({int(self.padding_mask[b].sum())}). "
                    f"Received: {len(text.tokens)}"
                )

    @property
    def self_attention(self) -> dict[str, np.ndarray]:
        """The text tower's self-attention layers, first layer first."""
        return {address: w for address, w in self.weights.items() if address.endswith("self_attention")}

    @property
    def cross_attention(self) -> dict[str, np.ndarray]:
        """The layers in which text tokens attend to image tokens, first layer first; empty for a dual encoder."""
        return {address: w for address, w in self.weights.items() if _is_cross(address)}

    @property
    def pooling_weights(self) -> np.ndarray | None:
        """(B, N, 1, T) weights of the text's attention pooling; None for the other poolings."""
        return next((w for address, w in self.weights.items() if _is_pooling(address)), None)

    @property
    def words_have_boxes(self) -> bool:
        """Whether the boxes of any word are known."""
        return any(len(text.boxes) for text in self.texts)

    def to_file(self) -> tuple[dict, dict[str, np.ndarray]]:
        """`(header, arrays)`: a JSON-ready dict, and the arrays by their names in the file."""
        names, arrays = arrays_of(self)
        header = {
            "texts": [text.to_json() for text in self.texts],
            "predicts_next": bool(self.predicts_next),
            "pooling": self.pooling,
            "names": names,
        }
        return header, arrays

    @classmethod
    def from_file(cls, header: dict, arrays: dict[str, np.ndarray]) -> TextPart:
        """The inverse of `to_file`."""
        return cls(
            texts=tuple(ProbeText.from_json(text) for text in header["texts"]),
            predicts_next=header["predicts_next"],
            pooling=header["pooling"],
            **array_fields(cls, header["names"], arrays),
        )


def _is_cross(address: str) -> bool:
    return re.search(r"block_\d+/cross_attention$", address) is not None


def _is_pooling(address: str) -> bool:
    return address.endswith("pooling/cross_attention")
