"""Keeps names that run from right to left (Hebrew, Arabic) in their place in an English line."""

import unicodedata

LEFT_TO_RIGHT = "\u200e"  # a mark without width


def in_line(name: str) -> str:
    """A name as part of a line from left to right: the numbers beside it are not drawn into it, nor the line turned."""
    turned = any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in name)
    return f"{LEFT_TO_RIGHT}{name}{LEFT_TO_RIGHT}" if turned else name
