"""Answers a typo with the valid names that are nearest to it. Upper and lower case do not matter."""

import difflib

LIKENESS = 0.6  # a hint that is further away is worse than none


def nearest_names(wanted, known, most=3, cutoff=LIKENESS):
    """Up to `most` of the `known` names, the nearest first; `cutoff` in [0, 1] is the least likeness. A name that goes
    on where the wanted one (of three letters or more) ends is near."""
    wanted = wanted.casefold()
    folded = {name.casefold(): name for name in reversed(list(known))}
    near = difflib.get_close_matches(wanted, folded, n=most, cutoff=cutoff)
    longer = sorted((name for name in folded if len(wanted) >= 3 and name.startswith(wanted)), key=len)
    return [folded[name] for name in dict.fromkeys([*near, *longer])][:most]


def did_you_mean(wanted, known):
    """` Did you mean 'x'?`, or nothing where no known name is near."""
    close = nearest_names(wanted, known, most=1)
    return f" Did you mean '{close[0]}'?" if close else ""


def offer(wanted, known, most=5):
    """The nearest of the `known` names first, and as many others as are read at a glance."""
    shown = list(dict.fromkeys([*nearest_names(wanted, known, most), *known]))[:most]
    more = len(known) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
