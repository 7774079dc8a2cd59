"""A batch computed in parts gives the step of the whole batch, for every task that can."""

import keras
import numpy as np
import pytest

from tests.tasks import image_text
from vitcross.models import VisionTransformer
from vitcross.tasks import Captioning, Classification, QuestionAnswering

SIZE = 12


def classification():
    keras.utils.set_random_seed(5)
    network = VisionTransformer(num_classes=5, image_size=(8, 12), patch_size=4, embed_dim=8, depth=1, num_heads=2)
    task = Classification(network=network, label_smoothing=0.1)
    random = np.random.default_rng(0)
    batch = {
        "images": random.normal(size=(SIZE, 8, 12, 3)).astype("f"),
        "labels": random.integers(0, 5, SIZE).astype("int32"),
        "mixed_labels": random.integers(0, 5, SIZE).astype("int32"),
        "mixing": random.random(SIZE).astype("f"),
        "valid": np.arange(SIZE) % 3 > 0,  # parts of 4 rows hold 2, 3 and 3 of them
        "index": np.arange(SIZE),
    }
    batch["valid"][:3] = False  # and one part of 3 rows none
    return task, batch


def captioning():
    network = image_text.captioner()
    task = Captioning(network=network, tokenizer=image_text.tokenizer())
    return task, image_text.caption_batch()


def question_answering():
    task = QuestionAnswering(network=image_text.question_answerer())
    batch = image_text.question_batch()
    batch["labels"][[1, 5, 6]] = -1  # an answer that is no class is in no loss
    return task, batch


def several_texts_of_a_image():
    task, batch = question_answering()
    return task, batch | {"images": batch["images"][::2]}


def step(make, parts, jit_compile=False):
    """Weights, loss and metric after one step of gradient descent."""
    import tensorflow as tf

    task, batch = make()
    task.accumulate_steps = parts
    task.compile(optimizer=keras.optimizers.SGD(0.5), jit_compile=jit_compile)
    history = task.fit(
        tf.data.Dataset.from_tensors(batch).repeat(), steps_per_epoch=1, verbose=0, shuffle=False
    ).history
    return [v.numpy() for v in task.network.trainable_variables], {name: values[0] for name, values in history.items()}


CAN = {classification: (3, 4), captioning: (4,), question_answering: (2,), several_texts_of_a_image: (4,)}


@pytest.mark.parametrize(("make", "counts"), CAN.items())
def test_parts_give_the_step_of_the_whole_batch(make, counts):
    before = [v.numpy() for v in make()[0].network.trainable_variables]
    whole, metrics = step(make, 1)
    assert any(np.abs(b - w).max() > 1e-3 for b, w in zip(before, whole, strict=True))
    for count in counts:
        parts, found = step(make, count)
        assert found == pytest.approx(metrics, rel=1e-5)
        for a, b in zip(whole, parts, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6)


def test_under_xla():
    whole, _ = step(classification, 1)
    parts, _ = step(classification, 3, jit_compile=True)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6)


def test_a_part_that_is_not_finite_makes_the_step_not_finite():
    def broken():
        task, batch = classification()
        batch["images"][7] = np.nan
        return task, batch

    weights, metrics = step(broken, 3)
    assert np.isnan(metrics["loss"]) and all(np.isnan(w).any() for w in weights)


def test_parts_must_be_equal():
    with pytest.raises(ValueError, match="accumulate_steps must divide the batch. Received: 5, .* of 12 rows"):
        step(classification, 5)
