"""Captures while a model trains: when, of what, and without leaving a trace in the training."""

import keras
import numpy as np
import pytest

from tests.attention_maps.test_capture import B, batch, tiny_model
from vitcross.attention_maps import AttentionMaps, AttentionRecord, capture, grounding
from vitcross.attention_maps.trust.checks import MapEvaluator
from vitcross.attention_maps.trust.portions import portions
from vitcross.sinks.sink import Sink


class Kept(Sink):
    def __init__(self):
        self.rows, self.captures, self.films = [], [], []

    def scalars(self, step, values):
        self.rows.append((step, values))

    def media(self, step, media):
        self.captures.append((step, media))

    def animation(self, step, gif):
        self.films.append((step, gif))


class Losses(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(logs["loss"])


def with_boxes(size, seed=1):
    examples, _ = batch(size, seed=seed)
    low = np.random.default_rng(seed).uniform(0, 0.4, (size, 2))
    return {**examples, "box": np.concatenate([low, low + 0.5], axis=1).astype(np.float32)}


def train(model, callbacks, *, steps=3, epochs=3):
    """Three epochs of three steps; dropout and drop path on, so that random state matters."""
    keras.utils.set_random_seed(3)
    examples, _ = batch(2 * steps)
    model.compile(optimizer="sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    losses = Losses()
    data = (examples["images"], examples["labels"])
    model.fit(*data, batch_size=2, epochs=epochs, shuffle=False, verbose=0, callbacks=[losses, *callbacks])
    return losses.values, [np.array(v.value) for v in model.variables]


def maps_of(model, sink, steps, like=None, **changes):
    """Attention maps of a model; with `like`, earlier ones of the same model, what they compiled serves again."""
    callback = AttentionMaps(network=model, probes=batch()[0], sink=sink, steps=steps, **changes)
    if like is not None:
        callback._capture = like._capture
    return callback


def checks_of(model, examples):
    return MapEvaluator(model, examples, class_names=tuple("abcde"), portion=B)


def test_training_is_the_same_bits_with_and_without_capture():
    model = tiny_model()
    start = [np.array(v.value) for v in model.variables]
    sink = Kept()
    changes = {"checks": checks_of(model, with_boxes(5)), "trust_steps": [0, 4]}
    losses, weights = train(model, [maps_of(model, sink, range(100), **changes)])
    assert len(sink.captures) == 10
    again = tiny_model()
    for variable, value in zip(again.variables, start, strict=True):
        np.testing.assert_array_equal(np.array(variable.value), value)
    plain_losses, plain_weights = train(again, [])
    assert losses == plain_losses and len(set(losses)) > 3
    for found, expected in zip(weights, plain_weights, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_captures_before_the_first_step_at_the_given_ones_and_once_at_the_end():
    model, callback = tiny_model(depth=1), None
    for wanted, expected in (([0, 2, 5, 9], [0, 2, 5, 9]), ([4], [0, 4, 9]), ([], [0, 9]), ([0, 50], [0, 9])):
        sink = Kept()
        callback = maps_of(model, sink, wanted, like=callback)
        assert callback.seconds == 0
        train(model, [callback])
        assert callback.seconds > 0, "its own time is measured"
        assert [step for step, _ in sink.captures] == expected
        assert [step for step, _ in sink.rows] == expected
        assert [media.record.step for _, media in sink.captures] == expected


def test_a_run_that_goes_on_counts_from_its_step():
    model, sink = tiny_model(depth=1), Kept()
    train(model, [])
    examples, _ = batch(6)
    callback = maps_of(model, sink, [0, 9, 10, 11])
    model.fit(examples["images"], examples["labels"], batch_size=2, verbose=0, callbacks=[callback])
    assert [step for step, _ in sink.captures] == [10, 11, 12]


def test_a_step_that_was_jumped_over_is_captured_at_the_next():
    model, sink = tiny_model(depth=1), Kept()
    steps = iter([0, 4, 8, 12])
    callback = maps_of(model, sink, [0, 2, 3, 9], step=lambda: next(steps))
    callback.on_train_begin()
    for _ in range(3):
        callback.on_train_batch_end(0)
    callback.on_train_end()
    assert [step for step, _ in sink.captures] == [0, 4, 12]


def test_a_resumed_run_reads_each_earlier_capture_once(tmp_path, monkeypatch):
    model, sink = tiny_model(depth=1), Kept()
    whole = maps_of(model, sink, [], title="run")
    states = []
    for step in (0, 4, 9):
        record = whole.capture(step).record
        record.save(tmp_path / f"step_{step:08d}/record.npz")
        states.append(whole.state())
    loads, load = [], AttentionRecord.load
    monkeypatch.setattr(AttentionRecord, "load", lambda path: loads.append(path.parent.name) or load(path))
    resumed = maps_of(model, sink, [4, 9], title="run", folder=tmp_path)
    resumed.load_state(states[1])
    # Those after the checkpoint are not read: they are captured again.
    assert loads == ["step_00000000", "step_00000004"] and resumed.pending == [9]
    assert resumed.capture(9).viewer == sink.captures[2][1].viewer
    for callback in (whole, resumed):
        callback._step = 9
        callback.on_train_end()
    assert sink.films[0] == sink.films[1] and len(sink.captures) == 4


def test_what_is_handed_over():
    model, sink = tiny_model(), Kept()
    changes = {"checks": checks_of(model, with_boxes(7)), "class_names": tuple("abcde"), "trust_steps": [4]}
    train(model, [maps_of(model, sink, [4], **changes)])
    names = {f"attention_stats/{name}" for name in ("entropy", "distance", "prefix_mass", "sink_share")}
    sheets = {"attention/probe"}
    sheets |= {f"attention/self/{name}" for name in ("overlay", "heads", "layers", "methods")}
    for (_, values), (_, media) in zip(sink.rows, sink.captures, strict=True):
        assert set(media.sheets) == sheets | names
        assert media.statistics == values and all(np.isfinite(list(values.values())))
        for name in names:
            assert values[f"{name}/min"] <= values[f"{name}/mean"] <= values[f"{name}/max"]
        methods = ("raw", "rollout") if media.step == 0 else ("raw", "rollout", "relevance")
        for method in methods:
            assert {f"grounding/{method}/{name}" for name in ("pointing", "energy", "lift")} <= set(values)
        assert media.record.class_names == tuple("abcde") and len(media.record.images) == B
    assert "attention_stats/change" not in sink.rows[0][1] and sink.rows[1][1]["attention_stats/change"] > 0
    widths = [media.sheets["attention_stats/entropy"].image.shape for _, media in sink.captures]
    assert len(sink.captures) == 3 and widths[0] <= widths[2]
    assert [step for step, _ in sink.films] == [9] and sink.films[0][1].startswith(b"GIF89a")
    pages = [media.viewer for _, media in sink.captures]
    assert len(set(pages)) == 3 and all(page.startswith("<!doctype html>") for page in pages)


def test_trust_is_measured_where_it_was_planned_and_at_an_end_that_was_not():
    model, sink = tiny_model(), Kept()
    checks = checks_of(model, with_boxes(7))
    callback = maps_of(model, sink, [2, 4, 6], checks=checks, trust_steps=[2, 4])
    train(model, [callback])
    reports = {media.step: media.record.trust for _, media in sink.captures}
    assert [step for step, report in reports.items() if report is not None] == [2, 4, 9]
    # What is held against leaving out each patch is the result, not the way to it.
    assert list(reports[2].fidelity) == ["raw", "rollout", "relevance"] and reports[2].fidelity["raw"].gap_share is None
    assert "leave_one_out" in reports[4].fidelity
    report, values = reports[9], sink.rows[-1][1]
    assert list(report.fidelity) == ["raw", "rollout", "relevance", "leave_one_out"] and report.examples == 7
    assert {method: len(rows) for method, rows in report.probes.items()} == dict.fromkeys(report.fidelity, B)
    assert set(report.sanity) == {"raw", "rollout", "relevance"} and set(report.grounding) == set(report.fidelity)
    for method, row in report.fidelity.items():
        for name in ("deletion", "insertion", "gap", "verdict"):
            assert values[f"trust/{method}/{name}"] == getattr(row, name)
    assert values["grounding/relevance/energy"] == report.grounding["relevance"]["energy"]
    assert "leave_one_out" in sink.captures[-1][1].record.maps
    never = Kept()
    train(model, [maps_of(model, never, [2], like=callback, checks=checks)])
    assert not [key for _, values in never.rows for key in values if key.startswith("trust")]


def test_trust_at_one_capture_does_not_depend_on_those_before_it():
    """Draws are by seed and example, so that a run that goes on measures what it would have measured."""
    model, sink = tiny_model(), Kept()
    callback = maps_of(model, sink, [], checks=checks_of(model, with_boxes(5)), trust_steps=[0])
    callback.set_model(model)
    for step in (0, 0):
        callback.capture(step)
    first, second = (
        {k: v for k, v in values.items() if k.startswith(("trust", "grounding"))} for _, values in sink.rows
    )
    assert first == second and first


def test_grounding_in_portions_equals_grounding_at_once():
    model, sink = tiny_model(), Kept()
    examples = with_boxes(8)  # portions of three: the last has two
    examples["valid"][4] = False
    callback = maps_of(model, sink, [], checks=checks_of(model, examples))
    callback.set_model(model)
    callback.capture(0)
    record = capture(model, examples)
    assert len(record.images) == 7
    for method in ("raw", "rollout"):
        expected = grounding(record, method)
        for name in ("pointing", "energy", "lift", "chance"):
            assert sink.rows[0][1][f"grounding/{method}/{name}"] == pytest.approx(expected[name], rel=1e-4)


def test_portions_cover_each_example_once():
    examples = with_boxes(8)
    found = list(portions(examples, 3))
    assert [len(p["images"]) for p in found] == [3, 3, 3]
    index = np.concatenate([p["index"][p["valid"]] for p in found])
    np.testing.assert_array_equal(index, examples["index"])


def test_refuses():
    with pytest.raises(ValueError, match="`probes`"):
        AttentionMaps(network=tiny_model(depth=1), probes={"images": np.zeros((0, 12, 20, 3))}, sink=Kept(), steps=[])
