"""Holds the trust measurements of one capture's maps as plain numbers, JSON-ready.

Definitions: `trust.py` (fidelity, sanity), `grounding.py`. Every number is a mean over the measured examples; `probes`
has the numbers of the images that a capture shows.
"""

from __future__ import annotations

import dataclasses
import math

FOLLOWS, NO_BETTER, NOTHING, CANNOT_TELL = 1, 0, -1, -2
VERDICTS = {
    FOLLOWS: "follows the model",
    NO_BETTER: "no better than random",
    NOTHING: "nothing to explain",
    CANNOT_TELL: "cannot tell",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fidelity:
    """Fidelity of one method, mean over examples: how dropping tokens in the map's order changes the target's score.

    Fields:
        deletion: area under the probability of the target while tokens are removed, most important first; lower is
            better.
        insertion: the same while they are added, most important first; higher is better.
        gap: (insertion - deletion) minus the same of random orders.
        gap_low, gap_high: 99 % BCa bootstrap interval of `gap`; NaN for a single example.
        p_value: of the sign-flip test that `gap` is 0.
        gap_other: (insertion - deletion) minus that of another image's map; p_other: of its sign-flip test. None
            where there is no other image.
        gap_center: the same against the center prior; p_center: of its test.
        gap_share: `gap` as a share of that of leave-one-token-out; None where the latter is not positive.
        verdict: 1 follows the model, 0 no better than random, -1 nothing to explain, -2 cannot tell.
        reason: why the verdict is "cannot tell"; empty for the others.
    """

    deletion: float
    insertion: float
    gap: float
    gap_low: float
    gap_high: float
    p_value: float
    gap_other: float | None
    gap_center: float
    gap_share: float | None
    verdict: int
    reason: str = ""
    p_other: float | None = None
    p_center: float | None = None

    @property
    def words(self) -> str:
        """The verdict in words."""
        return VERDICTS[self.verdict]

    @property
    def full_words(self) -> str:
        """The verdict in words, with the reason where it is "cannot tell"."""
        return f"{self.words} ({self.reason})" if self.reason else self.words

    def gap_words(self, digits: int = 2) -> str:
        """The gap with its interval, e.g. `+0.31 [+0.25, +0.37]`."""
        interval = f" [{self.gap_low:+.{digits}f}, {self.gap_high:+.{digits}f}]"
        return f"{self.gap:+.{digits}f}" + (interval if math.isfinite(self.gap_low) else "")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeFidelity:
    """Fidelity of one map of one image: `deletion`, `insertion`, `gap` as in `Fidelity`; `explainable` is False where
    dropping tokens hardly changes the score (its `gap` is then meaningless)."""

    deletion: float
    insertion: float
    gap: float
    explainable: bool

    @property
    def words(self) -> str:
        """The gap in words; one image alone gives no verdict."""
        return f"gap {self.gap:+.2f}" if self.explainable else VERDICTS[NOTHING]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrustReport:
    """The trust measurements of one capture's maps.

    Fields:
        step: int, optimizer steps taken.
        examples: int, how many were measured; explainable: int, for how many dropping tokens changes the answer.
        random_deletion, random_insertion: areas of random orders.
        fidelity: method ("raw", "rollout", "relevance", "leave_one_out") -> Fidelity.
        grounding: method -> {"pointing", "energy", "lift", "chance"} against the boxes of what is explained (the object
            that decides the class, what the explained word names); empty where no boxes are known.
        grounded: int, of how many examples such boxes (or masks) are known and cover half of a patch.
        grounding_mark: the same against a planted mark; empty where there is none.
        sanity: method -> rank correlation in [-1, 1] with the map of a randomized model; high: the map shows the
            architecture or the image, not what was learned. Empty where not measured.
        probes: method -> one ProbeFidelity for each image of the record; empty where not measured.
        splits: split -> how many of the examples are of it; empty where they are of none.
        measured: for each image of the record, whether it is one of the examples; empty where unknown.
        seconds: float, time that measuring took.
        runs: int, passes of the network for each example.
        steps: int, of each curve; patches: int, of an image. With patches - 1 steps the curves are exact, else coarse.
    """

    step: int
    examples: int
    explainable: int
    random_deletion: float
    random_insertion: float
    fidelity: dict[str, Fidelity]
    grounding: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    grounded: int = 0
    grounding_mark: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    sanity: dict[str, float] = dataclasses.field(default_factory=dict)
    probes: dict[str, tuple[ProbeFidelity, ...]] = dataclasses.field(default_factory=dict)
    splits: dict[str, int] = dataclasses.field(default_factory=dict)
    measured: tuple[bool, ...] = ()
    seconds: float = 0.0
    runs: int = 0
    steps: int = 0
    patches: int = 0

    PER_EXAMPLE = ("probes", "measured")

    @property
    def source(self) -> str:
        """Which examples were measured, and how many of the images shown are among them."""
        return source_words(self.examples, self.splits, self.measured)

    @property
    def effort(self) -> str:
        """What the numbers cost, in words."""
        return effort_words(self.runs, self.steps, self.patches)

    def to_json(self) -> dict:
        """JSON-ready; without `seconds`, so that equal captures give equal bytes."""
        return {key: value for key, value in dataclasses.asdict(self).items() if key != "seconds"}

    @classmethod
    def from_json(cls, content: dict) -> TrustReport:
        """The inverse of `to_json`."""
        fidelity = {method: Fidelity(**row) for method, row in content["fidelity"].items()}
        probes = {m: tuple(ProbeFidelity(**row) for row in rows) for m, rows in content["probes"].items()}
        return cls(**{**content, "fidelity": fidelity, "probes": probes, "measured": tuple(content["measured"])})


def source_words(examples: int, splits: dict[str, int], measured=()) -> str:
    """For example `6 validation and 24 training examples, all 4 images shown here among them`.

    Args:
        examples, splits: as in `TrustReport`.
        measured: bools, for each image that is shown whether it is one of the examples; empty where unknown.
    """
    names = [f"{count:,} {'training' if split == 'train' else split}" for split, count in splits.items()]
    whole = f"{' and '.join(names) or f'{examples:,}'} {'example' if examples == 1 else 'examples'}"
    shown, count = sum(measured), len(measured)
    if not count:
        return whole
    if not shown:
        return f"{whole}, none of them shown here"
    if shown == count == examples:
        return f"{whole}, the {'ones' if count > 1 else 'one'} shown here"
    if shown == count:
        return f"{whole}, {f'all {count} images' if count > 1 else 'the image'} shown here among them"
    return f"{whole}, {shown} of the {count} images shown here among them"


def effort_words(runs: int, steps: int, patches: int) -> str:
    """For example `257 network runs an image, coarse: 8 steps for 64 patches`; the arguments are fields of a report."""
    detail = f"coarse: {steps} steps for {patches} patches" if steps < patches - 1 else "a step for every patch"
    return f"{runs:,} network runs an image, {detail}"
