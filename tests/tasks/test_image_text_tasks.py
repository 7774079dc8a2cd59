"""The three tasks of images and texts with their real networks: they learn sixteen pairs, and count each once."""

import functools

import keras
import numpy as np
import pytest

from tests.tasks import image_text
from vitcross.tasks import Captioning, Contrastive, QuestionAnswering
from vitcross.tasks import captioning as captioning_module
from vitcross.tasks import contrastive as contrastive_module
from vitcross.tasks.evaluation import evaluate, predict_all


def contrastive(**options):
    return Contrastive(network=image_text.dual_encoder(), **options)


def captioning(**options):
    return Captioning(network=image_text.captioner(), tokenizer=image_text.tokenizer(), **options)


def question_answering(**options):
    return QuestionAnswering(network=image_text.question_answerer(), **options)


TASKS = {
    "contrastive": (contrastive, image_text.caption_batch),
    "captioning": (captioning, image_text.caption_batch),
    "question_answering": (question_answering, image_text.question_batch),
}


@functools.cache
def untrained(name):
    """A task as it starts, its batch, and its predictions: made once, since tracing takes most of the time."""
    make, batch = TASKS[name]
    task = make()
    task.compile(jit_compile=False)
    return task, batch(), predict_all(task, [batch()])


@pytest.fixture(autouse=True)
def seeded():
    """The same first weights in whatever order tests run."""
    keras.utils.set_random_seed(0)


def test_contrastive_learns_sixteen_pairs():
    task = Contrastive(network=image_text.dual_encoder(logit_bias_init=-5.0), loss="sigmoid", chunk_size=5)
    batch = image_text.caption_batch()
    last = image_text.train(task, batch, steps=150, learning_rate=1e-2)
    values = evaluate(task, [batch], image_text.References())
    assert values["mean_r1"] > 0.9 and values["image_to_text_median_rank"] == 1.0
    assert last.accuracy > 0.8 and values["loss"] < 1.0
    assert task.monitor in values


def test_captioning_learns_sixteen_pairs():
    task, batch = captioning(has_scenes=True), image_text.caption_batch()
    last = image_text.train(task, batch, steps=140, learning_rate=1e-2)
    values = evaluate(task, [batch], image_text.References())
    assert values["attribute_accuracy"] > 0.9 and values["cider"] > 5 and values["bleu4"] > 0.7
    assert last.token_accuracy > 0.9 and values["loss"] < 0.5
    assert task.monitor == "attribute_accuracy" and captioning().monitor == "cider"
    columns, lines = task.predictions(predict_all(task, [batch]), (), image_text.References())
    assert columns == ["caption", "text"] and len(lines) == 16
    assert task.caption(batch["images"][:3]) == [line[0] for line in lines[:3]]


def test_question_answering_learns_sixteen_pairs():
    task, batch = question_answering(), image_text.question_batch()
    last = image_text.train(task, batch, steps=80, learning_rate=1e-2)
    values = evaluate(task, [batch], image_text.References())
    assert values["accuracy"] > 0.9 and last.accuracy > 0.8 and values["loss"] < 0.5
    assert {f"accuracy/{kind}" for kind in image_text.question_types()} < set(values)
    full = task.report(predict_all(task, [batch]), image_text.answers(), image_text.References())
    assert full["examples"] == 16 and set(full["accuracy_per_class"]) == set(image_text.answers())


@pytest.mark.parametrize("name", TASKS)
def test_each_example_counts_once_whatever_the_batches(name):
    task, batch, rows = untrained(name)
    whole = task.summarize(rows, image_text.References())
    cut = predict_all(task, image_text.pieces(batch))
    np.testing.assert_array_equal(cut["index"], np.arange(16))
    assert task.summarize(cut, image_text.References()) == pytest.approx(whole, rel=1e-4, abs=1e-5)
    assert set(whole) <= set(task.report(rows, image_text.answers(), image_text.References()))


@pytest.mark.parametrize("name", TASKS)
def test_evaluation_loss_is_the_loss_without_smoothing(name):
    task, batch, rows = untrained(name)
    assert task.summarize(rows)["loss"] == pytest.approx(float(task.compute_loss(batch, y_pred=task(batch))), rel=1e-4)


