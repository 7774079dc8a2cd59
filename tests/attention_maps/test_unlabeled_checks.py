"""What is measured of own images: classes that a user names, numbers of each image, verdicts of many.

Shape legend: B images, P patches, K classes.
"""

import keras
import numpy as np
import pytest

from tests.attention_maps.text_models import LENGTH, pairs, tiny_text_model
from tests.attention_maps.text_records import tokenizer
from vitcross.attention_maps import Capture
from vitcross.attention_maps.records.probe_text import text_from_user
from vitcross.attention_maps.trust.token_scores import TokenScorer
from vitcross.attention_maps.trust.unlabeled_checks import UnlabeledChecks
from vitcross.layers import AttentionControls

CLASSES = ("boat", "beach", "red star", "ring", "blue")
TEMPLATES = ("a photo of a {}.", "one {}!")
METHODS = ["raw", "rollout", "relevance", "leave_one_out"]


def numpy(value):
    return np.asarray(keras.ops.convert_to_numpy(value), np.float64)


def normalized(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def class_vectors(model):
    """(K, E): of every class the normalized mean over its sentences, one sentence at a time."""
    vectors = []
    for name in CLASSES:
        ids = [tokenizer().encode([t.replace("{}", name)], max_length=LENGTH)[:2] for t in TEMPLATES]
        vectors.append(normalized(np.mean([normalized(numpy(model.encode_texts(*one))[0]) for one in ids], axis=0)))
    return np.stack(vectors)


def shares(model, vectors, images, **options):
    """(B, K) what the model says of whole images, or of some of their patches, among all classes."""
    embeddings = normalized(numpy(model.encode_images(images, training=False, **options)))
    return softmax(float(np.exp(numpy(model.log_logit_scale.value))) * embeddings @ vectors.T)


def one_text(count, text="a photo of a boat."):
    """A batch in which every image has the same text."""
    batch, _ = pairs(count)
    ids, mask, _ = tokenizer().encode([text] * count, max_length=LENGTH)
    return {**batch, "token_ids": ids, "padding_mask": mask}, [
        text_from_user(tokenizer(), text, max_length=LENGTH)
    ] * count


def test_zero_shot_is_measured_among_all_classes_of_the_user():
    model = tiny_text_model("dual", depth=1)
    vectors = class_vectors(model)
    batch, texts = one_text(3)
    whole = shares(model, vectors, batch["images"])
    best = whole.argmax(axis=1)
    scores = TokenScorer(model, choices=vectors)(batch)
    np.testing.assert_array_equal(scores.target, best)
    np.testing.assert_allclose(scores.full, whole[np.arange(3), best], rtol=1e-4)
    np.testing.assert_allclose(TokenScorer(model, choices=vectors)(batch, [4, 0, 2]).full, whole[range(3), [4, 0, 2]],
                               rtol=1e-4)  # fmt: skip
    with pytest.raises(ValueError, match=r"`target` must be in \[0, 5\)"):
        TokenScorer(model, choices=vectors)(batch, [5, 0, 2])
    capture, checks = Capture(model, explain=True), UnlabeledChecks(model, choices=vectors)
    found = checks(capture(batch, texts=texts), batch, capture, step=7)
    record = found.record
    P = record.token_layout.num_patches
    for p in (0, 5, P - 1):  # what each class has without one patch, masked in every layer
        without = AttentionControls(kept_patches=np.tile(np.arange(P) != p, (3, 1)))
        dropped = whole - shares(model, vectors, batch["images"], attention_controls=without)
        np.testing.assert_allclose(record.maps["leave_one_out"][:, p], dropped[range(3), best], rtol=1e-3, atol=1e-6)
    assert np.abs(record.maps["leave_one_out"]).max() > 1e-5
    # Of a single class the probability would always be 1.
    single = TokenScorer(model, choices=vectors[2:3])(batch)
    cosines = normalized(numpy(model.encode_images(batch["images"]))) @ vectors[2]
    np.testing.assert_allclose(single.full, cosines, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("count", [1, 7, 9])
def test_few_images_cannot_tell_and_every_image_has_its_numbers(count):
    model = tiny_text_model("questions", depth=1)
    batch, texts = pairs(count, questions=True)
    answers = tuple(f"answer {k}" for k in range(7))
    capture, checks = Capture(model, explain=True), UnlabeledChecks(model, answers)
    record = capture(batch, texts=texts, class_names=answers, target="answer 3")
    found = checks(record, batch, capture, step=11, target="answer 3")
    report = found.record.trust
    assert report.step == 11 and report.examples == count
    assert report.source == f"{count} example{'s' * (count > 1)}, the one{'s' * (count > 1)} shown here"
    assert list(report.fidelity) == list(report.probes) == METHODS
    assert {len(rows) for rows in report.probes.values()} == {count}
    for method, row in report.fidelity.items():
        assert row.gap == pytest.approx(np.mean([probe.gap for probe in report.probes[method]]), abs=1e-9)
    # An untrained model: most changes are small, and an image that is none is not enough to tell.
    assert found.scalars["trust/relevance/verdict"] in ((-1, -2) if count < 8 else (-2, -1, 0, 1))
    # The probability of that answer, with all patches less with all but one.
    inputs = {key: batch[key] for key in ("token_ids", "padding_mask")}
    P = found.record.token_layout.num_patches
    without = AttentionControls(kept_patches=np.tile(np.arange(P) != 4, (count, 1)))
    said = [
        softmax(numpy(model(batch["images"], **inputs, attention_controls=controls)))[:, 3]
        for controls in (None, without)
    ]
    np.testing.assert_allclose(found.record.maps["leave_one_out"][:, 4], said[0] - said[1], rtol=1e-3, atol=1e-6)
