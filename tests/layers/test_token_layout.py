"""Token <-> grid arithmetic."""

import dataclasses

import numpy as np
import pytest

from vitcross.layers import TokenLayout

LAYOUT = TokenLayout(grid_height=3, grid_width=5, num_prefix_tokens=2)


def test_counts():
    assert (LAYOUT.grid, LAYOUT.num_patches, LAYOUT.num_tokens) == ((3, 5), 15, 17)


def test_patches_and_prefix_along_any_axis():
    x = np.arange(7 * 17 * 2).reshape(7, 17, 2)
    np.testing.assert_array_equal(LAYOUT.patches(x, axis=1), x[:, 2:])
    np.testing.assert_array_equal(LAYOUT.patches(x, axis=-2), x[:, 2:])
    np.testing.assert_array_equal(LAYOUT.prefix(x, axis=1), x[:, :2])
    np.testing.assert_array_equal(LAYOUT.patches(x.swapaxes(1, 2)), x.swapaxes(1, 2)[..., 2:])
    assert TokenLayout(grid_height=1, grid_width=2).prefix(np.zeros((3, 2))).shape == (3, 0)


def test_to_grid_from_tokens_and_from_patches():
    tokens = np.arange(17)[None]
    expected = np.arange(2, 17).reshape(1, 3, 5)
    np.testing.assert_array_equal(LAYOUT.to_grid(tokens), expected)
    np.testing.assert_array_equal(LAYOUT.to_grid(tokens[:, 2:]), expected)
    with pytest.raises(ValueError, match=r"15 patches or 17 tokens. Received: shape \(1, 16\)"):
        LAYOUT.to_grid(np.zeros((1, 16)))


def test_a_padding_stem_counts_the_patches_that_are_cut_off():
    assert TokenLayout.from_image((28, 20), 8, round_up=True).grid == (4, 3)


def test_from_image():
    layout = TokenLayout.from_image((30, 14), (6, 7), num_prefix_tokens=1)
    assert layout == TokenLayout(grid_height=5, grid_width=2, num_prefix_tokens=1)
    assert TokenLayout.from_image(224, 16).grid == (14, 14)
    with pytest.raises(ValueError, match="image width 15, patch width 7"):
        TokenLayout.from_image((30, 15), (6, 7))


def test_is_a_value():
    assert hash(LAYOUT) == hash(dataclasses.replace(LAYOUT))
    with pytest.raises(dataclasses.FrozenInstanceError):
        LAYOUT.grid_height = 4


@pytest.mark.parametrize(
    "options", [{"grid_height": 0}, {"grid_width": -1}, {"num_prefix_tokens": -1}], ids=lambda o: next(iter(o))
)
def test_errors(options):
    with pytest.raises(ValueError, match=f"Received: {next(iter(options))}="):
        TokenLayout(**{"grid_height": 3, "grid_width": 5, **options})
