"""Formats times, metrics and tables for the console. Pure functions."""

import numbers

from vitcross.pages.numbers import padded_number
from vitcross.terminal import printable


def duration(seconds):
    """`0:07`, `3:20`, `1:02:05`."""
    minutes, seconds = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def metrics(values, prefix, limit):
    """`loss 0.5312  accuracy 0.8310`: at most `limit` of the values directly below `prefix`, loss first."""
    names = [key.removeprefix(prefix) for key in values if key.startswith(prefix)]
    names = sorted((name for name in names if "/" not in name), key=lambda name: name != "loss")
    return "  ".join(f"{name.replace('_', ' ')} {padded_number(values[prefix + name])}" for name in names[:limit])


def table(summary):
    """A summary as lines of two aligned columns; nested dicts become `outer/inner`, None is omitted."""
    rows = [(printable(key), value) for key, value in _flat(summary) if value is not None]
    width = max((len(key) for key, _ in rows), default=0)
    return [f"  {key:<{width}}  {_cell(value)}" for key, value in rows]


def _flat(summary, prefix=""):
    """Pairs of key and value of a nested dict, in its order."""
    for key, value in summary.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value


def _cell(value):
    return str(value) if isinstance(value, bool | str) or not isinstance(value, numbers.Real) else padded_number(value)
