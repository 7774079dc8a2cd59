"""What is measured of the maps of own images: of each its own numbers, and a verdict where they are enough.

Shape legend: B images, K classes, E width of the shared space.
"""

from __future__ import annotations

import dataclasses

from vitcross.attention_maps.methods.rollout import methods_of, read_map
from vitcross.attention_maps.trust.checks import MapEvaluation
from vitcross.attention_maps.trust.fidelity import LEAVE_ONE_OUT, probe_fidelity
from vitcross.attention_maps.trust.token_scores import TokenScorer
from vitcross.attention_maps.trust.trust import Trust, trust_scalars

# With fewer images no test can say at .01 that a gap is not chance: of 7, every sign is the same in 1 of 64 cases.
FEWEST = 8


class OwnChecks:
    """Measures the maps of own images, of which no truth is known, as often as it is called; compiled once.

    Args:
        network: built model.
        class_names: tuple of str, classes or answers.
        choices: (K, E) float32, where image and text are compared: embeddings of the classes that were chosen from.
            What is measured is the probability of the chosen one among all of them. None: the pair's own text among the
            distinct texts of a batch; where all have one text, its cosine.
    """

    def __init__(self, network, class_names=(), choices=None):
        self.network, self.class_names = network, tuple(class_names)
        self.trust = Trust(network, num_steps=None, scorer=TokenScorer(network, choices=choices))

    def __call__(
        self, record, batch, capture, *, step: int, target=None, trust: bool = True, exact: bool = True
    ) -> MapEvaluation:
        """As calling `MapEvaluator`; every patch is a step of the curves. The numbers are those of the record's own
        images, and with fewer than `FEWEST` of them there is no verdict.

        Args:
            target: what the maps explain, as of calling `Capture`.
        """
        maps = {method: read_map(record, method) for method in methods_of(record)}
        report, maps, curves = self.trust.measure(batch, maps, self._target(record, target), step=step)
        report = dataclasses.replace(
            report,
            fidelity=report.fidelity if report.examples >= FEWEST else {},
            probes=probe_fidelity(curves),
            same_images=True,
        )
        held = {**record.maps, LEAVE_ONE_OUT: maps[LEAVE_ONE_OUT]}
        record = dataclasses.replace(record, maps=held, trust=report)
        return MapEvaluation(record=record, scalars=trust_scalars(report))

    def _target(self, record, wanted):
        """(B,) int of what was explained; None: what the model says."""
        if self.network.predicts_next:
            return self.network.choose_target(wanted, texts=record.text.texts)[0]
        if wanted is None or self.network.num_choices is None:
            return None
        known = {"class_names": self.class_names, "size": len(record.images)}
        return self.network.choose_target(wanted, **known)[0]
