"""What was measured of the maps of one capture: can they be trusted? Plain numbers, JSON-ready, beside the record.

Definitions: `trust.py` (fidelity, sanity), `grounding.py`. Every number is a mean over the trust examples, which are
not the probes; `probes` has the numbers of the images that a capture shows.
"""

from __future__ import annotations

import dataclasses

FOLLOWS, NO_BETTER, NOTHING = 1, 0, -1
VERDICTS = {
    FOLLOWS: "follows the model",
    NO_BETTER: "no better than random",
    NOTHING: "nothing to explain",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fidelity:
    """Does dropping tokens in the map's order change what the model says? Of one method, mean over examples.

    Fields:
        deletion: area under the probability of the target while tokens leave, most important first; lower is better.
        insertion: the same while they enter, most important first; higher is better.
        gap: (insertion - deletion) minus the same of random orders.
        gap_low, gap_high: BCa bootstrap interval of `gap`, 99 % as the test's 1 %.
        p_value: of the sign-flip test that `gap` is 0.
        gap_other: (insertion - deletion) minus that of another image's map; p_other: of its sign-flip test. None
            where there is no other image.
        gap_center: the same against the center prior; p_center: of its test.
        gap_share: `gap` as a share of that of leave-one-token-out; None where that one is not positive.
        verdict: 1 follows the model, 0 no better than random, -1 nothing to explain.
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
    p_other: float | None = None
    p_center: float | None = None

    @property
    def words(self) -> str:
        """The verdict in words."""
        return VERDICTS[self.verdict]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeFidelity:
    """Fidelity of one map of one image: `deletion`, `insertion`, `gap` as in `Fidelity`; `explainable` is False where
    dropping tokens hardly changes what the model says (its `gap` then means nothing)."""

    deletion: float
    insertion: float
    gap: float
    explainable: bool

    @property
    def words(self) -> str:
        """What the number says of this one image; the method's verdict comes from many."""
        return f"gap {self.gap:+.2f}" if self.explainable else VERDICTS[NOTHING]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrustReport:
    """The checks beside the maps of one capture.

    Fields:
        step: int, optimizer steps taken.
        examples: int, how many were measured; explainable: int, of how many dropping tokens changes the answer.
        random_deletion, random_insertion: what random orders reach.
        fidelity: method ("raw", "rollout", "relevance", "leave_one_out") -> Fidelity.
        grounding: method -> {"pointing", "energy", "lift", "chance"} against the boxes of what is explained (the object
            that decides the class, what the explained word names); empty where no boxes are known.
        grounding_mark: the same against a planted mark; empty where there is none.
        sanity: method -> rank correlation in [-1, 1] with the map of a freshly initialized model of another seed; high:
            the map shows the architecture or the image, not what was learned. Empty where not measured.
        probes: method -> one ProbeFidelity for each image of the record; empty where not measured.
        same_images: bool, the examples are the record's own images, not others.
        seconds: float, what measuring took.
    """

    step: int
    examples: int
    explainable: int
    random_deletion: float
    random_insertion: float
    fidelity: dict[str, Fidelity]
    grounding: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    grounding_mark: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    sanity: dict[str, float] = dataclasses.field(default_factory=dict)
    probes: dict[str, tuple[ProbeFidelity, ...]] = dataclasses.field(default_factory=dict)
    same_images: bool = False
    seconds: float = 0.0

    PER_EXAMPLE = ("probes",)

    def to_json(self) -> dict:
        """JSON-ready; without the time it took, so that equal captures are equal bytes."""
        return {key: value for key, value in dataclasses.asdict(self).items() if key != "seconds"}

    @classmethod
    def from_json(cls, content: dict) -> TrustReport:
        """The report of a `to_json()`."""
        fidelity = {method: Fidelity(**row) for method, row in content["fidelity"].items()}
        probes = {m: tuple(ProbeFidelity(**row) for row in rows) for m, rows in content["probes"].items()}
        return cls(**{**content, "fidelity": fidelity, "probes": probes})
