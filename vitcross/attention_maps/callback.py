"""Captures attention while a model trains and hands it to the sinks. Beside the training step, never inside it.

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

    It runs the network in inference mode, touches no variable and no random state: the losses with and without it are
    the same bits.

    Args:
        network: the built model whose attention is shown (inside the task, which `fit` trains).
        probes: dict of NumPy arrays, the batch that every capture shows.
        sink: object with `scalars(step, values)`, `media(step, media)` and `animation(step, gif)`.
        steps: ints, optimizer steps at which to capture (`capture_steps`). Step 0 is captured only where training
            starts there; the last step of training is captured whether it is among them or not, and only once.
        trust_steps: ints, those of `steps` at which trust is measured too, at the last of them also by leaving out each
            patch; a capture at the end of training that was not planned is measured like it, unless there are none.
        class_names: tuple of str.
        checks: MapEvaluator, what is measured of the maps on other examples, or None.
        style: Style of the sheets; None for the default.
        texts: list of `ProbeText`, those of the probes, for an image-text model; None for a classifier.
        describe_predictions: callable or None: a batch of the probes' keys -> list of str or `Prediction`, what an
            image-text model predicts for each pair (a caption, an answer, a rank). Called at every capture.
        title: str, name of the run on the viewer's page.
        step: callable without arguments that returns the current optimizer step; None: the steps are counted from
            where the optimizer's counter stood when training began.
        folder: path or None, where a resumed run finds the records of its earlier captures, for viewer and animation.

    Attributes:
        seconds: float, time spent here so far, sinks included.
        trust_seconds: float, the part of it that measuring trust took.
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
        title: str = "",
        folder=None,
    ):
        super().__init__()
        if len(probes[network.batch_keys[0]]) == 0:
            raise ValueError("`probes` must hold at least one image. Received: 0")
        self.network, self.probes, self.sink, self.style = network, probes, sink, style or Style()
        self.class_names, self.checks = tuple(class_names), checks
        self.texts, self.describe_predictions = texts, describe_predictions
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
        """What the numbers and heat maps of later captures need of the earlier ones; made anew by each capture."""
        return self._state

    def load_state(self, state):
        """Go on after the last capture of a `state()`."""
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
        # A run that goes on has captured its first step before it was interrupted.
        if self._step == 0:
            self.capture(0)
        # The capture of the step that was interrupted may still be due.
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
            texts=self.texts,
            describe_predictions=self.describe_predictions,
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
        # The reference takes half of the time, and it is what the result is held against.
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
