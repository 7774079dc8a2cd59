"""Both stems against NumPy on non-square images, odd sizes, and the errors of sizes that do not fit."""

import numpy as np
import pytest

from tests import reference
from tests.backend import evaluated, parameters, randomize, to_numpy
from vitcross.layers import PatchEmbedding

RNG = np.random.default_rng(19)


def embed(images, **options):
    layer = PatchEmbedding(**options)
    layer.build((None, *images.shape[1:]))
    randomize(layer)
    return layer, evaluated(lambda x: layer(x, training=False), images)


@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("patch_size", [(3, 5), (5, 3)])
def test_linear_stem(patch_size, use_bias):
    images = RNG.normal(size=(2, 15, 30, 3)).astype("float32")
    layer, tokens = embed(images, patch_size=patch_size, embed_dim=11, use_bias=use_bias)
    expected = reference.linear_patches(images, reference.below(parameters(layer), "projection"), patch_size)
    assert tokens.shape == (2, (15 // patch_size[0]) * (30 // patch_size[1]), 11)
    np.testing.assert_allclose(tokens, expected, rtol=1e-4, atol=1e-5)


def test_an_integer_stands_for_both_sides():
    images = RNG.normal(size=(2, 6, 9, 1)).astype("float32")
    layer, tokens = embed(images, patch_size=3, embed_dim=7)
    assert layer.patch_size == (3, 3)
    assert tokens.shape == (2, 2 * 3, 7)


@pytest.mark.parametrize("stem_depths", [(1, 1, 1), (3, 2, 1)])
@pytest.mark.parametrize("size", [(24, 16), (28, 28), (13, 27), (17, 9)])
def test_conv_stem_rounds_up(size, stem_depths):
    images = RNG.normal(size=(2, *size, 3)).astype("float32")
    layer, tokens = embed(images, patch_size=8, embed_dim=11, stem="conv", stem_depths=stem_depths)
    grid = tuple(-(-side // 8) for side in size)
    assert layer.layout(size).grid == grid
    assert tokens.shape == (2, grid[0] * grid[1], 11)
    np.testing.assert_allclose(
        tokens, reference.conv_stem(images, parameters(layer), stem_depths), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize(("stem_depths", "wider"), [((1, 1, 1), 0), ((3, 1, 1), 2 * 2), ((2, 2, 1), 2 + 4)])
def test_conv_stem_sees_a_window_centerd_on_its_patch(stem_depths, wider):
    """Else the map of a token would be drawn beside what the token saw."""
    images = RNG.normal(size=(1, 40, 56, 3)).astype("float32")
    layer, tokens = embed(images, patch_size=8, embed_dim=11, stem="conv", stem_depths=stem_depths)
    token = 2 * 7 + 3  # row 2, column 3: patch of rows 16 to 23, columns 24 to 31
    seen = {}
    for axis, length in ((1, 40), (2, 56)):
        seen[axis] = []
        for pixel in range(length):
            changed = images.copy()
            changed[(slice(None),) * axis + (pixel,)] += 100.0
            moved = evaluated(lambda x: layer(x, training=False), changed)[0, token] - tokens[0, token]
            if np.abs(moved).max() > 1e-3:
                seen[axis].append(pixel)
    assert (seen[1][0], seen[1][-1]) == (16 - 4 - wider, 23 + 3 + wider)
    assert (seen[2][0], seen[2][-1]) == (24 - 4 - wider, 31 + 3 + wider)


def test_conv_stem_normalizes_by_the_batch_in_training():
    images = 5 + 3 * RNG.normal(size=(7, 16, 24, 3)).astype("float32")
    layer = PatchEmbedding(patch_size=8, embed_dim=12, stem="conv")
    layer.build(images.shape)
    trained = to_numpy(layer(images, training=True))
    assert np.abs(trained - to_numpy(layer(images, training=False))).max() > 1e-3
    assert {norm.momentum for _, norm in layer.convolutions} == {0.9}


def test_tokens_are_row_major():
    images = np.zeros((1, 6, 9, 1), "float32")
    images[0, 3:, :3] = 1.0  # the patch of row 1, column 0
    layer = PatchEmbedding(patch_size=3, embed_dim=7)
    layer.build(images.shape)
    assert np.flatnonzero(np.abs(to_numpy(layer(images))[0]).sum(-1)).tolist() == [3]


def test_sizes_that_do_not_divide_are_both_named():
    layer = PatchEmbedding(patch_size=(4, 5), embed_dim=7)
    with pytest.raises(ValueError, match="image height 30, patch height 4"):
        layer.build((None, 30, 25, 3))
    with pytest.raises(ValueError, match="image width 32, patch width 5"):
        layer.build((None, 28, 32, 3))
    layer.build((None, 28, 25, 3))
    with pytest.raises(ValueError, match="image height 30, patch height 4"):
        layer(np.zeros((1, 30, 25, 3), "float32"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": 4, "stem": "conv"}, "expected patch_size=8 with stem='conv'.*Received: patch_size=4"),
        ({"patch_size": 4, "stem": "deep"}, "Received: stem='deep'"),
        ({"patch_size": 0}, "Received: patch_size=0"),
        ({"patch_size": (4, 2.5)}, "Received: patch_size="),
        ({"patch_size": 4, "embed_dim": 0}, "embed_dim=0"),
        ({"patch_size": 8, "stem": "conv", "stem_depths": (2, 2)}, "three positive.*stem_depths=\\(2, 2\\)"),
        ({"patch_size": 8, "stem": "conv", "stem_depths": (2, 0, 1)}, "three positive.*stem_depths=\\(2, 0, 1\\)"),
        ({"patch_size": 8, "stem_depths": (2, 1, 1)}, "expected stem='conv'.*stem_depths=\\(2, 1, 1\\)"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        PatchEmbedding(**{"embed_dim": 7, **options})


def test_a_size_must_be_static():
    with pytest.raises(ValueError, match="static size"):
        PatchEmbedding(patch_size=4, embed_dim=7).build((None, None, None, 3))
