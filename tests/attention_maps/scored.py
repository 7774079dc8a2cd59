"""Scores of models written by hand, whose answer depends on known patches; the grid is 3 x 5."""

import numpy as np

from vitcross.attention_maps.trust.scores import Scores
from vitcross.layers.token_layout import TokenLayout
from vitcross.models.explainable import Query

LAYOUT = TokenLayout(grid_height=3, grid_width=5)
P = LAYOUT.num_patches


def scores_of(function, count):
    """`Scores` of `count` examples: `function(example, keep (P,) bool)` is the probability of the target, which the
    model says where it is above a half."""

    def say(examples, kept, query):
        keep = np.zeros((len(kept), P), bool)
        np.put_along_axis(keep, kept, True, axis=1)
        numbers = np.array([function(e, row) for e, row in zip(query["target"], keep, strict=True)], np.float32)
        return numbers, numbers > 0.5, np.zeros(len(kept), np.int32)

    # The target carries the example's number here.
    query = Query(rows={"target": np.arange(count, dtype=np.int32)})
    return Scores(say, query, LAYOUT, rows_at_once=lambda kept: 7)


class Portioned:
    """Portions of such scores."""

    def __init__(self, function, count, size):
        self.layout, self.count = LAYOUT, count
        self.parts = []
        for start in range(0, count, size):
            rows = np.arange(start, min(start + size, count))
            self.parts.append((rows, scores_of(lambda e, keep, start=start: function(start + e, keep), len(rows))))

    def __len__(self):
        return self.count

    def __iter__(self):
        return iter(self.parts)


def important_patches(count, each=3, seed=0):
    """(count, P) bool, the patches that a model looks at, other ones in every image."""
    random = np.random.default_rng(seed)
    return np.argsort(random.random((count, P)), axis=1) < each


def looking_model(important):
    """Probability .2, and .25 more for each of three important patches that is kept."""
    return lambda example, keep: 0.2 + 0.25 * (important[example] & keep).sum()
