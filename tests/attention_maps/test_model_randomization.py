"""Rank correlation against its definition, and a fresh model that disturbs nobody."""

import random

import keras
import numpy as np
import pytest

from tests.backend import to_numpy
from tests.models import image_text
from vitcross.attention_maps.trust.model_randomization import model_randomization, randomized_model, rank_correlation
from vitcross.models import VisionTransformer

RNG = np.random.default_rng(3)


def ranks(row):
    return np.array([np.mean(np.flatnonzero(np.sort(row) == value)) for value in row])


def test_rank_correlation_by_its_definition():
    first, second = RNG.normal(size=(7, 15)), RNG.integers(0, 4, (7, 15)).astype(float)
    found = rank_correlation(first, second)
    expected = [np.corrcoef(ranks(a), ranks(b))[0, 1] for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(rank_correlation(first, np.exp(first)), 1)
    np.testing.assert_allclose(rank_correlation(first, -(first**3)), -1)
    # Without ties: 1 - 6 sum d^2 / (n (n^2 - 1)).
    a, b = RNG.permutation(11), RNG.permutation(11)
    assert rank_correlation([a], [b])[0] == pytest.approx(1 - 6 * ((a - b) ** 2).sum() / (11 * 120))


def test_a_constant_map_has_no_ranks():
    maps = RNG.random((3, 15))
    flat = np.vstack([maps[0], np.ones(15), np.full(15, np.nan)])
    found = rank_correlation(maps, flat)
    assert found[0] == 1 and np.isnan(found[1:]).all()
    assert model_randomization({"raw": maps}, {"raw": flat}) == {"raw": 1.0}
    assert model_randomization({"raw": maps}, {"raw": np.zeros((3, 15))}) == {}
    with pytest.raises(ValueError, match="of one shape"):
        rank_correlation(maps, maps[:, :14])


def test_every_method_that_both_have():
    maps = {"raw": RNG.random((5, 15)), "rollout": RNG.random((5, 15)), "relevance": RNG.random((5, 15))}
    fresh = {"raw": maps["raw"] ** 2, "relevance": RNG.random((5, 15)), "else": maps["raw"]}
    found = model_randomization(maps, fresh)
    assert list(found) == ["raw", "relevance"]
    assert found["raw"] == pytest.approx(1)
    assert found["relevance"] == pytest.approx(rank_correlation(maps["relevance"], fresh["relevance"]).mean())


def classifier():
    return VisionTransformer(
        num_classes=5, image_size=16, patch_size=8, embed_dim=6, depth=1, num_heads=2, pooling="map",
        dropout_rate=0.2, patch_dropout_rate=0.5,
    )  # fmt: skip


MODELS = {
    "classifier": classifier,
    "dual encoder": image_text.dual_encoder,
    "captioner": image_text.captioner,
    "question answering": image_text.question_answering,
}


@pytest.mark.parametrize("name", MODELS)
def test_a_fresh_model_is_another_one_of_the_same_architecture(name):
    model = MODELS[name]()
    fresh, again, other = randomized_model(model, 7), randomized_model(model, 7), randomized_model(model, 8)
    assert type(fresh) is type(model) and fresh.get_config() == model.get_config()
    assert [v.path for v in fresh.variables] == [v.path for v in model.variables]
    values = [[to_numpy(v.value) for v in m.trainable_variables] for m in (model, fresh, again, other)]
    assert all(np.array_equal(a, b) for a, b in zip(values[1], values[2], strict=True))
    kernels = [i for i, v in enumerate(model.trainable_variables) if v.path.endswith("kernel")]
    assert kernels and not any(np.array_equal(values[1][i], values[3][i]) for i in kernels)
    assert not any(np.array_equal(values[0][i], values[1][i]) for i in kernels)


def test_building_it_disturbs_no_random_state():
    def draws():
        return (
            random.random(),
            np.random.random(),
            to_numpy(keras.random.normal((3,))).tolist(),
            keras.random.SeedGenerator().get_config()["seed"],
            to_numpy(keras.layers.Dense(2).kernel_initializer((3, 2))).tolist(),
        )

    model = classifier()
    keras.utils.set_random_seed(5)
    expected = draws()
    keras.utils.set_random_seed(5)
    randomized_model(model, 9)
    assert draws() == expected


def test_training_goes_on_with_the_same_bits():
    def losses(disturb):
        keras.utils.set_random_seed(11)
        model = classifier()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(1e-2), loss, run_eagerly=True)
        data = np.random.default_rng(0)
        images, labels = data.uniform(-1, 1, (8, 16, 16, 3)).astype("float32"), data.integers(0, 5, 8)
        found = []
        for _ in range(4):
            found.append(float(model.train_on_batch(images, labels)))
            if disturb:
                randomized_model(model, 3)
        return found, [to_numpy(v.value) for v in model.variables]

    quiet, disturbed = losses(False), losses(True)
    assert quiet[0] == disturbed[0]
    for a, b in zip(quiet[1], disturbed[1], strict=True):
        np.testing.assert_array_equal(a, b)
