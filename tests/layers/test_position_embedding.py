"""Learned and sine-cosine positions, and their resampling to another grid."""

import keras
import numpy as np
import pytest

from tests import reference
from tests.backend import gradient, randomize, to_numpy
from vitcross.layers import PositionEmbedding
from vitcross.layers.position_embedding import sincos2d_table
from vitcross.layers.resampling import resampling_matrix

B, R, D = 2, 1, 44
RNG = np.random.default_rng(23)


def positions(**options):
    layer = PositionEmbedding(grid=(5, 7), num_prefix_positions=R, **options)
    layer.build((None, R + 35, D))
    return randomize(layer)


def test_learned_positions_are_added():
    layer = positions()
    tokens = RNG.normal(size=(B, R + 35, D)).astype("float32")
    np.testing.assert_allclose(to_numpy(layer(tokens)), tokens + to_numpy(layer.embeddings.value), rtol=1e-6)


def test_sincos_equals_the_formula_and_the_prefix_has_none():
    np.testing.assert_allclose(sincos2d_table(5, 7, D), reference.sincos2d(5, 7, D), rtol=1e-12, atol=1e-12)
    layer = positions(method="sincos2d")
    assert not layer.variables
    added = to_numpy(layer(np.zeros((B, R + 35, D), "float32")))
    assert not added[:, :R].any()
    np.testing.assert_allclose(added[1, R:], reference.sincos2d(5, 7, D), rtol=1e-5, atol=1e-6)


def test_no_two_patches_share_a_position():
    assert len(np.unique(sincos2d_table(5, 7, D).round(6), axis=0)) == 35


@pytest.mark.parametrize("embed_dim", [42, 4])
def test_sincos_needs_a_multiple_of_four(embed_dim):
    with pytest.raises(ValueError, match=f"embed_dim={embed_dim}"):
        sincos2d_table(5, 7, embed_dim)


@pytest.mark.parametrize("grid", [(11, 3), (2, 13), (5, 9)])
@pytest.mark.parametrize("method", ["learned", "sincos2d"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_resampling_is_that_of_the_backend(method, grid, interpolation):
    layer = positions(method=method, interpolation=interpolation)
    stored, resampled = to_numpy(layer.positions((5, 7))), to_numpy(layer.positions(grid))
    np.testing.assert_array_equal(resampled[:R], stored[:R])
    image = stored[R:].reshape(1, 5, 7, D)
    expected = keras.ops.image.resize(image, grid, interpolation=interpolation, antialias=True)
    np.testing.assert_allclose(resampled[R:], to_numpy(expected).reshape(-1, D), rtol=1e-4, atol=1e-4)


def test_resampling_is_differentiable():
    layer = positions()
    tokens = RNG.normal(size=(B, R + 6, D)).astype("float32")
    assert gradient(lambda x: keras.ops.sum(layer(x, grid=(3, 2)) ** 2), tokens).any()


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("source", "target"), [(7, 7), (7, 3), (3, 11), (1, 5), (5, 1)])
def test_rows_of_the_matrix_sum_to_one(method, source, target):
    matrix = resampling_matrix(source, target, method)
    assert matrix.shape == (target, source)
    np.testing.assert_allclose(matrix.sum(1), 1.0, rtol=1e-12)
    if source == target:
        np.testing.assert_array_equal(matrix, np.eye(source))


@pytest.mark.parametrize("arguments", [{}, {"grid": (3, 5)}])
def test_a_grid_that_does_not_fit_is_named(arguments):
    with pytest.raises(ValueError, match=r"tokens \(1 prefix, grid . x .\). Received: tokens of shape \(2, 17, 44\)"):
        positions()(np.zeros((B, 17, D), "float32"), **arguments)


@pytest.mark.parametrize("options", [{"method": "rotary"}, {"interpolation": "nearest"}])
def test_unknown_options(options):
    with pytest.raises(ValueError, match=f"Received: {next(iter(options))}="):
        PositionEmbedding(grid=(2, 3), **options)
