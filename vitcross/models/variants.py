"""Defines the named sizes of Vision Transformers, such as `Ti/16`: size, slash, patch size in pixels.
B and L: table 1 of "An Image is Worth 16x16 Words" (arXiv 2010.11929). Ti and S: table 1 of "Training data-efficient
image transformers" (DeiT, arXiv 2012.12877); both again in table 2 of "Scaling Vision Transformers" (arXiv
2106.04560). The hidden size of the MLP is 4 times embed_dim in all of them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    """The dimensions of one size."""

    embed_dim: int
    depth: int
    num_heads: int


VARIANTS = {
    "Ti": Variant(embed_dim=192, depth=12, num_heads=3),
    "S": Variant(embed_dim=384, depth=12, num_heads=6),
    "B": Variant(embed_dim=768, depth=12, num_heads=12),
    "L": Variant(embed_dim=1024, depth=24, num_heads=16),
}


def parse_variant(name: str) -> tuple[Variant, int]:
    """`"Ti/16"` -> (sizes, patch size in pixels).

    Raises:
        ValueError: no such size, or no positive patch size behind the slash.
    """
    size, _, patch = name.partition("/")
    if size not in VARIANTS or not patch.isdecimal() or int(patch) == 0:
        raise ValueError(
            f"expected a size of {', '.join(VARIANTS)} and a patch size, as 'Ti/16'. Received: variant={name!r}"
        )
    return VARIANTS[size], int(patch)
