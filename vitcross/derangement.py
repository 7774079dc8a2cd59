"""Exchanges things so that none stays where it was: images shown with another image's text, maps of another image."""

import numpy as np


def derangement(count, seed):
    """(count,) int64: for each of `count` > 1 another one, each used once (one cycle, Sattolo 1986), at random by
    `seed`, an int or a tuple of them."""
    order = np.random.default_rng(seed).permutation(count)
    others = np.empty(count, np.int64)
    others[order] = np.roll(order, 1)
    return others
