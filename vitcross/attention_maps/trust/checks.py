"""Measures the maps of a model while it trains: grounding at every capture, trust where requested.

Trust runs the network many times for each example.

Shape legend: B examples, P patches.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib

import numpy as np

from vitcross import metric_keys
from vitcross.attention_maps.capture.capture import Capture
from vitcross.attention_maps.methods.rollout import methods_of, read_map
from vitcross.attention_maps.records.label_part import targets_to_measure
from vitcross.attention_maps.records.trust_report import TrustReport
from vitcross.attention_maps.trust.evaluation_examples import Examples, examples_of, ground
from vitcross.attention_maps.trust.grounding import MEASURES
from vitcross.attention_maps.trust.model_randomization import randomized_model
from vitcross.attention_maps.trust.portions import portion_rows, portions, valid_rows
from vitcross.attention_maps.trust.trust import Trust, trust_scalars
from vitcross.attention_maps.trust.trust_evaluation import TrustEvaluation, evaluate_trust
from vitcross.attention_maps.trust.word_grounding import best_layer, mean_of_words


@dataclasses.dataclass(frozen=True, kw_only=True)
class MapEvaluation:
    """The results of `MapEvaluator` for one capture.

    Fields:
        record: the record of the probes, with trust and leave-one-out where these were measured.
        scalars: dict key -> float, as logged.
        note: str, how well words are grounded, for the sheets of words; may be empty.
        evaluation: TrustEvaluation, where `exact` was set.
    """

    record: object
    scalars: dict[str, float]
    note: str = ""
    evaluation: TrustEvaluation | None = None


class MapEvaluator:
    """Measures the maps of one model; it can be called repeatedly and compiles only once.

    Args:
        network: built model, the one whose captures are checked.
        batch: dict of NumPy arrays, examples to measure on, with `box` where it is known.
        texts: list of `ProbeText`, those of `batch`, for an image-text model, whose words are then grounded.
        labels: `ProbeLabels` of `batch`, for a model of several labels per image: of each example one of its labels is
            explained, drawn by `seed`, and of an example without any the most probable one.
        splits: sequence of str, the split of each example of `batch`; None: unknown.
        class_names: tuple of str.
        portion: int, examples per forward pass; as many as there are probes, so that one shape is compiled.
        seed: int, of all draws; the randomized model has `seed + 1`.
        trust: `Trust` of this network; None: a new one.
        num_steps: int, points of the curves of an evaluation (`exact`) after their first; None: one for each patch.
        progress: callable or None, called during an evaluation with the share of it that is done, in (0, 1].

    Attributes:
        splits: split -> number of valid examples; empty where unknown.

    Raises:
        ValueError: image-text examples without their texts.
    """

    def __init__(
        self,
        network,
        batch,
        *,
        texts=None,
        labels=None,
        splits=None,
        class_names=(),
        portion=8,
        seed=0,
        trust: Trust | None = None,
        num_steps: int | None = None,
        progress=None,
    ):
        self.network, self.batch, self.texts, self.class_names = network, batch, texts, tuple(class_names)
        self.labels, self.portion, self.seed = labels, portion, seed
        self.trust = trust or Trust(network, seed=seed)
        self.of_evaluation = {"num_steps": num_steps, "progress": progress, "seed": seed}
        self._of_labels = None
        if network.multilabel:
            self._of_labels = targets_to_measure(batch["labels"], batch["index"], seed)
        self._fresh: dict[str, np.ndarray] = {}
        self._size = len(batch[network.batch_keys[0]])
        valid = np.asarray(batch.get("valid", np.ones(self._size)), bool)
        self.splits = dict(collections.Counter([] if splits is None else np.asarray(splits)[valid].tolist()))
        self._pixels = set(self._pixels_of(batch, valid))
        if network.words is not None and (texts is None or len(texts) != self._size):
            raise ValueError("`texts` must be one `ProbeText` for each example. Received: None, or another number")
        self._words_have_boxes = any(len(text.boxes) for text in texts or ())

    def __call__(
        self, record, probes, capture: Capture, *, step: int, trust: bool, reference: bool = True, exact: bool = False
    ) -> MapEvaluation:
        """Check the maps of one capture.

        Args:
            record: record of the probes, made by `capture`.
            probes: dict of arrays, the batch that the record shows.
            capture: `Capture` of this network, made with `explain=True`.
            step: int, optimizer steps taken.
            trust: bool, measure trust too.
            reference: bool, with `trust`: also compute leave-one-token-out, which takes most of the time.
            exact: bool, with `trust`: curves have a point for every patch; blurred pixels and the importance of heads
                are measured too.
        """
        found = self._examples(capture, step, explain=trust)
        words, maps, report, evaluation = mean_of_words(found.words), found.maps, None, None
        if trust:
            report, evaluation, maps = self._trust(found, step, reference, exact)
        grounded = {"grounding": ground(found, maps, found.masks), "grounding_mark": ground(found, maps, found.marks)}
        scalars = _scalars("grounding/words", words)
        for start, rows in grounded.items():
            scalars |= _scalars(start, rows)
        if report is not None:
            scalars |= trust_scalars(report)
            known = {"splits": self.splits, "measured": self.among(probes)}
            known["grounded"] = sum(mask is not None for mask in found.masks)
            report = dataclasses.replace(report, **grounded, **known)
            evaluation = evaluation and dataclasses.replace(evaluation, report=report)
            target = self._target(record.text and record.text.texts)
            record = with_probe_trust(self.trust, record, probes, report, target, reference)
        return MapEvaluation(record=record, scalars=scalars, note=best_layer(words), evaluation=evaluation)

    def among(self, batch) -> tuple[bool, ...]:
        """For each valid image of a batch, whether it is one of those that are measured.

        By their pixels: a pair may have the image of another one, and a file the content of another one.
        """
        return tuple(pixels in self._pixels for pixels in self._pixels_of(valid_rows(batch)[0]))

    def _examples(self, capture, step: int, explain: bool) -> Examples:
        # For a predicted text, every token would need its own pass, as would every label.
        every_token = not self.network.predicts_next and not self.network.multilabel
        query = {"explain": explain, "every_token": every_token}
        each = portion_rows(self._size, self.portion)
        portions_found = []
        for portion, rows in zip(portions(self.batch, self.portion), each, strict=True):
            texts = None if self.texts is None else [self.texts[row] for row in rows]
            if self.network.multilabel:
                target = [None if label < 0 else label for label in self._of_labels[rows]]
                query |= {"target": target, "labels": self.labels and self.labels.take(rows)}
            record = capture(portion, step=step, class_names=self.class_names, texts=texts, **query)
            # The target of an image-text model has maps only where it was explained.
            methods = methods_of(record) if explain or texts is None else ()
            portions_found.append(examples_of(record, methods, with_words=self._words_have_boxes))
        return Examples.joined(portions_found)

    def _trust(self, found: Examples, step: int, reference: bool, exact: bool):
        """`(report, evaluation, maps)` of all examples; the evaluation is None without `exact`, and the maps include
        leave-one-out where it was measured."""
        if not self._fresh:
            fresh = Capture(randomized_model(self.network, self.seed + 1), explain=True)
            self._fresh = self._examples(fresh, step, explain=True).maps
        target = self._of_labels if self.network.multilabel else self._target(self.texts)
        arguments, known = (self.batch, found.maps, target), {"fresh_maps": self._fresh, "step": step}
        if not exact:
            report, maps, _ = self.trust.measure(*arguments, **known, reference=reference)
            return report, None, maps
        evaluation = evaluate_trust(self.network, *arguments, **known, **self.of_evaluation)
        return evaluation.report, evaluation, evaluation.maps

    def _pixels_of(self, batch, rows=slice(None)) -> list[bytes]:
        """Bytes that identify the pixels of each image."""
        images = np.asarray(batch[self.network.batch_keys[0]])[rows]
        return [hashlib.sha256(np.ascontiguousarray(image)).digest() for image in images]

    def _target(self, texts):
        """(B,) the word that is explained, for a model that predicts text; None for others: the top prediction."""
        return self.network.choose_target(texts=texts)[0] if self.network.predicts_next else None


def with_probe_trust(trust: Trust, record, probes, report: TrustReport, target=None, reference: bool = True):
    """The record with the report, to which the numbers of each of the record's images are added.

    Args:
        trust: `Trust` of the record's network.
        record: AttentionRecord of a capture with `explain`.
        probes: dict of arrays, the batch that the record shows.
        report: TrustReport of the same network.
        target: (B,) int, what the maps explain; None: the top prediction.
        reference: bool, add the map `leave_one_out`.
    """
    added = {"leave_one_out": trust.leave_one_out(probes, target)} if reference else {}
    maps = {method: read_map(record, method) for method in methods_of(record)} | added
    report = dataclasses.replace(report, probes=trust.probes(probes, maps, target))
    return dataclasses.replace(record, maps=record.maps | added, trust=report)


def _scalars(of: str, rows: dict[str, dict]) -> dict[str, float]:
    values = {metric_keys.grounding(name, m, of): float(row[m]) for name, row in rows.items() for m in MEASURES}
    return {key: value for key, value in values.items() if np.isfinite(value)}
