"""What is measured of the maps while a model trains, on examples of their own: do they point at the object (grounding),
do they point at what the model uses, and are they more than its architecture (trust)?

Grounding is measured at every capture, trust where it is asked for: it runs the network many times for each example.

Shape legend: B examples, P patches.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from vitcross.attention_maps.capture import Capture
from vitcross.attention_maps.grounding import MEASURES, grounding
from vitcross.attention_maps.portions import portion_rows, portions
from vitcross.attention_maps.reduce import METHODS, methods_of, read_map
from vitcross.attention_maps.sanity import fresh_model
from vitcross.attention_maps.targets import choose_target, kind_of
from vitcross.attention_maps.text_record import ImageTextRecord
from vitcross.attention_maps.trust import Trust, trust_scalars
from vitcross.attention_maps.trust_evaluation import TrustEvaluation, evaluate_trust
from vitcross.attention_maps.trust_report import TrustReport
from vitcross.attention_maps.word_grounding import best_layer, word_grounding


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """What `MapChecks` found at one capture.

    Fields:
        record: the record of the probes, with trust and leave-one-out where they were measured.
        scalars: dict key -> float, as logged.
        note: str, how well words are grounded, for the sheets of words; may be empty.
        evaluation: TrustEvaluation, where trust was measured exactly.
    """

    record: object
    scalars: dict[str, float]
    note: str = ""
    evaluation: TrustEvaluation | None = None


class MapChecks:
    """Measures the maps of one model, as often as it is called; everything is compiled once.

    Args:
        network: built model, the one whose captures are checked.
        batch: dict of NumPy arrays, examples to measure on, with `box` where it is known.
        texts: list of `ProbeText`, those of `batch`, for an image-text model; grounding is that of its words.
        class_names: tuple of str.
        portion: int, examples that a capture runs at a time: that of the probes, so that one shape is compiled.
        seed: int, of all draws, and one less than that of the freshly initialised model.
        trust: `Trust` or None: one of this network.

    Raises:
        ValueError: image-text examples without their texts.
    """

    def __init__(self, network, batch, *, texts=None, class_names=(), portion=8, seed=0, trust: Trust | None = None):
        self.network, self.batch, self.texts, self.class_names = network, batch, texts, tuple(class_names)
        self.portion, self.seed = portion, seed
        self.trust = trust or Trust(network, seed=seed)
        self._fresh: dict[str, np.ndarray] = {}
        if hasattr(network, "image_encoder") and (texts is None or len(texts) != len(batch["images"])):
            raise ValueError("`texts` must be one `ProbeText` for each example. Received: None, or another number")
        self._words_have_boxes = any(b is not None for text in texts or () for b in text.word_boxes)

    def __call__(
        self,
        record,
        probes,
        capture: Capture,
        *,
        step: int,
        trust: bool,
        reference: bool = True,
        exact: bool = False,
    ) -> Measured:
        """Check the maps of one capture.

        Args:
            record: what `capture` made of the probes.
            probes: dict of arrays, the batch that the record shows.
            capture: of this network, made with `explain=True`.
            step: int, optimizer steps taken.
            trust: bool, measure trust too.
            reference: bool, with `trust`: leave-one-token-out too, of the probes as well; it takes most of the time.
            exact: bool, with `trust`: every patch is a step of the curves, blurred pixels are measured too.
        """
        found = list(self._records(capture, step, explain=trust))
        rows, note = self._ground(found)
        scalars = _scalars("grounding/words" if self.texts is not None else "grounding", rows)
        if "mark_box" in self.batch:
            scalars |= _scalars("grounding_mark", _ground_pictures(found, "mark"))
        evaluation = None
        if trust:
            report, evaluation = self._trust(found, step, reference, exact)
            scalars |= trust_scalars(report)
            report = dataclasses.replace(report, grounding=_by_method(rows))
            target = self._target(record.texts) if isinstance(record, ImageTextRecord) else None
            record = with_probe_trust(self.trust, record, probes, report, target, reference)
        return Measured(record=record, scalars=scalars, note=note, evaluation=evaluation)

    def _records(self, capture, step: int, explain: bool):
        # Of a caption every token would need a pass of its own.
        wish = {"explain": explain, "every_token": kind_of(self.network) != "captioner"}
        each = portion_rows(len(self.batch["images"]), self.portion)
        for portion, rows in zip(portions(self.batch, self.portion), each, strict=True):
            texts = None if self.texts is None else [self.texts[row] for row in rows]
            yield capture(portion, step=step, class_names=self.class_names, texts=texts, **wish)

    def _ground(self, found) -> tuple[dict[str, dict], str]:
        """layer or method -> measures, and what the sheets of words say of it."""
        if self.texts is not None:
            rows = word_grounding(found) if self._words_have_boxes else {}
            return rows, best_layer(rows)
        return _ground_pictures(found, "object") if "box" in self.batch else {}, ""

    def _trust(self, found, step: int, reference: bool, exact: bool):
        """The report of all examples, and what `exact` adds to it, else None."""
        if not self._fresh:
            fresh = Capture(fresh_model(self.network, self.seed + 1), explain=True)
            self._fresh = _maps(list(self._records(fresh, step, explain=True)))
        arguments = (self.batch, _maps(found), self._target(self.texts))
        if not exact:
            return self.trust(*arguments, fresh_maps=self._fresh, step=step, reference=reference), None
        evaluation = evaluate_trust(self.network, *arguments, fresh_maps=self._fresh, step=step, seed=self.seed)
        return evaluation.report, evaluation

    def _target(self, texts):
        """What is explained: of a caption one of its words, else what the model says."""
        return choose_target(self.network, texts=texts)[0] if kind_of(self.network) == "captioner" else None


def with_probe_trust(trust: Trust, record, probes, report: TrustReport, target=None, reference: bool = True):
    """The record with a report that has the numbers of each of its pictures.

    Args:
        trust: of the record's network.
        record: AttentionRecord or ImageTextRecord of a capture that explained.
        probes: dict of arrays, the batch that the record shows.
        report: TrustReport of the same network.
        target: (B,) int, what the maps explain; None: what the model says.
        reference: bool, add the map `leave_one_out`.
    """
    image = image_of(record)
    added = {"leave_one_out": trust.leave_one_out(probes, target)} if reference else {}
    maps = {method: read_map(image, method) for method in methods_of(image)} | added
    report = dataclasses.replace(report, probes=trust.probes(probes, maps, target))
    held = image.maps | added
    return with_image(record, dataclasses.replace(image, maps=held, trust=report))


def image_of(record):
    """The record of the pictures, which an image-text record holds beside its texts."""
    return record.image if isinstance(record, ImageTextRecord) else record


def with_image(record, image):
    """The record with another record of its pictures."""
    return dataclasses.replace(record, image=image) if isinstance(record, ImageTextRecord) else image


def _maps(found) -> dict[str, np.ndarray]:
    """method -> (B, P) of all examples of some records."""
    images = [image_of(record) for record in found]
    return {m: np.concatenate([read_map(image, m) for image in images]) for m in methods_of(images[0])}


def _by_method(rows: dict[str, dict]) -> dict[str, dict[str, float]]:
    """Grounding as a report has it: of words raw attention is that of the last layer."""
    layers = sorted(name for name in rows if name.startswith("block_"))
    named = {"raw": rows[layers[-1]]} if layers else {}
    named |= {method: rows[method] for method in (*METHODS, "relevance", "leave_one_out") if method in rows}
    return {method: {m: float(row[m]) for m in MEASURES} for method, row in named.items()}


def _ground_pictures(found, of: str) -> dict[str, dict[str, float]]:
    """method -> measures, the mean over all examples of some records of pictures."""
    rows = {}
    for method in methods_of(found[0]):
        parts = [part for part in (grounding(record, method, of=of) for record in found) if part]
        if parts:
            counts = [part["examples"] for part in parts]
            rows[method] = {m: float(np.average([part[m] for part in parts], weights=counts)) for m in MEASURES}
    return rows


def _scalars(start: str, rows: dict[str, dict]) -> dict[str, float]:
    values = {f"{start}/{name}/{m}": float(row[m]) for name, row in rows.items() for m in MEASURES}
    return {key: value for key, value in values.items() if np.isfinite(value)}
