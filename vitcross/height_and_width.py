"""Reads a size that may be typed as one number or as a pair."""

from numbers import Integral


def height_and_width(size, name="image_size"):
    """An int stands for both sides: `n` or `(height, width)` as `(height, width)`, two ints.

    Raises:
        ValueError: unless both are whole numbers > 0; it calls the size `name`.
    """
    pair = (size, size) if isinstance(size, Integral) else tuple(size)
    if len(pair) != 2 or not all(isinstance(n, Integral) and not isinstance(n, bool) and n > 0 for n in pair):
        raise ValueError(f"`{name}` must be an int > 0 or a (height, width) pair of them. Received: {name}={size!r}")
    return int(pair[0]), int(pair[1])