@pytest.mark.parametrize("name", TASKS)
def test_rows_that_are_not_valid_are_not_in_the_loss(name):
    task, batch, _ = untrained(name)
    outputs = task(batch)
    kept = {key: value[:11] for key, value in batch.items()}
    kept_outputs = tuple(o[:11] for o in outputs) if name == "contrastive" else outputs[:11]
    padded = {**batch, "valid": np.arange(16) < 11}
    expected = float(task.compute_loss(kept, y_pred=kept_outputs))
    assert float(task.compute_loss(padded, y_pred=outputs)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", TASKS)
def test_a_loss_that_is_not_finite_is_nan(name):
    task, batch, _ = untrained(name)
    outputs = task(batch)
    broken = (outputs[0] * np.inf, outputs[1]) if name == "contrastive" else outputs * np.inf
    assert np.isnan(float(task.compute_loss(batch, y_pred=broken)))


def test_caption_loss_is_the_mean_over_real_target_tokens():
    task, batch = captioning(label_smoothing=0.1), image_text.caption_batch()
    batch["valid"] = np.arange(16) != 3
    logits = np.asarray(task(batch), "float64")
    losses = []
    for row in np.flatnonzero(batch["valid"]):
        length = batch["padding_mask"][row].sum()
        for position in range(1, length):
            z = logits[row, position - 1]
            shares = np.full(len(z), 0.1 / len(z))
            shares[batch["token_ids"][row, position]] += 0.9
            losses.append(np.log(np.exp(z).sum()) - shares @ z)
        assert batch["token_ids"][row, length - 1] == image_text.tokenizer().eos_id  # the end is a target
    assert float(task.compute_loss(batch, y_pred=task(batch))) == pytest.approx(np.mean(losses), rel=1e-5)


def test_a_question_with_an_unknown_answer_is_wrong_and_has_no_loss():
    task, batch, rows = untrained("question_answering")
    outputs = task(batch)
    unknown = {**batch, "labels": np.where(np.arange(16) < 11, batch["labels"], -1).astype("int32")}
    known = {key: value[:11] for key, value in batch.items()}
    expected = float(task.compute_loss(known, y_pred=outputs[:11]))
    assert float(task.compute_loss(unknown, y_pred=outputs)) == pytest.approx(expected, rel=1e-5)
    values = task.summarize(predict_all(task, [unknown]))
    fewer = task.summarize({key: value[:11] for key, value in rows.items()})
    assert values["loss"] == pytest.approx(fewer["loss"], rel=1e-5)
    assert values["accuracy"] == pytest.approx(fewer["accuracy"] * 11 / 16)


def test_a_image_with_several_captions_is_counted_once():
    task, _, rows = untrained("captioning")
    twice = {key: np.concatenate([value, value[:5]]) for key, value in rows.items()}
    once, both = (task.summarize(r, image_text.References()) for r in (rows, twice))
    assert both["cider"] == pytest.approx(once["cider"]) and both["rouge_l"] == pytest.approx(once["rouge_l"])
    assert both["loss"] != once["loss"]  # every caption is in the loss
    assert task.report(twice)["images"] == 16


def test_scenes_with_held_out_objects_report_those_alone():
    class Unseen(image_text.References):
        def scene(self, index):
            return super().scene(index) | {"held_out": [0]}

    task, _, rows = untrained("captioning")
    values, seen = (task.summarize(rows, references) for references in (Unseen(), image_text.References()))
    assert values["attribute_accuracy_all_objects"] == seen["attribute_accuracy"]
    assert "attribute_accuracy/relation" in seen and "attribute_accuracy/relation" not in values


def test_contrastive_predictions_name_the_nearest_text(monkeypatch):
    monkeypatch.setattr(contrastive_module, "EVALUATION_CHUNK", 5)
    task, _, rows = untrained("contrastive")
    columns, lines = task.predictions(rows, (), image_text.References())
    cosines = rows["image_embeddings"] @ rows["text_embeddings"].T
    assert columns[0] == "nearest_text" and len(lines) == 16
    for n, (text, cosine, own, right) in enumerate(lines):
        assert text == image_text.captions()[cosines[n].argmax()]
        assert cosine == pytest.approx(cosines[n].max(), abs=1e-6) and own == pytest.approx(cosines[n, n], abs=1e-6)
        assert right == (cosines[n].argmax() == n)


def test_the_beam_reaches_the_generation(monkeypatch):
    asked = {}

    def generate(model, images, **options):
        asked.update(options)
        return np.ones((len(images), 3), "int64"), np.zeros(len(images))

    monkeypatch.setattr(captioning_module, "generate", generate)
    token_ids = captioning(beam_size=3).generate(np.zeros((2, 5)), 7)
    np.testing.assert_array_equal(token_ids, [[1, 1, 1, 0, 0, 0, 0]] * 2)
    assert asked == {"max_length": 7, "bos_id": 1, "eos_id": 2, "pad_id": 0, "beam_size": 3}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: contrastive(loss="triplet"), "expected 'softmax' or 'sigmoid'. Received: loss='triplet'"),
        (lambda: contrastive(chunk_size=0), "expected a positive integer.*Received: chunk_size=0"),
        (lambda: contrastive(loss="sigmoid"), "needs a network with a logit_bias"),
        (lambda: captioning(beam_size=0), "expected a positive integer. Received: beam_size=0"),
        (lambda: captioning(label_smoothing=1.0), "expected a number less than 1. Received: label_smoothing=1.0"),
        (lambda: question_answering(label_smoothing=-0.1), "expected zero or more. Received: label_smoothing=-0.1"),
    ],
)
def test_wrong_options_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
