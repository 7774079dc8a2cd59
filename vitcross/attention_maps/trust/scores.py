"""Scores the targets of a batch when only some patches are kept: the interface that trust is measured with.

The other patches are dropped as tokens (`token_scores.py`) or blurred (`pixel_scores.py`).

Shape legend: B examples, P patches, R rows that are scored, C patches kept in them, K rows of one example.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vitcross.models.explainable import Query


class Scores:
    """The scores of one batch; each image's target is fixed on the unperturbed image.

    Args:
        score_rows: callable, (examples (r,), kept (r, C), arrays of the rows' query) -> `(score, correct, top)`, each
            (r,), as of `score_tokens`.
        query: `Query` of the batch.
        layout: TokenLayout of the images.
        rows_at_once: callable, number of patches C -> int, rows per forward pass.

    Attributes:
        on_rows: callable (number of rows, patches kept in them) or None, called after every forward pass.
        target: (B,) int32, index of the target among the model's choices.
        full: (B,) float64, its score with all patches: a probability, or a cosine.
        right: (B,) bool, whether it is the top prediction with all patches.
        layout: as given.

    Call arguments:
        examples: (R,) ints in [0, B).
        kept: (R, C) ints in [0, P), patches that are kept, each at most once; C >= 1.

    Returns:
        `(numbers (R,) float64, right (R,) bool)`.
    """

    def __init__(self, score_rows, query: Query, layout, rows_at_once):
        self.layout, self._score_rows, self._query, self._rows_at_once = layout, score_rows, query, rows_at_once
        self.on_rows = None
        everything = np.tile(np.arange(layout.num_patches), (len(query), 1))
        self.full, self.right, self.target = self._run(np.arange(len(query)), everything)
        self._query = query.with_target(self.target)

    def __len__(self):
        return len(self.target)

    def __call__(self, examples, kept):
        return self._run(np.asarray(examples), np.asarray(kept))[:2]

    def of(self, example: int):
        """The `score` of one example for `deletion_insertion`: keep (K, P) bool -> (K,); each row keeps a patch."""

        def score(keep):
            keep = np.asarray(keep, bool)
            counts, values = keep.sum(axis=-1), np.zeros(len(keep))
            if keep.ndim != 2 or keep.shape[1] != self.layout.num_patches or not counts.all():
                raise ValueError(
                    f"`keep` must be (K, {self.layout.num_patches}) with at least one patch kept in every row. "
                    f"Received: shape {keep.shape}, kept {counts.tolist()}"
                )
            for count in np.unique(counts):
                rows = np.flatnonzero(counts == count)
                kept = np.nonzero(keep[rows])[1].reshape(len(rows), count)
                values[rows] = self(np.full(len(rows), example), kept)[0]
            return values

        return score

    def _run(self, examples, kept):
        pieces = -(-len(kept) // self._rows_at_once(kept.shape[1]))
        found = []
        for rows in np.array_split(np.arange(len(kept)), pieces):
            found.append(self._score_rows(examples[rows], kept[rows], self._query.take(examples[rows]).arrays))
            if self.on_rows is not None:
                self.on_rows(len(rows), kept.shape[1])
        numbers, right, top = (np.concatenate(parts) for parts in zip(*found, strict=True))
        target = self._query.rows["target"][examples]
        # A network that diverged scores 0.
        numbers = np.nan_to_num(numbers.astype(np.float64), nan=0.0)
        return numbers, right.astype(bool), np.where(target < 0, top, target).astype(np.int32)


class Portions:
    """The scores of many examples: iterating yields `(rows, Scores)` of every portion, as often as needed.

    Args:
        scorer: `TokenScorer` or `PixelScorer`.
        images: (B, H, W, C) float32.
        query: `Query` of all examples.
        size: int, examples in a portion.

    Attributes:
        layout: TokenLayout of the images.
        on_rows: as of `Scores`; the first pass, of all patches, is not counted.
    """

    def __init__(self, scorer, images, query: Query, size: int):
        if size < 1:
            raise ValueError(f"`size` of a portion must be >= 1. Received: size={size}")
        self._scorer, self._images, self._query = scorer, images, query
        self.layout = scorer.model.token_layout_for(tuple(images.shape[1:3]))
        self._rows = [np.arange(start, min(start + size, len(images))) for start in range(0, len(images), size)]
        self._only = self.on_rows = None

    def __len__(self):
        return len(self._images)

    def __iter__(self):
        for rows in self._rows:
            scores = self._only
            if scores is None:
                scores = self._scorer.scores(self._images[rows], self._query.take(rows))
                scores.on_rows = self.on_rows
            if len(self._rows) == 1:
                self._only = scores
            yield rows, scores
