"""Names the splits of a data set as users do, and cuts off the training examples those that it lacks."""

import hashlib
import os

# The names of folders and splits, in upper or lower case.
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing"),
}


def check_shares(validation_share, test_share):
    """Raises ValueError unless both shares can be cut off, and something is validated on."""
    if not 0 < validation_share < 1 or not 0 <= test_share < 1 or validation_share + test_share >= 1:
        raise ValueError(
            "validation_share must be in (0, 1), test_share in [0, 1), their sum below 1. "
            f"Received: {validation_share} and {test_share}"
        )


def cut_missing(splits, shares, cut):
    """Adds to `splits`, a dict with `train`, those that it lacks, in place.

    Args:
        splits: dict of split to its examples.
        shares: dict of `validation` and `test` to a share of all training examples; 0: none is cut off.
        cut: function (examples, share, split) -> (rest, those that are cut off).
    """
    named = set(splits)
    for split, share in shares.items():
        if split not in named and share:
            # The share refers to all of the examples, of which validation may already have taken a part.
            taken = shares["validation"] if split == "test" and "validation" not in named else 0
            splits["train"], splits[split] = cut(splits["train"], share / (1 - taken), split)


def cut_by_class(pairs, share, seed):
    """Splits off `share` of each class, at least one and never all: (rest, cut), both in order.

    `pairs` are tuples that begin with the path and the class of an image.
    """
    by_class = {}
    for path, label, *_ in pairs:
        by_class.setdefault(label, []).append(path)
    cut = set()
    for label, paths in by_class.items():
        cut |= draw(paths, share, lambda path, label=label: os.fsencode(f"{seed}/{label}/{os.path.basename(path)}"))
    return [pair for pair in pairs if pair[0] not in cut], [pair for pair in pairs if pair[0] in cut]


def draw(items, share, key):
    """The set of `share` of the items, at least one and never all; the choice depends only on their keys (bytes)."""
    number = min(max(1, round(share * len(items))), len(items) - 1)
    return set(sorted(items, key=lambda item: hashlib.sha256(key(item)).digest())[:number])
