"""Dropout, drop path and patch dropout: what they keep, how much, and that inference and rate 0 are the identity."""

import keras
import numpy as np
import pytest

from tests.backend import BACKEND, compiled, to_numpy
from vitcross.layers import Dropout, DropPath, PatchDropout

B, T, D, R = 3, 23, 5, 2
TOKENS = np.arange(1, B * T * D + 1, dtype="float32").reshape(B, T, D)
LAYERS = {
    "dropout": lambda rate: Dropout(rate=rate, seed=3),
    "drop_path": lambda rate: DropPath(rate=rate, seed=3),
    "patch_dropout": lambda rate: PatchDropout(rate=rate, num_prefix_tokens=R, seed=3),
}


@pytest.mark.parametrize("name", LAYERS)
def test_inference_and_rate_zero_are_the_identity(name):
    for layer, training in ((LAYERS[name](0.5), False), (LAYERS[name](0.0), True)):
        np.testing.assert_array_equal(to_numpy(layer(TOKENS, training=training)), TOKENS)
        assert layer.rate or not layer.variables


@pytest.mark.parametrize("name", LAYERS)
def test_a_seed_repeats_and_calls_differ(name):
    first, second = LAYERS[name](0.5), LAYERS[name](0.5)
    one, two = to_numpy(first(TOKENS, training=True)), to_numpy(first(TOKENS, training=True))
    np.testing.assert_array_equal(one, to_numpy(second(TOKENS, training=True)))
    assert one.tobytes() != two.tobytes()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_rate_outside_its_range(name, rate):
    with pytest.raises(ValueError, match="expected a rate in"):
        LAYERS[name](rate)


@pytest.mark.skipif(BACKEND == "jax", reason="under jax.jit the random state is an argument of stateless_call")
@pytest.mark.parametrize("name", LAYERS)
def test_compiled_calls_differ_too(name):
    layer = LAYERS[name](0.5)
    layer.build(TOKENS.shape)
    function = compiled(lambda tokens: layer(tokens, training=True))
    assert to_numpy(function(TOKENS)).tobytes() != to_numpy(function(TOKENS)).tobytes()


def test_drop_path_zeroes_whole_examples_and_keeps_the_mean():
    ones = np.ones((4001, 2, 3), "float32")
    output = to_numpy(DropPath(rate=0.3, seed=1)(ones, training=True))
    per_example = output.reshape(4001, -1)
    assert (per_example == per_example[:, :1]).all()
    np.testing.assert_allclose(np.unique(per_example), [0, 1 / 0.7], rtol=1e-6)
    assert abs((per_example[:, 0] == 0).mean() - 0.3) < 0.03


def test_dropout_zeroes_numbers_and_keeps_the_mean():
    output = to_numpy(Dropout(rate=0.3, seed=1)(np.ones((101, 211), "float32"), training=True))
    np.testing.assert_allclose(np.unique(output), [0, 1 / 0.7], rtol=1e-6)
    assert abs((output == 0).mean() - 0.3) < 0.02


def test_patch_dropout_gathers_whole_patches_and_all_prefix_tokens():
    layer = PatchDropout(rate=0.6, num_prefix_tokens=R, seed=1)
    output = to_numpy(layer(TOKENS, training=True))
    num_kept = round((T - R) * 0.4)
    assert layer.num_kept(T - R) == num_kept
    assert output.shape == (B, R + num_kept, D)
    np.testing.assert_array_equal(output[:, :R], TOKENS[:, :R])
    chosen = []
    for example, kept in zip(TOKENS, output, strict=True):
        rows = [int(np.flatnonzero((example == token).all(-1))[0]) for token in kept]
        assert rows == sorted(set(rows))
        chosen.append(tuple(rows))
    assert len(set(chosen)) > 1, "every example draws its own"


def test_patch_dropout_keeps_every_patch_equally_often():
    layer = PatchDropout(rate=0.5, seed=1)
    tokens = np.broadcast_to(np.arange(7, dtype="float32")[None, :, None], (3001, 7, 1))
    kept = to_numpy(layer(tokens, training=True))[..., 0].astype(int)
    counts = np.bincount(kept.reshape(-1), minlength=7) / 3001
    np.testing.assert_allclose(counts, 4 / 7, atol=0.05)


def test_patch_dropout_keeps_at_least_one():
    assert PatchDropout(rate=0.99)(TOKENS, training=True).shape == (B, 1, D)


def test_random_states_have_a_fixed_path():
    layer = DropPath(rate=0.5, name="drop_path")
    layer.build()
    assert [v.path for v in layer.variables] == ["drop_path/random_state/seed_generator_state"]


def test_set_random_seed_repeats_a_run():
    results = []
    for _ in range(2):
        keras.utils.set_random_seed(7)
        results.append(to_numpy(Dropout(rate=0.5)(TOKENS, training=True)))
    np.testing.assert_array_equal(*results)
