"""Pointing game and energy, edge by edge."""

import dataclasses

import numpy as np
import pytest

from tests.attention_maps.records import LAYOUT, random_record
from vitcross.attention_maps import box_to_patches, energy_in_box, grounding, pointing_game, raw_map
from vitcross.attention_maps.sheets import drawing
from vitcross.attention_maps.trust.grounding import mask_to_patches


def grid(*ones, shape=(3, 5)):
    found = np.zeros(shape)
    for row, column in ones:
        found[row, column] = 1
    return found


def test_pointing_game_tolerates_one_patch_in_euclidean_distance():
    box = grid((1, 1)).astype(bool)
    assert pointing_game(grid((1, 1)), box)
    assert pointing_game(grid((1, 2)), box)
    assert not pointing_game(grid((2, 2)), box)  # sqrt 2
    assert not pointing_game(grid((1, 3)), box)
    assert not pointing_game(grid((1, 2)), box, tolerance=0)
    assert pointing_game(grid((2, 2)), box, tolerance=1.5)
    assert isinstance(pointing_game(grid((1, 1)), box), bool)


def test_pointing_game_misses_with_an_empty_map():
    box = np.ones((3, 5), bool)
    assert not pointing_game(np.zeros((3, 5)), box)
    assert not pointing_game(-np.ones((3, 5)), box)
    assert not pointing_game(np.full((3, 5), np.nan), box)
    assert not pointing_game(grid((1, 1)), np.zeros((3, 5), bool))


def test_pointing_game_breaks_ties_at_random_and_repeatably():
    box = grid((0, 0), shape=(5, 7)).astype(bool)
    uniform = np.ones((5, 7))
    hits = [pointing_game(uniform, box, seed=seed) for seed in range(2000)]
    assert abs(np.mean(hits) - 3 / 35) < 0.03  # the corner and its two neighbors; row-major order would always hit
    assert hits[:50] == [pointing_game(uniform, box, seed=seed) for seed in range(50)]


def test_energy():
    box = grid((1, 1), (1, 2)).astype(bool)
    weights = np.arange(15.0).reshape(3, 5)
    assert energy_in_box(weights, box) == (6 + 7) / 105
    assert energy_in_box(np.ones((3, 5)), box) == pytest.approx(2 / 15)
    assert energy_in_box(np.zeros((3, 5)), box) == 0
    assert energy_in_box(np.where(box, 1.0, -3.0), box) == 1  # negative values are no mass
    with pytest.raises(ValueError, match=r"\(3, 5\) and \(5, 3\)"):
        energy_in_box(weights, box.T)


def test_a_patch_is_in_the_box_when_half_of_it_is():
    # 12 x 30 pixels, patches 4 x 6.
    def patches(top, left, bottom, right):
        return box_to_patches((top / 12, left / 30, bottom / 12, right / 30), (12, 30), (3, 5), (4, 6))

    np.testing.assert_array_equal(patches(4, 6, 8, 12), grid((1, 1)).astype(bool))
    np.testing.assert_array_equal(patches(4, 9, 8, 12), grid((1, 1)).astype(bool))  # exactly half
    assert not patches(4, 9.1, 8, 12).any()
    np.testing.assert_array_equal(patches(0, 3, 8, 15), grid((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)) > 0)
    assert patches(0, 0, 12, 30).all()


def test_patches_beyond_the_image_count_by_their_part_inside():
    # A stem rounds 28 up to a grid of 4 patches of 8: the last one has 4 pixels inside.
    found = box_to_patches((24 / 28, 0, 1, 1), (28, 28), (4, 4), 8)
    np.testing.assert_array_equal(found, np.arange(4)[:, None].repeat(4, 1) == 3)


def test_grounding_of_a_map_that_knows_and_of_one_that_does_not():
    record = random_record(pooling="gap", depth=1)
    tokens = LAYOUT.num_tokens
    uniform = random_record(
        pooling="gap", weights={"a/block_00/self_attention": np.full((7, 2, tokens, tokens), 1 / tokens, np.float32)}
    )
    for method in ("raw", "rollout"):
        found = grounding(uniform, method)
        assert found["lift"] == pytest.approx(1, abs=1e-6)
        assert found["examples"] == 7
    weights = np.zeros((7, 2, tokens, tokens), np.float32)
    for b in range(7):
        mask = box_to_patches(record.boxes[b], (12, 30), (3, 5), (4, 6)).ravel()
        weights[b, ..., 2:] = mask / mask.sum()
    knows = grounding(random_record(pooling="gap", weights={"a/block_00/self_attention": weights}), "raw")
    assert knows["pointing"] == 1 and knows["energy"] == pytest.approx(1) and knows["lift"] > 1
    assert 0 < knows["chance"] < 1


def test_grounding_is_the_mean_over_examples():
    record = random_record(pooling="cls")
    maps = raw_map(record).reshape(-1, 3, 5)
    masks = [box_to_patches(box, (12, 30), (3, 5), (4, 6)) for box in record.boxes]
    energies = [energy_in_box(m, mask) for m, mask in zip(maps, masks, strict=True)]
    found = grounding(record, "raw")
    assert found["energy"] == pytest.approx(np.mean(energies))
    assert found["lift"] == pytest.approx(np.mean([e / mask.mean() for e, mask in zip(energies, masks, strict=True)]))


def test_grounding_without_usable_boxes():
    with pytest.raises(ValueError, match="boxes"):
        grounding(random_record(boxes=None))
    boxes = np.tile(np.float32([0.5, 0.5, 0.5, 0.5]), (7, 1))
    assert grounding(random_record(boxes=boxes)) == {}


def test_a_patch_is_in_a_mask_when_half_of_it_is():
    random = np.random.default_rng(0)
    for size, patch_size in (((12, 30), (4, 6)), ((11, 29), (4, 6))):  # a stem rounds the grid up
        mask = random.random(size) < 0.5
        expected = [[mask[4 * y : 4 * y + 4, 6 * x : 6 * x + 6].mean() >= 0.5 for x in range(5)] for y in range(3)]
        np.testing.assert_array_equal(mask_to_patches(mask, (3, 5), patch_size), expected)
    box = np.zeros((12, 30), bool)
    box[3:9, 7:20] = True
    as_box = box_to_patches((3 / 12, 7 / 30, 9 / 12, 20 / 30), (12, 30), (3, 5), (4, 6))
    np.testing.assert_array_equal(mask_to_patches(box, (3, 5), (4, 6)), as_box)


def test_a_mask_goes_before_a_box_and_what_is_unknown_is_left_out():
    record = random_record(batch=3)
    size = record.images.shape[1:3]
    masks = np.zeros((3, *size), bool)
    masks[0, : size[0] // 2] = True
    boxes = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]], np.float32)
    record = dataclasses.replace(record, masks=masks, boxes=boxes)
    found = grounding(record, "raw")
    upper = mask_to_patches(masks[0], LAYOUT.grid, record.patch_size)
    maps = LAYOUT.to_grid(raw_map(record))
    assert found["examples"] == 2 and 0 < upper.mean() < 1
    assert found["energy"] == pytest.approx((energy_in_box(maps[0], upper) + 1) / 2)


def test_the_outline_of_a_rectangle_is_its_box():
    by_box, by_mask = (np.full((48, 80, 3), 99, np.uint8) for _ in range(2))
    mask = np.zeros((12, 20), bool)
    mask[2:9, 3:20] = True
    drawing.draw_box(by_box, (2 / 12, 3 / 20, 9 / 12, 20 / 20))
    drawing.draw_outline(by_mask, mask)
    np.testing.assert_array_equal(by_mask, by_box)
