import types

import numpy as np
import pytest

from vitcross.tasks.zero_shot import class_embeddings, mean_embeddings, zero_shot_accuracy, zero_shot_logits


class Letters:
    """A tokenizer whose tokens are letters, and a network that embeds a text by how often it has which."""

    def encode(self, texts, *, max_length):
        rows = [[ord(letter) for letter in text.lower()[:max_length]] for text in texts]
        token_ids = np.array([row + [0] * (max_length - len(row)) for row in rows], "int32")
        return token_ids, token_ids > 0, np.zeros(len(texts), bool)


def network():
    def encode_texts(token_ids, padding_mask):
        counts = np.stack(
            [np.bincount(row[mask], minlength=200) for row, mask in zip(token_ids, padding_mask, strict=True)]
        )
        return (counts / np.linalg.norm(counts, axis=1, keepdims=True)).astype("float32")

    return types.SimpleNamespace(encode_texts=encode_texts, text_encoder=types.SimpleNamespace(max_length=61))


def test_a_class_is_the_normalized_mean_over_templates():
    names, templates = ["cat", "zebra {x}"], ["a photo of a {}.", "one {}!"]
    found = class_embeddings(network(), Letters(), names, templates)
    for name, row in zip(names, found, strict=True):
        texts = [template.replace("{}", name) for template in templates]
        token_ids, mask, _ = Letters().encode(texts, max_length=61)
        mean = network().encode_texts(token_ids, mask).mean(axis=0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), rtol=1e-5)


def test_many_texts_are_encoded_in_batches():
    names = [f"class {k}" for k in range(301)]
    np.testing.assert_allclose(
        class_embeddings(network(), Letters(), names)[300:],
        class_embeddings(network(), Letters(), names[300:]),
        rtol=1e-6,
    )


def test_accuracy_counts_known_classes_and_gives_nothing_for_ties():
    classes = np.eye(7, dtype="float32")
    images = np.concatenate([3 * classes[[1, 2]], np.ones((2, 7))])  # two clear ones, two that are all the same
    assert zero_shot_accuracy(images, classes, [1, 3, 0, -1]) == pytest.approx(
        {"zero_shot_accuracy": 1 / 3, "zero_shot_top5_accuracy": 1 / 3}
    )
    np.testing.assert_allclose(zero_shot_logits(images, classes)[0], classes[1], atol=1e-6)
    with pytest.raises(ValueError, match="whose class is known"):
        zero_shot_accuracy(images, classes, [-1] * 4)


def test_each_sentence_weighs_the_same():
    np.testing.assert_allclose(mean_embeddings([[[10.0, 0.0], [0.0, 1.0]]]), [[0.5**0.5, 0.5**0.5]], rtol=1e-6)


@pytest.mark.parametrize(("names", "templates"), [([], ["{}"]), (["cat"], []), (["cat"], ["a photo"])])
def test_wrong_prompts_are_named(names, templates):
    with pytest.raises(ValueError, match="needs class names and templates"):
        class_embeddings(network(), Letters(), names, templates)
