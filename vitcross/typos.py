"""Answers a typo with the valid names that are nearest to it. Upper and lower case do not matter."""

import difflib


def nearest_names(wanted, known, most=3, cutoff=0.5):
    """Up to `most` of the `known` names, the nearest first; `cutoff` in [0, 1] is the least likeness."""
    folded = {name.casefold(): name for name in reversed(list(known))}
    return [folded[name] for name in difflib.get_close_matches(wanted.casefold(), folded, n=most, cutoff=cutoff)]


def did_you_mean(wanted, known):
    """` Did you mean 'x'?`, or nothing where no known name is near."""
    close = nearest_names(wanted, known, most=1)
    return f" Did you mean '{close[0]}'?" if close else ""


def offer(wanted, known, most=5):
    """The nearest of the `known` names first, and as many others as are read at a glance."""
    shown = list(dict.fromkeys([*nearest_names(wanted, known, most), *known]))[:most]
    more = len(known) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
