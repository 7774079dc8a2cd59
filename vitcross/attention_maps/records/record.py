"""Holds what was captured in one typed record of plain arrays, which can be saved and loaded.

Shape legend: B batch, H W C pixels, N heads, T query tokens, S key tokens, K classes.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vitcross.attention_maps.records.label_part import LabelPart
from vitcross.attention_maps.records.record_file import (
    array_fields,
    arrays_of,
    check_shape,
    read_record,
    take_rows,
    write_record,
)
from vitcross.attention_maps.records.text_part import TextPart
from vitcross.attention_maps.records.trust_report import TrustReport
from vitcross.pages.direction import in_line
from vitcross.pages.numbers import percent

if TYPE_CHECKING:
    from vitcross.layers.token_layout import TokenLayout

POOLINGS = ("cls", "gap", "map")
TEXT, LABELS = "text/", "labels/"  # before the names of the arrays of a part in the file


class Prediction(NamedTuple):
    """The prediction for one example, in words.

    Fields:
        text: str, e.g. a generated caption, or an answer with its probability.
        truth: str, the ground truth, e.g. the true class or the user's text; empty where unknown.
        correct: bool, or None where that is unknown or makes no sense.
    """

    text: str
    truth: str = ""
    correct: bool | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AttentionRecord:
    """One capture of a model on a batch of images, or of pairs of image and text.

    Args:
        step: int, optimizer steps taken when the capture was made.
        images: (B, H, W, C) uint8, the de-normalized pixels that the model saw.
        probabilities: (B, K) float32, rows sum to 1 (of several labels, `label_part`, each is in [0, 1]); None for a
            model that is not a classifier.
        class_names: tuple of K str; empty where unknown.
        example_index: (B,) int64, position of each example in its split; -1 for images from outside the data set.
        weights: dict address -> (B, N, T, S) float32 in [0, 1] of the image tower, in depth order: softmax output,
            before dropout, inference mode. Rows sum to 1 over valid keys.
        token_layout: TokenLayout, which tokens are patches and how they lie in the image.
        pooling: `"cls"`, `"gap"` or `"map"`: how image tokens are reduced to the vector that is classified or compared.
        patch_size: (height, width) of a patch in pixels.
        token_norms: (B, T) float32, L2 norm of the output tokens before the final norm.
        labels: (B,) int32 or None.
        boxes: (B, 4) float32 or None, (y_min, x_min, y_max, x_max) in [0, 1] of the object that decides the label.
        masks: (B, H, W) bool or None, the pixels of that object; all False where unknown.
        mark_boxes: (B, 4) float32 or None, likewise of a planted mark that gives the label away; without area where an
            image has none.
        predictions: tuple of B `Prediction`, where the model does not predict a class; empty otherwise.
        maps: dict method -> (B, P) float32 >= 0, maps that need more than the weights (`"relevance"`,
            `"leave_one_out"`; where a text reads the image also `"raw"` and `"rollout"` through both towers); may be
            empty.
        targets: tuple of B str, what `maps` explain: a class, an answer, a word of a caption; may be empty.
        image_names: tuple of B str, names of the images' files; may be empty.
        trust: TrustReport of the maps, or None.
        text: TextPart with the texts, or None for a model of images alone.
        label_part: LabelPart of a model whose choices are a yes or no each; `labels` and `boxes` are then None.

    Raises:
        ValueError: where shapes contradict each other or `pooling` is unknown.
    """

    step: int
    images: np.ndarray
    probabilities: np.ndarray | None
    class_names: tuple[str, ...]
    example_index: np.ndarray
    weights: dict[str, np.ndarray]
    token_layout: TokenLayout
    pooling: str
    patch_size: tuple[int, int]
    token_norms: np.ndarray
    labels: np.ndarray | None = None
    boxes: np.ndarray | None = None
    masks: np.ndarray | None = None
    mark_boxes: np.ndarray | None = None
    predictions: tuple[Prediction, ...] = ()
    maps: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    targets: tuple[str, ...] = ()
    image_names: tuple[str, ...] = ()
    trust: TrustReport | None = None
    text: TextPart | None = None
    label_part: LabelPart | None = None

    ARRAYS = ("images", "labels", "probabilities", "example_index", "boxes", "masks", "mark_boxes", "token_norms")
    TABLES = ("weights", "maps")
    PER_EXAMPLE = (*ARRAYS, *TABLES, "predictions", "targets", "image_names", "trust", "text", "label_part")

    def __post_init__(self):
        if self.pooling not in POOLINGS:
            raise ValueError(f"`pooling` must be one of {', '.join(POOLINGS)}. Received: pooling={self.pooling!r}")
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise ValueError(
                "`images` must be uint8 of shape (B, H, W, C), de-normalized. "
                f"Received: {self.images.dtype} {self.images.shape}"
            )
        batch, layout = len(self.images), self.token_layout
        for name in self.ARRAYS[1:]:
            self._check_batch(name, getattr(self, name))
        for name in ("predictions", "targets", "image_names"):
            if getattr(self, name) and len(getattr(self, name)) != batch:
                raise ValueError(f"`{name}` must be one per image ({batch}). Received: {len(getattr(self, name))}")
        if self.probabilities is None and not self.predictions:
            raise ValueError("`predictions` must hold one per image where `probabilities` is None. Received: none")
        for method, patches in self.maps.items():
            check_shape(f"maps[{method!r}]", patches, (batch, layout.num_patches))
        for address, weights in self.weights.items():
            self._check_batch(f"weights[{address!r}]", weights)
            if weights.ndim != 4 or weights.shape[-1] != layout.num_tokens:
                raise ValueError(
                    f"`weights[{address!r}]` must have the shape (B, N, T, {layout.num_tokens}). "
                    f"Received: shape {weights.shape}"
                )
        if self.pooling == "map" and self.pooling_weights is None:
            raise ValueError(
                "`weights` of a model with pooling='map' must contain the address of its pooling "
                f"('.../pooling/cross_attention'). Received: addresses {list(self.weights)}"
            )
        if self.text is not None:
            self.text.check(batch, layout)
        if self.label_part is not None:
            self.label_part.check(batch, self.probabilities.shape[1], layout)

    def _check_batch(self, name: str, array: np.ndarray | None) -> None:
        if array is not None and len(array) != len(self.images):
            raise ValueError(
                f"`{name}` must have one row per image ({len(self.images)}). Received: shape {array.shape}"
            )

    @property
    def self_attention(self) -> dict[str, np.ndarray]:
        """The self-attention layers of the image tower, first layer first."""
        return {address: w for address, w in self.weights.items() if address.endswith("self_attention")}

    @property
    def cross_attention(self) -> dict[str, np.ndarray]:
        """The layers in which text tokens attend to image tokens, first layer first; empty where no text does."""
        return {} if self.text is None else self.text.cross_attention

    @property
    def pooling_weights(self) -> np.ndarray | None:
        """(B, N, 1, T) weights of the image's attention pooling; None for the other poolings."""
        found = [w for address, w in self.weights.items() if address.endswith("pooling/cross_attention")]
        return found[0] if found else None

    @property
    def predicted_class(self) -> np.ndarray:
        """(B,) int64, the most probable class."""
        return np.argmax(self.probabilities, axis=-1)

    @property
    def target_boxes(self) -> list[np.ndarray] | None:
        """The boxes (K, 4) of what the explained word or label names, for every example (K = 0 where unknown); None
        without texts or independent labels, or without targets."""
        if not self.targets or (self.text is None and self.label_part is None):
            return None
        if self.text is None:
            return [self.label_part.boxes_of(b, self.label_number(name)) for b, name in enumerate(self.targets)]
        return [text.boxes_of(target) for text, target in zip(self.text.texts, self.targets, strict=True)]

    def class_name(self, label: int) -> str:
        """Name of a class, or its number where names are unknown."""
        return self.class_names[label] if 0 <= label < len(self.class_names) else str(label)

    def label_number(self, name: str) -> int:
        """The inverse of `class_name`."""
        return self.class_names.index(name) if name in self.class_names else int(name)

    def take(self, rows) -> AttentionRecord:
        """The record of the examples `rows` (ints), in this order."""
        return take_rows(self, list(rows))

    def first(self, count: int) -> AttentionRecord:
        """The record of the first `count` examples; itself where it has no more."""
        return self if count >= len(self.images) else self.take(range(count))

    def within(self, megabytes: float) -> AttentionRecord:
        """The first examples whose weights fit into `megabytes` before compression, at least one: ViT-B/16 at 224 has
        21 MiB per example."""
        weights = [*self.weights.values(), *(self.text.weights.values() if self.text else ())]
        per_example = sum(w[:1].nbytes for w in weights) / 2**20
        return self.first(max(1, int(megabytes // per_example)))

    def select_examples(self, last: AttentionRecord, rows: list[int]) -> AttentionRecord | None:
        """The record of the examples in `rows` of `last`, another capture of the run; None if it has none of them."""
        if not np.array_equal(self.example_index, last.example_index):
            known = {int(index): row for row, index in enumerate(self.example_index)}
            rows = [known[index] for index in (int(last.example_index[row]) for row in rows) if index in known]
        return self.take(rows) if rows else None

    def save(self, path) -> None:
        """Write the record atomically as one compressed `.npz`."""
        names, arrays = arrays_of(self)
        layout, text, labels = self.token_layout, None, None
        if self.text is not None:
            text, text_arrays = self.text.to_file()
            arrays |= {f"{TEXT}{name}": array for name, array in text_arrays.items()}
        if self.label_part is not None:
            labels, label_arrays = self.label_part.to_file()
            arrays |= {f"{LABELS}{name}": array for name, array in label_arrays.items()}
        header = {
            "step": int(self.step),
            "class_names": list(self.class_names),
            "pooling": self.pooling,
            "patch_size": [int(size) for size in self.patch_size],
            "token_layout": {
                "grid_height": layout.grid_height,
                "grid_width": layout.grid_width,
                "num_prefix_tokens": layout.num_prefix_tokens,
            },
            "predictions": [list(prediction) for prediction in self.predictions],
            "targets": list(self.targets),
            "image_names": list(self.image_names),
            "trust": self.trust and self.trust.to_json(),
            "names": names,
            "text": text,
            "labels": labels,
        }
        write_record(path, header=header, arrays=arrays)

    @classmethod
    def load(cls, path) -> AttentionRecord:
        """Read a record written by `save`. Nothing is unpickled.

        Raises:
            ValueError: where the file is not such a record, is damaged, or is of another version.
        """
        # Imported here: the pure functions of this room load without Keras.
        from vitcross.layers.token_layout import TokenLayout

        header, arrays = read_record(path)
        of_text, of_labels = (
            {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
            for start in (TEXT, LABELS)
        )
        try:
            return cls(
                step=header["step"],
                class_names=tuple(header["class_names"]),
                token_layout=TokenLayout(**header["token_layout"]),
                pooling=header["pooling"],
                patch_size=tuple(header["patch_size"]),
                predictions=tuple(Prediction(*row) for row in header["predictions"]),
                targets=tuple(header["targets"]),
                image_names=tuple(header["image_names"]),
                trust=header["trust"] and TrustReport.from_json(header["trust"]),
                text=header["text"] and TextPart.from_file(header["text"], of_text),
                label_part=header["labels"] and LabelPart.from_file(header["labels"], of_labels),
                **array_fields(cls, header["names"], arrays),
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"`path` must be a complete attention record. Received: {path} ({error})") from error


def prediction(record: AttentionRecord, example: int) -> Prediction:
    """The prediction for one example; for a class, the text includes its probability."""
    if record.predictions:
        return record.predictions[example]
    if record.label_part is not None:
        return _predicted_labels(record, example)
    predicted = int(record.predicted_class[example])
    text = f"{in_line(record.class_name(predicted))} {percent(float(record.probabilities[example, predicted]))}"
    if record.labels is None or record.labels[example] < 0:
        return Prediction(text)
    label = int(record.labels[example])
    correct = label == predicted
    return Prediction(text, "right" if correct else f"true: {in_line(record.class_name(label))}", correct)


def _predicted_labels(record: AttentionRecord, example: int) -> Prediction:
    """The labels above the threshold, most probable first, or else the most probable one; and the true ones."""
    part, row = record.label_part, record.probabilities[example]
    chosen = [int(k) for k in np.argsort(-row, kind="stable") if row[k] >= part.threshold]
    text = ", ".join(f"{in_line(record.class_name(k))} {percent(float(row[k]))}" for k in chosen)
    if not chosen:
        most = int(row.argmax())
        text = f"none (most: {in_line(record.class_name(most))} {percent(float(row[most]))})"
    if part.present is None:
        return Prediction(text)
    true = np.flatnonzero(part.present[example])
    if set(true.tolist()) == set(chosen):
        return Prediction(text, "right", True)
    return Prediction(text, f"true: {', '.join(in_line(record.class_name(int(k))) for k in true) or 'none'}", False)


def captions(record: AttentionRecord) -> list[str]:
    """One line per example: number, file, prediction, probability, ground truth."""
    rows = (prediction(record, i)[:2] for i in range(len(record.images)))
    names = [f"{name}: " for name in record.image_names] or [""] * len(record.images)
    return [f"{i + 1}: {names[i]}{text}" + (f" ({truth})" if truth else "") for i, (text, truth) in enumerate(rows)]
