"""What is measured of the maps of own pictures: of each its own numbers, and a verdict where they are enough."""

from __future__ import annotations

import dataclasses

from vitcross.attention_maps.checks import Measured, image_of, with_probe_trust
from vitcross.attention_maps.reduce import methods_of, read_map
from vitcross.attention_maps.targets import choose_target, kind_of
from vitcross.attention_maps.trust import Trust, trust_scalars

# With fewer pictures no test can say at .01 that a gap is not chance: of 7, every sign is the same in 1 of 64 cases.
FEWEST = 8


class OwnChecks:
    """Measures the maps of own pictures, of which no truth is known.

    Args:
        network: built model.
        target: what the maps explain, as of calling `Capture`.
        class_names: tuple of str, classes or answers.
    """

    def __init__(self, network, target=None, class_names=()):
        self.network, self.target, self.class_names = network, target, tuple(class_names)
        self.trust = Trust(network, num_steps=None)

    def __call__(self, record, batch, capture, *, step: int, trust: bool = True, exact: bool = True) -> Measured:
        """As calling `MapChecks`; every patch is a step of the curves."""
        image = image_of(record)
        target = self._target(record)
        maps = {method: read_map(image, method) for method in methods_of(image)}
        report = self.trust(batch, maps, target, step=step)
        if report.examples < FEWEST:
            report = dataclasses.replace(report, fidelity={})
        record = with_probe_trust(self.trust, record, batch, report, target)
        return Measured(record=record, scalars=trust_scalars(report))

    def _target(self, record):
        """(B,) int of what was explained; None: what the model says."""
        if kind_of(self.network) == "captioner":
            return choose_target(self.network, self.target, texts=record.texts)[0]
        if self.target is None:
            return None
        size = len(record.images)
        return choose_target(self.network, self.target, class_names=self.class_names, size=size)[0]
