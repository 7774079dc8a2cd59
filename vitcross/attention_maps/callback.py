"""Captures attention while a model trains and hands it to the sinks. Beside the training step, never inside it.

Shape legend: M captures, L blocks, N heads.
"""

from __future__ import annotations

import time

import keras
import numpy as np

from vitcross.attention_maps.capture import Capture
from vitcross.attention_maps.grounding import MEASURES, grounding
from vitcross.attention_maps.heat_map import heat_map_sheet
from vitcross.attention_maps.media import AttentionMedia
from vitcross.attention_maps.reduce import METHODS
from vitcross.attention_maps.sheets import Style, sheets
from vitcross.attention_maps.statistics import statistics
from vitcross.attention_maps.word_grounding import best_layer, word_grounding


class AttentionMaps(keras.callbacks.Callback):
    """Captures before the first step, at the given steps and at the end, always on the same pictures.

    It runs the network in inference mode, touches no variable and no random state: the losses with and without it are
    the same bits.

    Args:
        network: the built model whose attention is shown (inside the task, which `fit` trains).
        probes: dict of NumPy arrays, the batch that every capture shows.
        sink: object with `scalars(step, values)` and `media(step, media)`.
        steps: ints, optimizer steps at which to capture (`capture_steps`). Step 0 is captured only where training
            starts there; the last step of training is captured whether it is among them or not, and only once.
        class_names: tuple of str.
        grounding_batch: dict of NumPy arrays, for a classifier with `box`, or None: examples on which the maps are
            measured.
        style: Style of the sheets; None for the default.
        texts: list of `ProbeText`, those of the probes, for an image-text model; None for a classifier.
        says: callable or None: a batch of the probes' keys -> list of str or `Verdict`, what an image-text model says
            of each pair (a caption, an answer, a rank). Called at every capture.
        grounding_texts: list of `ProbeText`, those of `grounding_batch`: an image-text model is measured on the boxes
            of its words, and not at all where none has boxes.
        step: callable without arguments that returns the current optimizer step; None: the steps are counted from
            where the optimizer's counter stood when training began.

    Attributes:
        seconds: float, time spent here so far, sinks included.
        previous: record of the last capture, or None.
    """

    def __init__(
        self,
        *,
        network,
        probes,
        sink,
        steps,
        class_names=(),
        grounding_batch=None,
        style: Style | None = None,
        step=None,
        texts=None,
        says=None,
        grounding_texts=None,
    ):
        super().__init__()
        self.network, self.probes, self.sink, self.style = network, probes, sink, style or Style()
        self.class_names, self.grounding_batch = tuple(class_names), grounding_batch
        self.texts, self.says, self.grounding_texts = texts, says, grounding_texts
        if grounding_texts is not None and not any(b is not None for text in grounding_texts for b in text.word_boxes):
            self.grounding_batch = None  # real pictures: nobody knows what their words name
        self.pending = sorted({int(s) for s in steps})
        self.seconds = 0.0
        self.previous = None
        self._current_step = step
        self._step = 0
        self._history: list[tuple[int, dict[str, np.ndarray]]] = []
        self._capture = Capture(network)
        if len(probes["images"]) == 0:
            raise ValueError("`probes` must hold at least one picture. Received: 0")
        if grounding_batch is not None and texts is None and "box" not in grounding_batch:
            raise ValueError(f"`grounding_batch` must hold `box`. Received keys: {sorted(grounding_batch)}")
        if grounding_batch is not None and texts is not None and grounding_texts is None:
            raise ValueError("`grounding_texts` must be the texts of `grounding_batch`. Received: None")

    def on_train_begin(self, logs=None):
        self._step = self._current_step() if self._current_step else int(self.model.optimizer.iterations.value)
        # A run that goes on has captured its first step before it was interrupted.
        if self._step == 0:
            self.capture(0)
        self.pending = [s for s in self.pending if s > self._step]

    def on_train_batch_end(self, batch, logs=None):
        self._step = self._current_step() if self._current_step else self._step + 1
        if self.pending and self._step >= self.pending[0]:
            self.pending = [s for s in self.pending if s > self._step]
            self.capture(self._step)

    def on_train_end(self, logs=None):
        if self.previous is None or self.previous.step != self._step:
            self.capture(self._step)

    def capture(self, step: int) -> AttentionMedia:
        """Capture now, and hand scalars and media to the sink."""
        began = time.perf_counter()
        # On JAX the trained values live in the training loop; this writes them back to the variables.
        getattr(self.model, "jax_state_sync", lambda: None)()
        record = self._capture(self.probes, step=step, class_names=self.class_names, texts=self.texts, says=self.says)
        scalars, tables = statistics(record, self.previous)
        measured, note = self._ground(step)
        scalars |= measured
        self._history.append((step, tables))
        pictures = {**sheets(record, self.style, note), **self._heat_maps()}
        media = AttentionMedia(record=record, sheets=pictures, statistics=scalars, tables=tables)
        self.sink.scalars(step, scalars)
        self.sink.media(step, media)
        self.previous = record
        self.seconds += time.perf_counter() - began
        return media

    def _heat_maps(self):
        steps = [step for step, _ in self._history]
        return {
            f"attention_stats/{name}": heat_map_sheet(
                name, steps, [tables[name].mean(axis=1) for _, tables in self._history], self.style.colour_map
            )
            for name in self._history[-1][1]
        }

    def _ground(self, step: int) -> tuple[dict[str, float], str]:
        """Scalars of grounding, and what the sheets say of it; measured in portions of the probes' size: one compiled
        shape, bounded memory."""
        if self.grounding_batch is None:
            return {}, ""
        if self.grounding_texts is not None:
            found = word_grounding(self._grounding_records(step))
            return _scalars({f"words/{layer}": row for layer, row in found.items()}), best_layer(found)
        rows = {method: [] for method in METHODS}
        for record in self._grounding_records(step):
            for method, found in rows.items():
                found.append(grounding(record, method))
        means = {}
        for method, found in rows.items():
            found = [row for row in found if row]
            counts = [row["examples"] for row in found]
            if found:
                means[method] = {m: np.average([row[m] for row in found], weights=counts) for m in MEASURES}
        return _scalars(means), ""

    def _grounding_records(self, step: int):
        total, size = len(self.grounding_batch["images"]), len(self.probes["images"])
        for portion, rows in zip(portions(self.grounding_batch, size), portion_rows(total, size), strict=True):
            texts = None if self.grounding_texts is None else [self.grounding_texts[row] for row in rows]
            yield self._capture(portion, step=step, texts=texts)


def _scalars(means: dict[str, dict]) -> dict[str, float]:
    values = {f"grounding/{name}/{m}": float(row[m]) for name, row in means.items() for m in MEASURES}
    return {key: value for key, value in values.items() if np.isfinite(value)}


def portion_rows(total: int, size: int) -> list[np.ndarray]:
    """Rows of `total` examples in portions of `size`; the last portion is filled with repeats of the last row."""
    return [np.minimum(np.arange(start, start + size), total - 1) for start in range(0, total, size)]


def portions(batch, size: int):
    """A batch cut into portions of `size` examples; the last one is filled with repeats that are marked not valid."""
    total = len(batch["images"])
    valid = np.asarray(batch.get("valid", np.ones(total, bool)), bool)
    for number, rows in enumerate(portion_rows(total, size)):
        portion = {key: np.asarray(value)[rows] for key, value in batch.items()}
        yield {**portion, "valid": valid[rows] & (number * size + np.arange(size) < total)}
