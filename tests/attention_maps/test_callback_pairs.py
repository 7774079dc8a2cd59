"""Captures of pairs while an image-text model trains: what is handed over, and no trace in the training."""

import keras
import numpy as np
import pytest

from tests.attention_maps.test_callback import Kept, Losses
from tests.attention_maps.text_models import pairs, tiny_text_model
from tests.attention_maps.text_records import tokenizer
from vitcross.attention_maps import AttentionMaps, capture, word_grounding
from vitcross.attention_maps.trust.checks import MapEvaluator
from vitcross.tasks.captioning import Captioning
from vitcross.tasks.contrastive import Contrastive

MEASURES = {"pointing", "energy", "lift", "chance"}


def make_task(kind):
    network = tiny_text_model(kind, depth=2)
    return Contrastive(network=network) if kind == "dual" else Captioning(network=network, tokenizer=tokenizer())


def train(task, callbacks):
    """Two passes of two steps; dropout and drop path on, so that random state matters."""
    keras.utils.set_random_seed(3)
    batch, _ = pairs(4)
    batch |= {"image_id": np.arange(4), "text_id": np.arange(4)}
    task.compile(optimizer="sgd", jit_compile=False)
    losses = Losses()
    task.fit(batch, batch_size=2, epochs=2, shuffle=False, verbose=0, callbacks=[losses, *callbacks])
    return losses.values, [np.array(v.value) for v in task.network.variables]


def maps_of(task, sink, **changes):
    probes, texts = pairs(3)
    fields = {
        "network": task.network,
        "probes": probes,
        "texts": texts,
        "sink": sink,
        "steps": [2],
        "describe_predictions": lambda batch: task.describe_predictions(task.predict_rows(batch)),
    }
    return AttentionMaps(**{**fields, **changes})


def test_training_is_the_same_bits_and_everything_is_handed_over():
    task, sink = make_task("captioner"), Kept()
    measured, measured_texts = pairs(7)
    checks = MapEvaluator(task.network, measured, texts=measured_texts, portion=3)
    losses, weights = train(task, [maps_of(task, sink, checks=checks, trust_steps=[4])])
    plain_losses, plain_weights = train(make_task("captioner"), [])
    assert losses == plain_losses and len(set(losses)) > 2
    for found, expected in zip(weights, plain_weights, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert [step for step, _ in sink.captures] == [0, 2, 4]
    for (_, values), (_, media) in zip(sink.rows, sink.captures, strict=True):
        assert {"attention/cross/words", "attention/cross/matrix", "attention_stats/cross_entropy"} <= set(media.sheets)
        words = {key.removeprefix("grounding/") for key in values if key.startswith("grounding/words")}
        # The maps of the one word that is explained have boxes to point at too, where they were made.
        explained = {key.split("/")[1] for key in values if key.startswith("grounding/") and "words" not in key}
        assert explained == ({"raw", "rollout", "relevance", "leave_one_out"} if media.step == 4 else set())
        assert words == {f"words/{layer}/{name}" for layer in ("block_00", "block_01") for name in MEASURES}
        assert media.record.text.token_maps["relevance"].shape == media.record.text.token_maps["rollout"].shape
        assert "attention_stats/cross_entropy/mean" in values and all(np.isfinite(list(values.values())))
        assert "Best on the boxes of" in media.sheets["attention/cross/words"].caption
        assert media.record.predictions[0].truth == pairs(3)[1][0].text
    report = sink.captures[-1][1].record.trust
    assert list(report.fidelity) == ["raw", "rollout", "relevance", "leave_one_out"] and report.examples == 7
    assert {len(rows) for rows in report.probes.values()} == {3} and sink.captures[0][1].record.trust is None


def test_grounding_in_portions_equals_grounding_at_once():
    task, sink = make_task("dual"), Kept()
    measured, texts = pairs(8)  # portions of three: the last has two
    measured["valid"][4] = False
    callback = maps_of(task, sink, checks=MapEvaluator(task.network, measured, texts=texts, portion=3))
    callback.set_model(task)
    media = callback.capture(0)
    expected = word_grounding(capture(task.network, measured, texts=texts))
    assert list(expected) == ["similarity"]
    for name in MEASURES:
        found = sink.rows[0][1][f"grounding/words/similarity/{name}"]
        assert found == pytest.approx(expected["similarity"][name], rel=1e-4)
    assert "attention/cross/similarity" in media.sheets and "rank" in media.record.predictions[0].text


def test_words_without_boxes_are_not_measured():
    task, sink = make_task("captioner"), Kept()
    measured, texts = pairs(2)
    bare = [type(text)(text=text.text, tokens=text.tokens, words=text.words) for text in texts]
    checks = MapEvaluator(task.network, measured, texts=bare, portion=3)
    callback = maps_of(task, sink, checks=checks, describe_predictions=None)
    callback.set_model(task)
    callback.capture(0)
    assert not [key for key in sink.rows[0][1] if key.startswith("grounding")]


def test_refuses_a_batch_without_its_texts():
    with pytest.raises(ValueError, match="`texts` must be one"):
        MapEvaluator(make_task("dual").network, pairs(2)[0])
