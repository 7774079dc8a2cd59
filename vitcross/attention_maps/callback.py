"""Captures attention while a model trains and hands it to the sinks, outside the training step.

Shape legend: M captures, L blocks, N heads.
"""

from __future__ import annotations

import time

import keras
import numpy as np

from vitcross import metric_keys
from vitcross.attention_maps.capture.capture import Capture
from vitcross.attention_maps.methods.statistics import Earlier, statistics
from vitcross.attention_maps.records.run_captures import run_captures
from vitcross.attention_maps.sheets.animation import Frame, animation_gif, frame_of
from vitcross.attention_maps.sheets.heat_map import heat_map_sheet
from vitcross.attention_maps.sheets.media import AttentionMedia
from vitcross.attention_maps.sheets.sheets import Style, sheets
from vitcross.attention_maps.trust.checks import MapEvaluation, MapEvaluator
from vitcross.attention_maps.viewer import Viewer


class AttentionMaps(keras.callbacks.Callback):
    """Captures before the first step, at the given steps and at the end, always on the same images.

    It runs the network in inference mode and touches neither variables nor random state: the losses with and without it
    are equal to the last bit.

    Args:
        network: built model whose attention is shown (inside the task, which `fit` trains).
        probes: dict of NumPy arrays, the batch that every capture shows.
        sink: object with `scalars(step, values)`, `media(step, media)` and `animation(step, gif)`.
        steps: ints, optimizer steps at which to capture (`capture_steps`). Step 0 is captured only if training starts
            there; the last step of training is always captured, once.
        trust_steps: ints, those of `steps` at which trust is measured too, at the last one with leave-one-token-out; a
            capture at the end of training that was not planned is measured like the last one, if there is any.
        class_names: tuple of str.
        checks: MapEvaluator, which measures the maps on other examples, or None.
        style: Style of the sheets; None for the default.
        texts: list of `ProbeText` of the probes, for an image-text model; None for a classifier.
        describe_predictions: callable or None: a batch with the probes' keys -> list of str or `Prediction`, the
            prediction of an image-text model for each pair (a caption, an answer, a rank). Called at every capture.
        labels: `ProbeLabels` of the probes, for a model of several labels per image.
        title: str, name of the run on the viewer's page.
        step: callable that returns the current optimizer step; None: steps are counted from the optimizer's counter at
            the start of training.
        folder: path or None, where a resumed run finds the records of its earlier captures, for viewer and animation.

    Attributes:
        seconds: float, time spent here so far, sinks included.
        trust_seconds: float, the part of it spent on measuring trust.
        previous: `Earlier` of the last capture, or None.
    """

    state_name = "attention_maps"

    def __init__(
        self,
        *,
        network,
        probes,
        sink,
        steps,
        trust_steps=(),
        class_names=(),
        checks: MapEvaluator | None = None,
        style: Style | None = None,
        step=None,
        texts=None,
        describe_predictions=None,
        labels=None,
        title: str = "",
        folder=None,
    ):
        super().__init__()
        if len(probes[network.batch_keys[0]]) == 0:
            raise ValueError("`probes` must hold at least one image. Received: 0")
        self.network, self.probes, self.sink, self.style = network, probes, sink, style or Style()
        self.class_names, self.checks = tuple(class_names), checks
        self.known = {"texts": texts, "describe_predictions": describe_predictions, "labels": labels}
        self.pending = sorted({int(s) for s in steps})
        self.trust_steps = frozenset(int(s) for s in trust_steps)
        self.seconds = self.trust_seconds = 0.0
        self.previous: Earlier | None = None
        self._folder, self._state = folder, {}
        self._current_step = step
        self._step = 0
        self._history: list[tuple[int, dict[str, np.ndarray]]] = []
        self._frames: list[Frame] = []
        self._capture = Capture(network, explain=True)
        self._viewer = Viewer(title=title, color_map=self.style.color_map)

    def state(self):
        """The values of earlier captures that later numbers and heat maps need; every capture replaces it."""
        return self._state

    def load_state(self, state):
        """Resume after the last capture of a `state()`."""
        self._state = state
        if not state:
            return
        steps = state["steps"].tolist()
        tables = {key.removeprefix("table_"): rows for key, rows in state.items() if key.startswith("table_")}
        self._history = [(step, {name: rows[i] for name, rows in tables.items()}) for i, step in enumerate(steps)]
        self.previous = Earlier(step=steps[-1], example_index=state["example_index"], maps=state["maps"])
        self.pending = [step for step in self.pending if step > steps[-1]]
        if self._folder is not None:
            for record in run_captures(self._folder, before=steps[-1] + 1):
                self._viewer.add(record)
                self._frames.append(frame_of(record))

    def on_train_begin(self, logs=None):
        self._step = self._current_step() if self._current_step else int(self.model.optimizer.iterations.value)
        # A resumed run has already captured its first step.
        if self._step == 0:
            self.capture(0)
        # The capture at the step of the interruption may still be pending.
        least = self._step + 1 if self.previous is None or self.previous.step >= self._step else self._step
        self.pending = [s for s in self.pending if s >= least]

    def on_train_batch_end(self, batch, logs=None):
        self._step = self._current_step() if self._current_step else self._step + 1
        if self.pending and self._step >= self.pending[0]:
            self.pending = [s for s in self.pending if s > self._step]
            self.capture(self._step)

    def on_train_end(self, logs=None):
        if self.previous is None or self.previous.step != self._step:
            self.capture(self._step, last=True)
        self.sink.animation(self._step, animation_gif(self._frames, self.style))

    def capture(self, step: int, last: bool = False) -> AttentionMedia:
        """Capture now, and hand scalars and media to the sink."""
        began = time.perf_counter()
        # On JAX the trained values live in the training loop; this writes them back to the variables.
        getattr(self.model, "jax_state_sync", lambda: None)()
        record = self._capture(
            self.probes,
            step=step,
            class_names=self.class_names,
            **self.known,
        )
        scalars, tables = statistics(record, self.previous)
        measured = self._check(record, step, last)
        scalars |= measured.scalars
        self._history.append((step, tables))
        self._frames.append(frame_of(measured.record))
        self._viewer.add(measured.record)
        media = AttentionMedia(
            record=measured.record,
            sheets={**sheets(measured.record, self.style, measured.note), **self._heat_maps()},
            statistics=scalars,
            tables=tables,
            viewer=self._viewer.html(),
            color_map=self.style.color_map,
        )
        self.sink.scalars(step, scalars)
        self.sink.media(step, media)
        self.previous = Earlier.of(record)
        self._state = self._packed()
        self.seconds += time.perf_counter() - began
        return media

    def _packed(self):
        tables = {f"table_{name}": np.stack([row[name] for _, row in self._history]) for name in self._history[-1][1]}
        steps = np.array([step for step, _ in self._history])
        return {"steps": steps, "example_index": self.previous.example_index, "maps": self.previous.maps, **tables}

    def _check(self, record, step: int, last: bool) -> MapEvaluation:
        if self.checks is None:
            return MapEvaluation(record=record, scalars={})
        began = time.perf_counter()
        last = bool(self.trust_steps) and (last or step == max(self.trust_steps))
        trust = last or step in self.trust_steps
        # The reference takes half of the time; the final result is compared with it.
        measured = self.checks(record, self.probes, self._capture, step=step, trust=trust, reference=last)
        self.trust_seconds += (time.perf_counter() - began) if trust else 0.0
        return measured

    def _heat_maps(self):
        steps = [step for step, _ in self._history]
        return {
            metric_keys.statistic(name): heat_map_sheet(
                name, steps, [tables[name].mean(axis=1) for _, tables in self._history], self.style.color_map
            )
            for name in self._history[-1][1]
        }
