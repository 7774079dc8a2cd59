"""Computes example order and random numbers as pure functions of (seed, position), so that resuming needs no state.

A position counts training examples since the start of the run; pass `position // n` visits every example once, in its
own order. Shape letters: B batch.
"""

import tensorflow as tf

from vitcross.data.augment.streams import BLOCK, NUM_BLOCKS

_GOLDEN = 0x9E3779B97F4A7C15
_ORDER = 0x0BDE
_FURTHER = range(1, NUM_BLOCKS)


def example_indices(positions, *, num_examples, seed):
    """Indices (B,) int64 of positions (B,) int64: a permutation of [0, num_examples) in every pass."""
    num_examples = tf.constant(num_examples, tf.int64)
    passes = positions // num_examples
    same = tf.ones_like(passes)
    seeds = tf.stack([same * seed, passes, same * _ORDER], axis=1)
    # `tf.random.experimental.index_shuffle` pads a matrix of seeds in both directions and then rejects it (TF 2.21).
    return tf.raw_ops.RandomIndexShuffle(
        index=positions % num_examples,
        seed=seeds,
        max_index=tf.fill(tf.shape(passes), num_examples - 1),
        rounds=4,
    )


def uniforms(positions, *, seed):
    """Uniforms (B, NUM_STREAMS) float32 in [0, 1) of positions (B,) int64: SplitMix64 as a counter-based generator.

    `tf.random.stateless_uniform` takes one seed for a whole tensor; this one is vectorized over the batch.
    Reference: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators", figure 14 (the finalizer).
    """
    golden = tf.constant(_GOLDEN, tf.uint64)
    key = _mix(tf.bitcast(tf.constant(seed, tf.int64), tf.uint64) + golden)
    # Positions use the counters from 1 on; 0, -1, ... give the keys of the blocks after the first.
    keys = [key, *(_mix(key + tf.bitcast(tf.constant(1 - block, tf.int64), tf.uint64) * golden) for block in _FURTHER)]
    counters = tf.bitcast(positions[:, None] * BLOCK + tf.range(BLOCK, dtype=tf.int64) + 1, tf.uint64)
    bits = _mix(tf.concat([key + counters * golden for key in keys], axis=1))
    # float32 holds 24 bits exactly: the result never rounds up to 1.
    top = tf.cast(tf.bitwise.right_shift(bits, tf.constant(40, tf.uint64)), tf.int64)
    return tf.cast(top, tf.float32) * (2.0**-24)


def _mix(z):
    def fold(z, bits):
        return tf.bitwise.bitwise_xor(z, tf.bitwise.right_shift(z, tf.constant(bits, tf.uint64)))

    z = fold(z, 30) * tf.constant(0xBF58476D1CE4E5B9, tf.uint64)
    z = fold(z, 27) * tf.constant(0x94D049BB133111EB, tf.uint64)
    return fold(z, 31)
