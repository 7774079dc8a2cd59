"""Measures trust exactly, for a finished run: with a point per patch, the perturbation test and blurred pixels.

Positive perturbation drops the most important tokens first, negative perturbation the least important. Each curve is
the share of examples whose top prediction is still the target (Chefer, Gur & Wolf, "Transformer Interpretability Beyond
Attention Visualization", 2021, arXiv 2012.09838, section 4); with a faithful map the first falls early, the other late.

Shape legend: B examples, P patches, K points of a curve.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from vitcross.attention_maps.records.trust_report import Fidelity, TrustReport
from vitcross.attention_maps.trust.deletion_insertion import area
from vitcross.attention_maps.trust.fidelity import CENTER, LEAVE_ONE_OUT, RANDOM, Curves, fidelity
from vitcross.attention_maps.trust.head_importance import HeadImportance, head_importance
from vitcross.attention_maps.trust.pixel_scores import PixelScorer
from vitcross.attention_maps.trust.trust import PORTION, Trust


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class MeanCurves:
    """Curves (K,) of one method or baseline, mean over examples.

    Fields:
        kept: share of the patches that are kept, ascending, in (0, 1].
        deletion, insertion: score of the target, keeping the least, respectively the most important ones.
        positive, negative: share of examples whose top prediction is still the target, likewise.
    """

    kept: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray
    positive: np.ndarray
    negative: np.ndarray

    @property
    def perturbation(self) -> tuple[float, float]:
        """Areas under `positive` (low is good) and `negative` (high is good)."""
        return float(area(self.kept, self.positive)), float(area(self.kept, self.negative))

    def to_json(self) -> dict:
        """JSON-ready."""
        curves = {field.name: getattr(self, field.name).tolist() for field in dataclasses.fields(self)}
        return curves | dict(zip(("positive_area", "negative_area"), self.perturbation, strict=True))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TrustEvaluation:
    """The measurements of a finished run.

    Fields:
        report: TrustReport, of dropped tokens.
        curves: name -> MeanCurves of every method, then `"center"` and `"random"`.
        blurred: method -> Fidelity with blurred pixels in the place of dropped tokens; empty where not measured.
        blurred_curves: as `curves`, with blurred pixels.
        heads: HeadImportance, or None where not measured.
        maps: method -> (B, P), leave-one-token-out among them; not in the JSON.
    """

    report: TrustReport
    curves: dict[str, MeanCurves]
    blurred: dict[str, Fidelity] = dataclasses.field(default_factory=dict)
    blurred_curves: dict[str, MeanCurves] = dataclasses.field(default_factory=dict)
    heads: HeadImportance | None = None
    maps: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict:
        """JSON-ready."""
        return {
            "report": self.report.to_json(),
            "curves": {name: c.to_json() for name, c in self.curves.items()},
            "blurred": {method: dataclasses.asdict(row) for method, row in self.blurred.items()},
            "blurred_curves": {name: c.to_json() for name, c in self.blurred_curves.items()},
            "heads": self.heads and self.heads.to_json(),
        }


def evaluate_trust(
    model,
    batch,
    maps,
    target=None,
    *,
    fresh_maps=None,
    step: int = 0,
    num_steps: int | None = None,
    num_random: int = 3,
    pixel_steps: int | None = 8,
    heads: bool = True,
    portion: int = PORTION,
    seed: int = 0,
    progress=None,
) -> TrustEvaluation:
    """Measures the maps of a finished run.

    Args:
        model, batch, maps, target, fresh_maps, step: as of `Trust`; leave-one-token-out is computed where `maps` hold
            none.
        num_steps: int, points of a curve after its first; None: one for each patch.
        num_random: int, random orders of every example.
        pixel_steps: int, points of the curves with blurred pixels, which cost more; None: no blurred pixels.
        heads: bool, also measure the importance of every head, closing each in turn.
        portion: int, examples at a time, which bounds memory.
        seed: int.
        progress: callable or None, called again and again with the share that is done, in (0, 1].
    """
    options = {"num_random": num_random, "portion": portion, "seed": seed}
    tokens = Trust(model, num_steps=num_steps, **options)
    pixels = pixel_steps and Trust(model, num_steps=pixel_steps, scorer=PixelScorer(model), **options)
    first, second = _stages(progress, tokens, pixels, batch, {*maps, LEAVE_ONE_OUT}, LEAVE_ONE_OUT not in maps)
    report, maps, curves = tokens.measure(batch, maps, target, fresh_maps=fresh_maps, step=step, progress=first)
    blurred = pixels.measure(batch, maps, target, progress=second)[2] if pixels else {}
    return TrustEvaluation(
        report=report,
        curves=mean_curves(curves),
        blurred=fidelity(blurred, seed=seed) if blurred else {},
        blurred_curves=mean_curves(blurred),
        heads=head_importance(model, batch, target, portion=portion) if heads else None,
        maps=maps,
    )


def _stages(progress, tokens: Trust, pixels: Trust | None, batch, methods, reference: bool):
    """`progress` of the two measurements, which share the whole as they share the tokens that they compute."""
    if progress is None or not pixels:
        return progress, None
    work = [tokens.tokens(batch, tokens.planned_runs(batch, len(methods), reference))]
    work.append(pixels.tokens(batch, pixels.planned_runs(batch, len(methods), False)))
    share = work[0] / sum(work)
    return lambda done: progress(share * done), lambda done: progress(share + (1 - share) * done)


def mean_curves(curves: dict[str, Curves]) -> dict[str, MeanCurves]:
    """The mean over examples of every method, of the center prior, and of all random orders together."""
    methods = [name for name in curves if "/" not in name and name != CENTER]
    groups = {name: [curves[name]] for name in [*methods, CENTER] if name in curves}
    groups[RANDOM] = [c for name, c in curves.items() if name.startswith(f"{RANDOM}/")]
    return {name: _mean(group) for name, group in groups.items() if group}


def _mean(group: list[Curves]) -> MeanCurves:
    def mean(name):
        return np.mean([getattr(c, name).mean(axis=0) for c in group], axis=0)

    counts = group[0].counts
    return MeanCurves(
        kept=counts / counts[-1],
        deletion=mean("deletion"),
        insertion=mean("insertion"),
        positive=mean("deletion_right"),
        negative=mean("insertion_right"),
    )
