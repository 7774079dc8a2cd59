"""Measures the maps of unlabeled images: numbers for each image, and a verdict over all of them.

Shape legend: B images, K classes, E embedding size of the shared space.
"""

from __future__ import annotations

import dataclasses

from vitcross.attention_maps.methods.rollout import methods_of, read_map
from vitcross.attention_maps.trust.checks import MapEvaluation
from vitcross.attention_maps.trust.fidelity import LEAVE_ONE_OUT, probe_fidelity
from vitcross.attention_maps.trust.token_scores import TokenScorer
from vitcross.attention_maps.trust.trust import Trust, trust_scalars


class UnlabeledChecks:
    """Measures the maps of images without ground truth; it can be called repeatedly and compiles only once.

    Args:
        network: built model.
        class_names: tuple of str, classes or answers.
        choices: (K, E) float32, for a dual encoder: embeddings of the classes to choose from; the score is the
            probability of the chosen one. None: the probability of the pair's own text among the distinct texts of a
            batch; where there is only one text, its cosine.
        num_steps: int, points of a curve after its first; None: one for each patch.
    """

    def __init__(self, network, class_names=(), choices=None, num_steps: int | None = None):
        self.network, self.class_names = network, tuple(class_names)
        self.trust = Trust(network, num_steps=num_steps, scorer=TokenScorer(network, choices=choices))

    def __call__(self, record, batch, capture=None, *, step: int, target=None, progress=None) -> MapEvaluation:
        """As `MapEvaluator`, but on the record's own images.

        Args:
            target: what the maps explain, as `target` of `Capture`.
            progress: as of `Trust`.
        """
        maps = {method: read_map(record, method) for method in methods_of(record)}
        report, maps, curves = self.trust.measure(
            batch, maps, self._target(record, target), step=step, progress=progress
        )
        shown = (True,) * report.examples
        report = dataclasses.replace(report, probes=probe_fidelity(curves), measured=shown)
        held = {**record.maps, LEAVE_ONE_OUT: maps[LEAVE_ONE_OUT]}
        record = dataclasses.replace(record, maps=held, trust=report)
        return MapEvaluation(record=record, scalars=trust_scalars(report))

    def _target(self, record, wanted):
        """(B,) int, what was explained; None: the top prediction."""
        if self.network.predicts_next:
            return self.network.choose_target(wanted, texts=record.text.texts)[0]
        if wanted is None or self.network.num_choices is None:
            return None
        known = {"class_names": self.class_names, "size": len(record.images)}
        return self.network.choose_target(wanted, **known)[0]
