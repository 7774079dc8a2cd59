"""What was captured, as one typed record of plain arrays, and its file.

Shape legend: B batch, H W C pixels, N heads, T query tokens, S key tokens, K classes.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vitcross.attention_maps.records.record_file import named, names_of, numbered, read_record, write_record
from vitcross.attention_maps.records.trust_report import TrustReport
from vitcross.pages.numbers import percent

if TYPE_CHECKING:
    from vitcross.layers.token_layout import TokenLayout

FORMAT = "vitcross attention record"
VERSION = 1
POOLINGS = ("cls", "gap", "map")
_ARRAYS = ("images", "labels", "probabilities", "example_index", "boxes", "mark_boxes", "token_norms")


class Verdict(NamedTuple):
    """What a model says of one example, in words.

    Fields:
        said: str, e.g. a caption that it wrote, or an answer with its probability.
        truth: str, what it is to be held against: the true class, the own text; empty where nothing is known.
        right: bool, or None where that is not known or not a matter of right and wrong.
    """

    said: str
    truth: str = ""
    right: bool | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AttentionRecord:
    """One capture of a vision transformer on a batch of images.

    Args:
        step: int, optimizer steps taken when the capture was made.
        images: (B, H, W, C) uint8, the de-normalized pixels that the model saw.
        probabilities: (B, K) float32, rows sum to 1; None for a model that is no classifier.
        class_names: tuple of K str; empty where unknown.
        example_index: (B,) int64, position of each example in its split; -1 for own images.
        weights: dict address -> (B, N, T, S) float32 in [0, 1], in depth order: softmax output, before dropout,
            inference mode. Rows sum to 1 over valid keys.
        token_layout: TokenLayout, which tokens are patches and how they lie in the image.
        pooling: `"cls"`, `"gap"` or `"map"`: how tokens become the vector that is classified.
        patch_size: (height, width) of a patch in pixels.
        token_norms: (B, T) float32, L2 norm of the output tokens before the final norm.
        labels: (B,) int32 or None.
        boxes: (B, 4) float32 or None, (y_min, x_min, y_max, x_max) in [0, 1] of the object that decides the label.
        mark_boxes: (B, 4) float32 or None, likewise of a planted mark that gives the label away; without area where a
            image has none.
        verdicts: tuple of B `Verdict`, what the model says, where that is not a class; empty otherwise.
        maps: dict method -> (B, P) float32 >= 0, maps that need more than the weights (`"relevance"`,
            `"leave_one_out"`; where a text reads the image also `"raw"` and `"rollout"` through both towers); may be
            empty.
        targets: tuple of B str, what `maps` explain: a class, an answer, a word of a caption; may be empty.
        trust: TrustReport of the maps, or None.

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
    mark_boxes: np.ndarray | None = None
    verdicts: tuple[Verdict, ...] = ()
    maps: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    targets: tuple[str, ...] = ()
    trust: TrustReport | None = None

    def __post_init__(self):
        if self.pooling not in POOLINGS:
            raise ValueError(f"`pooling` must be one of {', '.join(POOLINGS)}. Received: pooling={self.pooling!r}")
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise ValueError(
                "`images` must be uint8 of shape (B, H, W, C), de-normalized. "
                f"Received: {self.images.dtype} {self.images.shape}"
            )
        for name in _ARRAYS[1:]:
            self._check_batch(name, getattr(self, name))
        if self.verdicts and len(self.verdicts) != len(self.images):
            raise ValueError(f"`verdicts` must be one per image ({len(self.images)}). Received: {len(self.verdicts)}")
        if self.probabilities is None and not self.verdicts:
            raise ValueError("`verdicts` must say what the model says where `probabilities` is None. Received: none")
        if self.targets and len(self.targets) != len(self.images):
            raise ValueError(f"`targets` must be one per image ({len(self.images)}). Received: {len(self.targets)}")
        for method, patches in self.maps.items():
            if patches.shape != (len(self.images), self.token_layout.num_patches):
                raise ValueError(
                    f"`maps[{method!r}]` must have the shape ({len(self.images)}, {self.token_layout.num_patches}). "
                    f"Received: shape {patches.shape}"
                )
        for address, weights in self.weights.items():
            self._check_batch(f"weights[{address!r}]", weights)
            if weights.ndim != 4 or weights.shape[-1] != self.token_layout.num_tokens:
                raise ValueError(
                    f"`weights[{address!r}]` must have the shape (B, N, T, {self.token_layout.num_tokens}). "
                    f"Received: shape {weights.shape}"
                )
        if self.pooling == "map" and self.pooling_weights is None:
            raise ValueError(
                "`weights` of a model with pooling='map' must contain the address of its pooling "
                f"('.../pooling/cross_attention'). Received: addresses {list(self.weights)}"
            )

    def _check_batch(self, name: str, array: np.ndarray | None) -> None:
        if array is not None and len(array) != len(self.images):
            raise ValueError(
                f"`{name}` must have one row per image ({len(self.images)}). Received: shape {array.shape}"
            )

    @property
    def self_attention(self) -> dict[str, np.ndarray]:
        """The self-attention layers alone, first layer first."""
        return {address: w for address, w in self.weights.items() if address.endswith("self_attention")}

    @property
    def pooling_weights(self) -> np.ndarray | None:
        """(B, N, 1, T) weights of the attention pooling; None for the other poolings."""
        found = [w for address, w in self.weights.items() if address.endswith("pooling/cross_attention")]
        return found[0] if found else None

    @property
    def predictions(self) -> np.ndarray:
        """(B,) int64, the most probable class."""
        return np.argmax(self.probabilities, axis=-1)

    def class_name(self, label: int) -> str:
        """Name of a class, or its number where names are unknown."""
        return self.class_names[label] if 0 <= label < len(self.class_names) else str(label)

    def first(self, count: int) -> AttentionRecord:
        """The record of the first `count` examples."""
        arrays = {name: getattr(self, name) for name in _ARRAYS if getattr(self, name) is not None}
        weights = {address: w[:count] for address, w in self.weights.items()}
        arrays = {name: array[:count] for name, array in arrays.items()}
        cut = {
            "maps": {method: patches[:count] for method, patches in self.maps.items()},
            "targets": self.targets[:count],
            "verdicts": self.verdicts[:count],
            "trust": self.trust and self.trust.first(count),
        }
        return dataclasses.replace(self, weights=weights, **cut, **arrays)

    def within(self, megabytes: float) -> AttentionRecord:
        """As many of the first examples as fit into `megabytes` of weights before compression, at least one.

        All weights of a large model are large: ViT-B/16 at 224 has 21 MiB an example.
        """
        return self.first(examples_within(self, self.weights, megabytes))

    def save(self, path) -> None:
        """Write the record as one compressed `.npz`: complete under its name, or not there at all."""
        write_record(path, format=FORMAT, version=VERSION, header=self.header(), arrays=self.arrays())

    @classmethod
    def load(cls, path) -> AttentionRecord:
        """Read a record written by `save`. Nothing is unpickled.

        Raises:
            ValueError: where the file is not such a record, is damaged, or is of a newer version.
        """
        header, arrays = read_record(path, format=FORMAT, version=VERSION)
        try:
            return cls.from_parts(header, arrays)
        except (KeyError, TypeError) as error:
            raise ValueError(f"`path` must be a complete attention record. Received: {path} ({error})") from error

    def header(self) -> dict:
        """What of a record is not an array, JSON-ready."""
        layout = self.token_layout
        return {
            "step": int(self.step),
            "class_names": list(self.class_names),
            "addresses": list(self.weights),
            "pooling": self.pooling,
            "patch_size": [int(size) for size in self.patch_size],
            "token_layout": {
                "grid_height": layout.grid_height,
                "grid_width": layout.grid_width,
                "num_prefix_tokens": layout.num_prefix_tokens,
            },
            "verdicts": [list(verdict) for verdict in self.verdicts],
            "targets": list(self.targets),
            "trust": self.trust and self.trust.to_json(),
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of a record by the names they have in its file."""
        known = {name: getattr(self, name) for name in _ARRAYS if getattr(self, name) is not None}
        return known | numbered("weights", self.weights.values()) | named("map", self.maps)

    @classmethod
    def from_parts(cls, header: dict, arrays: dict[str, np.ndarray]) -> AttentionRecord:
        """The record of a `header()` and its `arrays()`."""
        # Imported here: the pure functions of this room load without Keras.
        from vitcross.layers.token_layout import TokenLayout

        return cls(
            step=header["step"],
            class_names=tuple(header["class_names"]),
            weights={address: arrays[f"weights_{i:03d}"] for i, address in enumerate(header["addresses"])},
            token_layout=TokenLayout(**header["token_layout"]),
            pooling=header["pooling"],
            patch_size=tuple(header["patch_size"]),
            # Records of an older program have none.
            verdicts=tuple(Verdict(*verdict) for verdict in header.get("verdicts", [])),
            maps=names_of("map", arrays),
            targets=tuple(header.get("targets", [])),
            trust=TrustReport.from_json(header["trust"]) if header.get("trust") else None,
            **{name: arrays.get(name) for name in _ARRAYS},
        )


def examples_within(record, weights: dict[str, np.ndarray], megabytes: float) -> int:
    """How many of a record's first examples fit into `megabytes` of weights, at least one."""
    per_example = sum(w[:1].nbytes for w in weights.values()) / 2**20
    return max(1, min(len(record.images), int(megabytes // per_example)))


def verdict(record: AttentionRecord, example: int) -> Verdict:
    """What the model says, with its probability where it names a class, what is true, and whether it is right."""
    if record.verdicts:
        return record.verdicts[example]
    predicted = int(record.predictions[example])
    said = f"{record.class_name(predicted)} {percent(float(record.probabilities[example, predicted]))}"
    if record.labels is None or record.labels[example] < 0:
        return Verdict(said)
    label = int(record.labels[example])
    right = label == predicted
    return Verdict(said, "right" if right else f"true: {record.class_name(label)}", right)


def captions(record: AttentionRecord) -> list[str]:
    """One line for every example: number, prediction, probability, truth."""
    rows = (verdict(record, i)[:2] for i in range(len(record.images)))
    return [f"{i + 1}: {said}" + (f" ({truth})" if truth else "") for i, (said, truth) in enumerate(rows)]
