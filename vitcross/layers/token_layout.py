"""Describes where the patches are in a sequence of tokens, and owns all token <-> grid arithmetic.

Order of the tokens: `[prefix (class token, registers) | patches, row-major]`. Nothing else in the package may slice the
prefix away or reshape tokens into a grid. Pure Python; the arrays handed to it may be of any backend.

Shapes: B batch, P patches, T tokens (prefix + patches), gh gw rows and columns of the patch grid.
"""

from __future__ import annotations

from dataclasses import dataclass

from vitcross.height_and_width import height_and_width


@dataclass(frozen=True, kw_only=True)
class TokenLayout:
    """Grid of patches behind a number of prefix tokens.

    Args:
        grid_height: int, rows of the patch grid.
        grid_width: int, columns of the patch grid.
        num_prefix_tokens: int, tokens before the first patch (class token and registers). Default 0.

    Raises:
        ValueError: a grid side is not positive, or the prefix is negative.
    """

    grid_height: int
    grid_width: int
    num_prefix_tokens: int = 0

    def __post_init__(self):
        for name in ("grid_height", "grid_width"):
            if getattr(self, name) <= 0:
                raise ValueError(f"expected a positive integer. Received: {name}={getattr(self, name)}")
        if self.num_prefix_tokens < 0:
            raise ValueError(f"expected zero or more. Received: num_prefix_tokens={self.num_prefix_tokens}")

    @classmethod
    def from_image(cls, image_size, patch_size, *, num_prefix_tokens: int = 0, round_up: bool = False) -> TokenLayout:
        """The layout of an image of `image_size` pixels cut into patches of `patch_size`; both int or (height, width).

        `round_up=True` counts a cut-off patch at the lower or right edge (stems that pad); otherwise a size that does
        not divide raises ValueError.
        """
        image_pair, patch_pair = height_and_width(image_size), height_and_width(patch_size, "patch_size")
        for side, pixels, patch in zip(("height", "width"), image_pair, patch_pair, strict=True):
            if pixels % patch and not round_up:
                raise ValueError(
                    f"expected an image whose {side} is a multiple of the patch {side}. "
                    f"Received: image {side} {pixels}, patch {side} {patch}"
                )
        rows, columns = (-(-pixels // patch) for pixels, patch in zip(image_pair, patch_pair, strict=True))
        return cls(grid_height=rows, grid_width=columns, num_prefix_tokens=num_prefix_tokens)

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of the patch grid."""
        return self.grid_height, self.grid_width

    @property
    def num_patches(self) -> int:
        """P."""
        return self.grid_height * self.grid_width

    @property
    def num_tokens(self) -> int:
        """T, prefix and patches."""
        return self.num_prefix_tokens + self.num_patches

    def prefix(self, x, axis: int = -1):
        """The prefix tokens of `x` along `axis`, whose length counts prefix and patches."""
        return x[_slice_at(x, axis, slice(None, self.num_prefix_tokens))]

    def patches(self, x, axis: int = -1):
        """The patches of `x` along `axis`, whose length counts prefix and patches."""
        return x[_slice_at(x, axis, slice(self.num_prefix_tokens, None))]

    def to_grid(self, x):
        """`x` (..., P) or (..., T) as (..., gh, gw); a prefix is left out.

        Raises:
            ValueError: the last axis is neither P nor T long.
        """
        length = x.shape[-1]
        if length not in (self.num_patches, self.num_tokens):
            raise ValueError(
                f"expected a last axis of {self.num_patches} patches or {self.num_tokens} tokens. "
                f"Received: shape {tuple(x.shape)}"
            )
        patches = x if length == self.num_patches else self.patches(x)
        return patches.reshape((*patches.shape[:-1], self.grid_height, self.grid_width))


def _slice_at(x, axis: int, part: slice) -> tuple:
    """An index that takes `part` of `x` along `axis` and all of every other axis."""
    axis = axis % len(x.shape)
    return (slice(None),) * axis + (part,)
