"""Which curves the gallery draws: a figure for each row of `metric_keys.KEYS` that is drawn, section by section."""

from __future__ import annotations

import dataclasses
import re

from vitcross.metric_keys import KEYS, MetricKey
from vitcross.pages.svg_charts import MAX_SERIES

# The table of methods above the curves holds the newest numbers of these.
IN_THE_TABLE = ("verdict", "deletion", "insertion", "gap_share", "{examples,explainable}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chart:
    """One figure of curves.

    Args:
        title, meaning: str, what it shows and how it is read.
        series: tuple of (label, key). A key with `*` stands for all keys that fit, each a series; `{}` in its label is
            what the star stands for.
        band: (low, high) or None: last parts of the keys that bound a series, beside the key of the series.
        reference: float, or a key whose last value it is, or None: a dashed level.
    """

    title: str
    series: tuple[tuple[str, str], ...]
    meaning: str = ""
    band: tuple[str, str] | None = None
    reference: float | str | None = None


def chart_of(row: MetricKey) -> Chart:
    """The figure of a row."""
    series = [("{}" if "<" in key else label, _starred(key)) for key, label in row.curves.items()]
    layers = "; band: layers" if row.band == ("min", "max") else ""
    chance = "; dashed: chance" if row.reference == "chance" else ""
    return Chart(
        title=row.title,
        meaning=f"{row.meaning}{layers}{chance}",
        # Of what an open name stands for, `charts` takes some itself; its first key is that of validation.
        series=tuple(series[: 1 if "<" in row.pattern else MAX_SERIES]),
        band=row.band or None,
        reference=_starred(f"{row.head}{row.reference}") if isinstance(row.reference, str) else row.reference,
    )


def _starred(key: str) -> str:
    return re.sub(r"\{[^}]*\}|<[^>]*>", "*", key)


def _charts(section: str) -> tuple[Chart, ...]:
    rows = (row for row in KEYS if row.section == section and not row.not_drawn)
    return tuple(chart_of(row) for row in rows if row.last not in IN_THE_TABLE)


TRUST, HEALTH, TRAINING = _charts("trust"), _charts("health"), _charts("training")
