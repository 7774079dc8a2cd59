"""Formats numbers in one way for the console, the pages and the sheets."""

import math
import numbers


def number(value, digits: int = 3, *, padded: bool = False) -> str:
    """Some significant digits, thousands with commas: `0.531`, `1,210`, `5,717,416`, `1.2e-05`, `nan`.

    Args:
        value: int, float or a scalar of NumPy.
        digits: int, significant digits of numbers below 1000.
        padded: bool, write values between 0.001 and 10 with `digits` decimals, e.g. `0.5300`, for columns of numbers.
    """
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}"
    value = float(value)
    if padded and 0.001 <= abs(value) < 10:
        return f"{value:.{digits}f}"
    text = f"{value:.{digits}g}"
    return f"{value:,.0f}" if 1000 <= abs(float(text)) < 1e15 else text


def padded_number(value) -> str:
    """A number for columns of numbers, with four digits: `0.5300`."""
    return number(value, 4, padded=True)


def percent(share: float) -> str:
    """`97 %`; only exactly 1 and 0 become `100 %` and `0 %`."""
    if 0.995 <= share < 1.0:
        return ">99 %"
    if 0.0 < share < 0.005:
        return "<1 %"
    return f"{100 * share:.0f} %"


def is_number(value) -> bool:
    """Whether a value can be drawn: a finite int or float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
