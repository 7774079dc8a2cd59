"""Adds the position of each patch to its token.
Learned positions, one per patch and one per prefix token that has one ("An Image is Worth 16x16 Words", arXiv
2010.11929, equation 1 and appendix D.4; resampled for other grids, section 3.2), or a fixed 2-D sine-cosine table
("Better plain ViT baselines for ImageNet-1k", arXiv 2205.01580, `posemb_sincos_2d` of big_vision).

Shapes: B batch, gh gw patch grid, P = gh gw patches, R prefix positions, D embed_dim.
"""

import keras
import numpy as np
from keras import ops

from vitcross.height_and_width import height_and_width
from vitcross.layers.initializers import token_initializer
from vitcross.layers.resampling import RESAMPLING_METHODS, resampling_matrix

POSITION_EMBEDDINGS = ("learned", "sincos2d")


def sincos2d_table(grid_height: int, grid_width: int, embed_dim: int, temperature: float = 10000.0) -> np.ndarray:
    """float64 (P, D): sin and cos of the column, then of the row, at D / 4 frequencies 1 .. 1 / temperature.

    Raises:
        ValueError: D is no multiple of 4 that is at least 8.
    """
    if embed_dim % 4 or embed_dim < 8:
        raise ValueError(f"expected a multiple of 4, at least 8, for sincos2d. Received: embed_dim={embed_dim}")
    rows, columns = np.mgrid[:grid_height, :grid_width]
    frequencies = temperature ** -(np.arange(embed_dim // 4) / (embed_dim // 4 - 1))
    column_angles = columns.reshape(-1, 1) * frequencies
    row_angles = rows.reshape(-1, 1) * frequencies
    parts = [np.sin(column_angles), np.cos(column_angles), np.sin(row_angles), np.cos(row_angles)]
    return np.concatenate(parts, axis=1)


@keras.saving.register_keras_serializable(package="vitcross")
class PositionEmbedding(keras.layers.Layer):
    """Adds a position to each token; resampled when the grid is not the one it was made for.

    Args:
        grid: (gh, gw) that the positions are made for.
        method: "learned" or "sincos2d". Default "learned".
        num_prefix_positions: int, tokens before the patches: positions of their own, zeros with sincos2d. Default 0.
        interpolation: "bicubic" or "bilinear" (antialiased), for other grids. Default "bicubic".

    Call arguments:
        tokens: (B, R + P, D).
        grid: (gh, gw) of these tokens, or None for the grid it was made for.

    Returns:
        (B, R + P, D).

    Raises:
        ValueError: unknown method or interpolation, or a number of tokens that does not fit the grid.
    """

    def __init__(
        self,
        *,
        grid,
        method: str = "learned",
        num_prefix_positions: int = 0,
        interpolation: str = "bicubic",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if method not in POSITION_EMBEDDINGS:
            raise ValueError(f"expected one of {POSITION_EMBEDDINGS}. Received: method={method!r}")
        if interpolation not in RESAMPLING_METHODS:
            raise ValueError(f"expected one of {RESAMPLING_METHODS}. Received: interpolation={interpolation!r}")
        self.grid = height_and_width(grid, "grid")
        self.method = method
        self.num_prefix_positions = num_prefix_positions
        self.interpolation = interpolation

    def build(self, tokens_shape):
        embed_dim = tokens_shape[-1]
        num_positions = self.num_prefix_positions + self.grid[0] * self.grid[1]
        if self.method == "learned":
            self.embeddings = self.add_weight(
                shape=(num_positions, embed_dim), initializer=token_initializer(), name="embeddings"
            )
        else:
            prefix = np.zeros((self.num_prefix_positions, embed_dim))
            self.table = np.concatenate([prefix, sincos2d_table(*self.grid, embed_dim)])

    def call(self, tokens, grid=None):
        grid = self.grid if grid is None else tuple(grid)
        expected = self.num_prefix_positions + grid[0] * grid[1]
        if tokens.shape[1] != expected:
            raise ValueError(
                f"expected {expected} tokens ({self.num_prefix_positions} prefix, grid {grid[0]} x {grid[1]}). "
                f"Received: tokens of shape {tuple(tokens.shape)}"
            )
        return tokens + ops.cast(self.positions(grid), tokens.dtype)

    def compute_output_shape(self, tokens_shape):
        # Stated, because JAX's symbolic trace would make the grid's numbers tensors.
        return tokens_shape

    def positions(self, grid):
        """The positions (R + P, D) for `grid`, resampled if it is not the one they were made for."""
        stored = self.embeddings if self.method == "learned" else ops.convert_to_tensor(self.table, self.variable_dtype)
        if tuple(grid) == self.grid:
            return stored
        stored = ops.convert_to_tensor(stored)
        prefix_RD, patches_PD = stored[: self.num_prefix_positions], stored[self.num_prefix_positions :]
        embed_dim = stored.shape[-1]
        rows, columns = (
            ops.cast(resampling_matrix(source, target, self.interpolation), stored.dtype)
            for source, target in zip(self.grid, grid, strict=True)
        )
        by_row = ops.matmul(rows, ops.reshape(patches_PD, (self.grid[0], self.grid[1] * embed_dim)))
        by_column = ops.matmul(columns, ops.reshape(by_row, (grid[0], self.grid[1], embed_dim)))
        return ops.concatenate([prefix_RD, ops.reshape(by_column, (grid[0] * grid[1], embed_dim))], axis=0)

    def get_config(self):
        return {
            **super().get_config(),
            "grid": self.grid,
            "method": self.method,
            "num_prefix_positions": self.num_prefix_positions,
            "interpolation": self.interpolation,
        }
