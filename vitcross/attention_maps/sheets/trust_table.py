"""Arranges the trust measurements of one capture as rows of a table: plain numbers and words, JSON-ready."""

from __future__ import annotations

import dataclasses

from vitcross.attention_maps.methods.rollout import meaning
from vitcross.attention_maps.records.trust_report import CANNOT_TELL, FOLLOWS, NO_BETTER, NOTHING, Fidelity, TrustReport
from vitcross.attention_maps.trust.significance import is_positive
from vitcross.metric_keys import METHODS

KINDS = {FOLLOWS: "follows", NO_BETTER: "random", NOTHING: "nothing", CANNOT_TELL: "unknown"}


def trust_table(report: TrustReport, held) -> dict:
    """The report with one row for each method, in the order in which they are shown.

    Args:
        report: TrustReport.
        held: methods whose maps the record holds.

    Returns:
        dict of the report's numbers; `methods`: rows with `method`, `name`, `meaning`, `kind` (of the verdict:
        `"follows"`, `"random"`, `"nothing"`, `"unknown"`), `words`, every field of its `Fidelity`, `sanity`,
        `pointing`, `chance`, `lift` on `grounded` examples, the same for a planted mark (`mark_lift`), and whether it
        is better than another image's map and the center (`beats_other`, `beats_center`; None where not tested);
        `probes`: method -> for each image `words` and `explainable`.
    """
    probes = {m: [{"words": p.words, "explainable": p.explainable} for p in rows] for m, rows in report.probes.items()}
    return {
        "step": report.step,
        "examples": report.examples,
        "explainable": report.explainable,
        "source": report.source,
        "random": {"deletion": report.random_deletion, "insertion": report.random_insertion},
        "methods": [_row(method, report, held) for method in METHODS if method in report.fidelity],
        "probes": probes,
    }


def reasons(rows: dict[str, Fidelity], name) -> list[str]:
    """One sentence for each distinct reason why a verdict is "cannot tell"; `name(method)` names a method."""
    methods: dict[str, list[str]] = {}
    for method, row in rows.items():
        if row.reason:
            methods.setdefault(row.reason, []).append(name(method))
    return [f"Cannot tell ({', '.join(names)}): {reason}." for reason, names in methods.items()]


def _row(method: str, report: TrustReport, held) -> dict:
    found = report.fidelity[method]
    grounding, mark = report.grounding.get(method, {}), report.grounding_mark.get(method, {})
    return {
        "method": method,
        "name": METHODS[method],
        "meaning": meaning(method, held),
        "kind": KINDS[found.verdict],
        "words": found.words,
        **dataclasses.asdict(found),
        "beats_other": is_positive(found.gap_other, found.p_other),
        "beats_center": is_positive(found.gap_center, found.p_center),
        "sanity": report.sanity.get(method),
        "grounded": report.grounded,
        **{measure: grounding.get(measure) for measure in ("pointing", "chance", "lift")},
        **{f"mark_{measure}": mark.get(measure) for measure in ("pointing", "chance", "lift")},
    }
