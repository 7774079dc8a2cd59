"""What was captured of an image-text model, as one typed record, and its file.

Shape legend: B batch, N heads, T text tokens, S keys (image tokens, or text tokens), P patches.
"""

from __future__ import annotations

import dataclasses
import re

import numpy as np

from vitcross.attention_maps.records.probe_text import ProbeText
from vitcross.attention_maps.records.record import AttentionRecord, Verdict, examples_within
from vitcross.attention_maps.records.record_file import named, names_of, numbered, read_record, write_record

FORMAT = "vitcross image-text attention record"
VERSION = 1
TEXT_POOLINGS = ("eos", "gap", "map", None)
_ARRAYS = ("padding_mask", "text_similarity", "word_similarity")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ImageTextRecord:
    """One capture of an image-text model on a batch of pairs.

    Args:
        image: AttentionRecord of the image tower, whose `verdicts` say what the model says of each pair.
        texts: tuple of B `ProbeText`.
        padding_mask: (B, T) bool, True = real token (BOS and EOS are real).
        weights: dict address -> (B, N, T, S) float32 in [0, 1] of the text tower, in depth order: self-attention
            (S = T), cross-attention of the blocks (S = image tokens, prefix included), and that of an attention
            pooling, `.../pooling/cross_attention` (B, N, 1, T).
        predicts_next: bool, True for a captioner: row t of its weights is what it reads to predict token t + 1, so
            the row of token t is t - 1. False where every token has its own row.
        text_pooling: `"eos"`, `"gap"`, `"map"` or None: how text tokens become one vector.
        text_similarity: (B, P) float32 in [-1, 1] or None, cosine of the text embedding and each patch embedding.
        word_similarity: (B, T, P) float32 in [-1, 1] or None, the same for each text token.
        token_maps: dict method -> (B, T, P) float32 >= 0, for every text token (its own place, also of a captioner) the
            patches that count for it: `"relevance"`, `"rollout"`; may be empty. What is explained as one
            (`image.targets`) has its maps in `image.maps`, its trust in `image.trust`.
        text_maps: dict method -> (B, T) float32 >= 0, how much each text token counts for the target; may be empty.

    Raises:
        ValueError: where shapes contradict each other.
    """

    image: AttentionRecord
    texts: tuple[ProbeText, ...]
    padding_mask: np.ndarray
    weights: dict[str, np.ndarray]
    predicts_next: bool = False
    text_pooling: str | None = None
    text_similarity: np.ndarray | None = None
    word_similarity: np.ndarray | None = None
    token_maps: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    text_maps: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if self.text_pooling not in TEXT_POOLINGS:
            raise ValueError(f"`text_pooling` must be one of {TEXT_POOLINGS}. Received: {self.text_pooling!r}")
        batch, num_patches = len(self.image.images), self.token_layout.num_patches
        if len(self.texts) != batch:
            raise ValueError(f"`texts` must be one per image ({batch}). Received: {len(self.texts)}")
        length = self.padding_mask.shape[-1]
        expected = {"padding_mask": (batch, length), "text_similarity": (batch, num_patches)}
        expected["word_similarity"] = (batch, length, num_patches)
        arrays = {name: getattr(self, name) for name in expected}
        for field, shape in (("token_maps", (batch, length, num_patches)), ("text_maps", (batch, length))):
            for method, array in getattr(self, field).items():
                arrays[f"{field}[{method!r}]"], expected[f"{field}[{method!r}]"] = array, shape
        for name, shape in expected.items():
            array = arrays[name]
            if array is not None and array.shape != shape:
                raise ValueError(f"`{name}` must have the shape {shape}. Received: {array.shape}")
        for b, text in enumerate(self.texts):
            if len(text.tokens) != int(self.padding_mask[b].sum()):
                raise ValueError(
                    f"`texts[{b}].tokens` must be one per real token ({int(self.padding_mask[b].sum())}). "
                    f"Received: {len(text.tokens)}"
                )
        for address, weights in self.weights.items():
            rows = 1 if _is_pooling(address) else length
            keys = self.token_layout.num_tokens if _is_cross(address) else length
            if weights.ndim != 4 or (weights.shape[0], *weights.shape[2:]) != (batch, rows, keys):
                raise ValueError(
                    f"`weights[{address!r}]` must have the shape ({batch}, N, {rows}, {keys}). "
                    f"Received: shape {weights.shape}"
                )

    @property
    def step(self) -> int:
        """Optimizer steps taken when the capture was made."""
        return self.image.step

    @property
    def images(self) -> np.ndarray:
        """(B, H, W, C) uint8, the de-normalized pixels that the model saw."""
        return self.image.images

    @property
    def token_layout(self):
        """TokenLayout of the image tokens."""
        return self.image.token_layout

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What the model says of each pair."""
        return self.image.verdicts

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

    def first(self, count: int) -> ImageTextRecord:
        """The record of the first `count` examples."""
        arrays = {name: getattr(self, name)[:count] for name in _ARRAYS if getattr(self, name) is not None}
        weights = {address: w[:count] for address, w in self.weights.items()}
        maps = {
            field: {method: array[:count] for method, array in getattr(self, field).items()}
            for field in ("token_maps", "text_maps")
        }
        image, texts = self.image.first(count), self.texts[:count]
        return dataclasses.replace(self, image=image, texts=texts, weights=weights, **arrays, **maps)

    def within(self, megabytes: float) -> ImageTextRecord:
        """As many of the first examples as fit into `megabytes` of weights of both towers, at least one."""
        return self.first(examples_within(self, {**self.image.weights, **self.weights}, megabytes))

    def save(self, path) -> None:
        """Write the record as one compressed `.npz`: complete under its name, or not there at all."""
        header = {
            "image": self.image.header(),
            "texts": [text.to_json() for text in self.texts],
            "addresses": list(self.weights),
            "predicts_next": bool(self.predicts_next),
            "text_pooling": self.text_pooling,
        }
        arrays = {f"image_{name}": array for name, array in self.image.arrays().items()}
        arrays |= {name: getattr(self, name) for name in _ARRAYS if getattr(self, name) is not None}
        arrays |= numbered("weights", self.weights.values())
        arrays |= named("token_map", self.token_maps) | named("text_map", self.text_maps)
        write_record(path, format=FORMAT, version=VERSION, header=header, arrays=arrays)

    @classmethod
    def load(cls, path) -> ImageTextRecord:
        """Read a record written by `save`. Nothing is unpickled.

        Raises:
            ValueError: where the file is not such a record, is damaged, or is of a newer version.
        """
        header, arrays = read_record(path, format=FORMAT, version=VERSION)
        image = {name.removeprefix("image_"): array for name, array in arrays.items() if name.startswith("image_")}
        try:
            return cls(
                image=AttentionRecord.from_parts(header["image"], image),
                texts=tuple(ProbeText.from_json(text) for text in header["texts"]),
                weights={address: arrays[f"weights_{i:03d}"] for i, address in enumerate(header["addresses"])},
                predicts_next=header["predicts_next"],
                text_pooling=header["text_pooling"],
                token_maps=names_of("token_map", arrays),
                text_maps=names_of("text_map", arrays),
                **{name: arrays.get(name) for name in _ARRAYS},
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"`path` must be a complete image-text record. Received: {path} ({error})") from error


def image_of(record: AttentionRecord | ImageTextRecord) -> AttentionRecord:
    """The record of the images: of an image-text record its `image`, else the record itself."""
    return record.image if isinstance(record, ImageTextRecord) else record


def _is_cross(address: str) -> bool:
    return re.search(r"block_\d+/cross_attention$", address) is not None


def _is_pooling(address: str) -> bool:
    return address.endswith("pooling/cross_attention")


def target_boxes(record: ImageTextRecord) -> list[np.ndarray]:
    """For every example the boxes (K, 4) of what the explained word names; none where it names nothing known."""
    found = []
    for text, target in zip(record.texts, record.image.targets, strict=False):
        words = zip(text.words, text.word_boxes, strict=True)
        boxes = [b for word, b in words if b is not None and word.text.casefold() == target.casefold()]
        found.append(np.concatenate(boxes) if boxes else np.zeros((0, 4)))
    return found
