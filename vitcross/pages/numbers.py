"""Numbers as people read them."""

import math


def number(value: float) -> str:
    """Three significant digits, no exponent for everyday sizes."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e4 else f"{value:.1e}"


def percent(share: float) -> str:
    """`97 %`; values that are not quite all or nothing never round to 100 or 0."""
    if 0.995 <= share < 1.0:
        return ">99 %"
    if 0.0 < share < 0.005:
        return "<1 %"
    return f"{100 * share:.0f} %"
