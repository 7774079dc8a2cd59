"""Measures whether the maps of a model can be trusted: fidelity beside its baselines, and model randomization.

Shape legend: B examples, P patches.
"""

from __future__ import annotations

import time

import numpy as np

from vitcross import metric_keys
from vitcross.attention_maps.records.trust_report import TrustReport, effort_words
from vitcross.attention_maps.trust.deletion_insertion import kept_counts
from vitcross.attention_maps.trust.fidelity import (
    LEAVE_ONE_OUT,
    baseline,
    fidelity,
    leave_one_out,
    measure,
    plan,
    planned_runs,
)
from vitcross.attention_maps.trust.fidelity import probe_fidelity as probe_rows
from vitcross.attention_maps.trust.model_randomization import model_randomization
from vitcross.attention_maps.trust.portions import valid_rows
from vitcross.attention_maps.trust.significance import explainable
from vitcross.attention_maps.trust.token_scores import TokenScorer

# Chosen for training: coarse curves of many examples decide better than fine curves of few.
NUM_STEPS = 4
NUM_RANDOM = 3
PORTION = 64


class Trust:
    """Measures the maps of one model; it can be called repeatedly and compiles the model only once.

    It runs the model in inference mode and touches neither variables nor random state. Draws depend only on `seed` and
    an example's place in its batch: they are the same at every capture, for all methods and any size of portions.

    Args:
        model: built model that implements `Explainable`.
        num_steps: int, points of a curve after its first; None: one for each patch, which is exact.
        num_random: int, random orders of every example.
        other: bool, measure another image's map of every method too.
        reference: bool, also compute leave-one-token-out where `maps` hold none (P passes of the network per image);
            a call can override it.
        portion: int, examples at a time.
        seed: int.
        scorer: `TokenScorer` of the model, or a `PixelScorer`; None: tokens are dropped.

    Call arguments:
        batch: dict of arrays, the batch contract; rows with `valid` False are left out.
        maps: dict method -> (B, P) of the valid rows, larger = more important.
        target: (B,) int, class, answer, or position of the explained token; None: the top prediction, of a caption the
            last token before its end. Ignored for a dual encoder.
        fresh_maps: dict method -> (B, P), likewise of a randomized model (`model_randomization.py`).
        step: int, optimizer steps taken.
        reference: bool or None, as above, for this call.
        progress: callable or None, called after every pass with the share of this measurement that is done, in (0, 1].

    Returns:
        TrustReport, its `grounding`, `probes`, `splits` and `measured` empty.
    """

    def __init__(
        self,
        model,
        *,
        num_steps: int | None = NUM_STEPS,
        num_random: int = NUM_RANDOM,
        other: bool = True,
        reference: bool = True,
        portion: int = PORTION,
        seed: int = 0,
        scorer: TokenScorer | None = None,
    ):
        self.scorer = TokenScorer(model) if scorer is None else scorer
        self.num_steps, self.num_random, self.other = num_steps, num_random, other
        self.reference, self.portion, self.seed = reference, portion, seed

    def __call__(self, batch, maps, target=None, **options) -> TrustReport:
        return self.measure(batch, maps, target, **options)[0]

    def measure(
        self,
        batch,
        maps,
        target=None,
        *,
        fresh_maps=None,
        step: int = 0,
        reference: bool | None = None,
        progress=None,
    ):
        """As `__call__`, but returns `(report, maps, curves)`: the maps include leave-one-token-out."""
        began = time.perf_counter()
        reference = self.reference if reference is None else reference
        reference = reference and LEAVE_ONE_OUT not in maps
        batch, target = valid_rows(batch, target)
        runs = self.planned_runs(batch, len(maps) + reference, reference)
        portions, maps = self._prepare(batch, maps, target, reference, progress and self._meter(batch, runs, progress))
        curves = self._curves(portions, maps, self.other)
        random = baseline(curves)
        report = TrustReport(
            step=int(step),
            examples=len(portions),
            explainable=int(explainable(random.full, random.single).sum()),
            random_deletion=float(random.deletion.mean()),
            random_insertion=float(random.insertion.mean()),
            fidelity=fidelity(curves, seed=self.seed),
            sanity=model_randomization(maps, fresh_maps or {}),
            seconds=time.perf_counter() - began,
            runs=runs.total() + 1,
            steps=len(next(iter(curves.values())).counts) - 1,
            patches=portions.layout.num_patches,
        )
        return report, maps, curves

    def planned_runs(self, batch, num_methods: int, reference: bool = True):
        """As of `fidelity.planned_runs`, for a batch and so many methods, leave-one-token-out among them."""
        other = self.other and self._num_images(batch) > 1
        num_orders = num_methods * (1 + other) + 1 + self.num_random
        return planned_runs(self._layout(batch).num_patches, num_orders, self.num_steps, reference)

    def effort(self, batch, num_methods: int) -> str:
        """As of `TrustReport`, before measuring; leave-one-token-out is one of the methods."""
        patches = self._layout(batch).num_patches
        runs = self.planned_runs(batch, num_methods).total() + 1
        return effort_words(runs, len(kept_counts(patches, self.num_steps)) - 1, patches)

    def tokens(self, batch, runs) -> int:
        """Tokens that `planned_runs` of a batch compute, a measure of their time."""
        layout = self._layout(batch)
        return self._num_images(batch) * sum(n * self.scorer.tokens(layout, kept) for kept, n in runs.items())

    def probes(self, batch, maps, target=None):
        """method -> one ProbeFidelity per valid image, as `TrustReport.probes`; a dual encoder chooses among the
        texts of this batch."""
        portions, maps = self._prepare(batch, maps, target, reference=False)
        return probe_rows(self._curves(portions, maps, other=False))

    def leave_one_out(self, batch, target=None) -> np.ndarray:
        """(B, P) float32, the map `"leave_one_out"` of the valid images of a batch."""
        return leave_one_out(self._prepare(batch, {}, target, reference=False)[0])

    def _meter(self, batch, runs, progress):
        """`on_rows` of `Portions` that tells the share of the tokens that are done."""
        layout, total, done = self._layout(batch), self.tokens(batch, runs), 0

        def on_rows(rows, kept):
            nonlocal done
            done += rows * self.scorer.tokens(layout, kept)
            progress(done / total)

        return on_rows

    def _num_images(self, batch) -> int:
        return len(batch[self.scorer.image_key])

    def _layout(self, batch):
        return self.scorer.model.token_layout_for(tuple(batch[self.scorer.image_key].shape[1:3]))

    def _curves(self, portions, maps, other: bool):
        if not maps:
            raise ValueError("`maps` must hold at least one method. Received: none")
        orders = plan(maps, portions.layout.grid, num_random=self.num_random, other=other, seed=self.seed)
        return measure(portions, orders, num_steps=self.num_steps)

    def _prepare(self, batch, maps, target, reference: bool, on_rows=None):
        batch, target = valid_rows(batch, target)
        portions = self.scorer.portions(batch, target, self.portion)
        portions.on_rows = on_rows
        maps = {method: np.asarray(m) for method, m in maps.items()}
        num_patches = portions.layout.num_patches
        for method, array in maps.items():
            if array.shape != (len(portions), num_patches):
                raise ValueError(
                    f"`maps[{method!r}]` must have the shape ({len(portions)}, {num_patches}), a row for every valid "
                    f"image. Received: shape {array.shape}"
                )
        if reference and LEAVE_ONE_OUT not in maps:
            maps[LEAVE_ONE_OUT] = leave_one_out(portions)
        known = [method for method in metric_keys.METHODS if method in maps]
        return portions, {method: maps[method] for method in [*known, *(m for m in maps if m not in known)]}


def trust(model, batch, maps, target=None, *, fresh_maps=None, step: int = 0, **options) -> TrustReport:
    """Measures one report, with the arguments of `Trust` and of its `__call__`; for several, keep a `Trust`."""
    return Trust(model, **options)(batch, maps, target, fresh_maps=fresh_maps, step=step)


def trust_scalars(report: TrustReport) -> dict[str, float]:
    """The finite numbers of a report by the dashboard's keys, `trust/<method>/gap` and so on."""
    values = {
        metric_keys.trust("examples"): report.examples,
        metric_keys.trust("explainable"): report.explainable,
        metric_keys.trust("random", "deletion"): report.random_deletion,
        metric_keys.trust("random", "insertion"): report.random_insertion,
    }
    names = ("deletion", "insertion", "gap", "gap_low", "gap_high", "gap_share", "verdict")
    for method, row in report.fidelity.items():
        values |= {metric_keys.trust(method, name): getattr(row, name) for name in names}
    values |= {metric_keys.trust(method, "sanity"): value for method, value in report.sanity.items()}
    for method, row in report.grounding.items():
        values |= {metric_keys.grounding(method, name): value for name, value in row.items()}
    return {key: float(value) for key, value in values.items() if value is not None and np.isfinite(value)}
