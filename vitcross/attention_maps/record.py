"""What was captured, as one typed record of plain arrays, and its file.

Shape legend: B batch, H W C pixels, N heads, T query tokens, S key tokens, K classes.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
import zlib
from typing import TYPE_CHECKING

import numpy as np

from vitcross.atomic_files import replacing

if TYPE_CHECKING:
    from vitcross.layers.token_layout import TokenLayout

FORMAT = "vitcross attention record"
VERSION = 1
POOLINGS = ("cls", "gap", "map")
_ARRAYS = ("images", "labels", "probabilities", "example_index", "boxes", "token_norms")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AttentionRecord:
    """One capture of a vision transformer on a batch of pictures.

    Args:
        step: int, optimizer steps taken when the capture was made.
        images: (B, H, W, C) uint8, the de-normalised pixels that the model saw.
        probabilities: (B, K) float32, rows sum to 1.
        class_names: tuple of K str; empty where unknown.
        example_index: (B,) int64, position of each example in its split; -1 for own pictures.
        weights: dict address -> (B, N, T, S) float32 in [0, 1], in depth order: softmax output, before dropout,
            inference mode. Rows sum to 1 over valid keys.
        token_layout: TokenLayout, which tokens are patches and how they lie in the picture.
        pooling: `"cls"`, `"gap"` or `"map"`: how tokens become the vector that is classified.
        patch_size: (height, width) of a patch in pixels.
        token_norms: (B, T) float32, L2 norm of the output tokens before the final norm.
        labels: (B,) int32 or None.
        boxes: (B, 4) float32 or None, (y_min, x_min, y_max, x_max) in [0, 1] of the object that decides the label.

    Raises:
        ValueError: where shapes contradict each other or `pooling` is unknown.
    """

    step: int
    images: np.ndarray
    probabilities: np.ndarray
    class_names: tuple[str, ...]
    example_index: np.ndarray
    weights: dict[str, np.ndarray]
    token_layout: TokenLayout
    pooling: str
    patch_size: tuple[int, int]
    token_norms: np.ndarray
    labels: np.ndarray | None = None
    boxes: np.ndarray | None = None

    def __post_init__(self):
        if self.pooling not in POOLINGS:
            raise ValueError(f"`pooling` must be one of {', '.join(POOLINGS)}. Received: pooling={self.pooling!r}")
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise ValueError(
                "`images` must be uint8 of shape (B, H, W, C), de-normalised. "
                f"Received: {self.images.dtype} {self.images.shape}"
            )
        for name in _ARRAYS[1:]:
            self._check_batch(name, getattr(self, name))
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
        return dataclasses.replace(self, weights=weights, **{name: array[:count] for name, array in arrays.items()})

    def within(self, megabytes: float) -> AttentionRecord:
        """As many of the first examples as fit into `megabytes` of weights before compression, at least one.

        All weights of a large model are large: ViT-B/16 at 224 has 21 MiB an example.
        """
        per_example = sum(w[:1].nbytes for w in self.weights.values()) / 2**20
        return self.first(max(1, min(len(self.images), int(megabytes // per_example))))

    def save(self, path) -> None:
        """Write the record as one compressed `.npz`: complete under its name, or not there at all."""
        layout = self.token_layout
        header = {
            "format": FORMAT,
            "version": VERSION,
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
        }
        arrays = {name: getattr(self, name) for name in _ARRAYS if getattr(self, name) is not None}
        # Numbered members: an address may hold characters that a file inside a zip must not.
        arrays |= {f"weights_{i:03d}": weights for i, weights in enumerate(self.weights.values())}
        with replacing(path) as file:
            _write_arrays(file, {"header": np.array(json.dumps(header)), **arrays})

    @classmethod
    def load(cls, path) -> AttentionRecord:
        """Read a record written by `save`. Nothing is unpickled.

        Raises:
            ValueError: where the file is not such a record, is damaged, or is of a newer version.
        """
        # Imported here: the pure functions of this room load without Keras.
        from vitcross.layers.token_layout import TokenLayout

        try:
            with np.load(path, allow_pickle=False) as file:
                header = json.loads(str(file["header"]))
                if header["format"] != FORMAT or header["version"] > VERSION:
                    raise ValueError(f"format {header['format']!r}, version {header['version']}")
                arrays = {name: file.get(name) for name in _ARRAYS}
                weights = {address: file[f"weights_{i:03d}"] for i, address in enumerate(header["addresses"])}
        except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(
                f"`path` must be a complete attention record of version {VERSION} or older. Received: {path} ({error})"
            ) from error
        return cls(
            step=header["step"],
            class_names=tuple(header["class_names"]),
            weights=weights,
            token_layout=TokenLayout(**header["token_layout"]),
            pooling=header["pooling"],
            patch_size=tuple(header["patch_size"]),
            **arrays,
        )


def _write_arrays(file, arrays: dict[str, np.ndarray]) -> None:
    """`np.savez_compressed` at the lowest level: half the time, and the noise of float32 shrinks no further anyway."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            # A name alone gives the member a fixed date: equal records are equal bytes.
            with archive.open(name + ".npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
