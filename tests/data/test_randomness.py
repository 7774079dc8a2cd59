import numpy as np
import pytest
import tensorflow as tf

from vitcross.data.augment.randomness import example_indices, uniforms
from vitcross.data.augment.streams import NUM_STREAMS

MASK = 2**64 - 1
FIRST_VERSION = ([12104898, 10900229, 15362519, 13925795], [16303731, 3208018, 15442737, 8276289])


def split_mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def oracle(position, stream, seed):
    golden = 0x9E3779B97F4A7C15
    key = split_mix((seed + golden) & MASK)
    if stream >= 16:
        key = split_mix((key + (1 - stream // 16) * golden) & MASK)
    counter = position * 16 + stream % 16 + 1
    return (split_mix((key + counter * golden) & MASK) >> 40) / 2**24


@pytest.mark.parametrize("size", [1, 2, 3, 97, 1009])
def test_every_pass_is_a_permutation(size):
    for number in range(3):
        positions = tf.range(number * size, (number + 1) * size, dtype=tf.int64)
        indices = example_indices(positions, num_examples=size, seed=5).numpy()
        np.testing.assert_array_equal(np.sort(indices), np.arange(size))


def test_passes_and_seeds_differ():
    def order(number, seed):
        return example_indices(tf.range(number * 97, (number + 1) * 97, dtype=tf.int64), num_examples=97, seed=seed)

    orders = [tuple(order(number, seed).numpy()) for number in range(3) for seed in range(3)]
    assert len(set(orders)) == 9


def test_an_order_is_not_the_stored_one():
    indices = example_indices(tf.range(1009, dtype=tf.int64), num_examples=1009, seed=0).numpy()
    assert abs(np.corrcoef(indices, np.arange(1009))[0, 1]) < 0.1
    assert (np.diff(indices) == 1).mean() < 0.02


def test_a_position_decides_alone():
    together = example_indices(tf.range(200, dtype=tf.int64), num_examples=89, seed=3).numpy()
    one = [int(example_indices(tf.constant([p], tf.int64), num_examples=89, seed=3)[0]) for p in (0, 88, 89, 199)]
    assert one == together[[0, 88, 89, 199]].tolist()


def test_uniforms_equal_the_oracle():
    positions = [0, 1, 2**40 + 7]
    values = uniforms(tf.constant(positions, tf.int64), seed=11).numpy()
    expected = [[oracle(p, s, 11) for s in range(NUM_STREAMS)] for p in positions]
    np.testing.assert_array_equal(values, np.array(expected, np.float32))


def test_the_first_block_is_what_it_was_when_it_was_the_only_one():
    """Numbers of the first version: runs that use none of the later streams stay the same, bit for bit."""
    bits = uniforms(tf.constant([0, 123456], tf.int64), seed=7).numpy() * 2**24
    assert bits[0, [0, 1, 6, 15]].tolist() == FIRST_VERSION[0]
    assert bits[1, [0, 1, 6, 15]].tolist() == FIRST_VERSION[1]


def test_uniforms_are_uniform_and_independent():
    values = uniforms(tf.range(40009, dtype=tf.int64), seed=1).numpy()
    assert values.min() >= 0 and values.max() < 1
    np.testing.assert_allclose(values.mean(0), 0.5, atol=0.02)
    np.testing.assert_allclose(values.var(0), 1 / 12, atol=0.005)
    correlation = np.corrcoef(values.T) - np.eye(NUM_STREAMS)
    assert np.abs(correlation).max() < 0.03
    assert abs(np.corrcoef(values[:-1, 0], values[1:, 0])[0, 1]) < 0.05


def test_negative_and_large_seeds_are_allowed():
    for seed in (-1, 2**62):
        assert uniforms(tf.constant([0], tf.int64), seed=seed).shape == (1, NUM_STREAMS)
