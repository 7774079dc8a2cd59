"""Scores a model's target when only some patches are kept; the others are dropped *as tokens*.

They are removed from the sequence after the embedding, as in training with patch dropout, and never painted over, which
would bias the measurement (Jain, Salman et al., "Missingness Bias in Model Debugging", 2022, arXiv 2204.08945).

An image is embedded once; after that, only the kept tokens are computed. The result equals masking the dropped ones in
every layer (`AttentionControls.kept_patches`), in half of the time or less. With a convolutional stem, the neighbors of
a dropped patch still contain its pixels: this is token fidelity, and `pixel_scores.py` blurs pixels instead.

Shape legend: B examples, P patches, R rows that are scored, C patches kept in them, T tokens, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps.trust.scores import Portions, Scores
from vitcross.attention_maps.trust.target_probability import score_tokens

if TYPE_CHECKING:
    from vitcross.models.explainable import Query

# Tokens per forward pass: large enough for fast products, small enough for caches.
CHUNK = 8192


class TokenScorer:
    """Scores of one model, compiled once; runs in inference mode and touches neither variables nor random state.

    Args:
        model: built model that implements `Explainable`.
        chunk: int, tokens per forward pass.
        choices: as of `Explainable.make_query`.

    Call arguments:
        batch: dict of arrays, the batch contract; every row is scored.
        target: (B,) int or None, as of `Explainable.make_query`.

    Returns:
        Scores of this batch.
    """

    def __init__(self, model, chunk: int = CHUNK, choices=None):
        from vitcross.models.compiled import compiled

        self.model, self.chunk, self.choices, self.image_key = model, chunk, choices, model.batch_keys[0]
        embed = lambda inputs: model.embed(inputs[self.image_key], training=False)  # noqa: E731
        self._embed = compiled(model, embed, any_length=True)
        self._score = compiled(model, self._gather_and_score, any_length=True, as_numpy=True)

    def __call__(self, batch, target=None) -> Scores:
        return self.scores(batch[self.image_key], self.query(batch, target))

    def portions(self, batch, target=None, size: int = 64) -> Portions:
        """The scores of a batch in portions of `size` examples, which bounds memory; the query (the texts that are
        compared) is that of the whole batch."""
        return Portions(self, np.asarray(batch[self.image_key]), self.query(batch, target), size)

    def query(self, batch, target=None) -> Query:
        """The `Query` of a batch."""
        return self.model.make_query(batch, target, self.choices)

    def scores(self, images, query) -> Scores:
        """Scores of images (B, H, W, C) for their `Query`."""
        from keras import ops

        images = np.asarray(images, np.float32)
        layout = self.model.token_layout_for(tuple(images.shape[1:3]))
        tokens = self._embed({self.image_key: images})
        embedded = {"tokens": ops.reshape(tokens, (-1, tokens.shape[-1]))}
        prefix = layout.num_prefix_tokens

        def score_rows(examples, kept, query):
            before = np.tile(np.arange(prefix), (len(kept), 1))
            rows = np.concatenate([before, prefix + kept], axis=1) + examples[:, None] * layout.num_tokens
            return self._score(embedded, {"tokens": rows.astype(np.int32)}, query)

        return Scores(score_rows, query, layout, lambda kept: max(1, self.chunk // self.tokens(layout, kept)))

    @staticmethod
    def tokens(layout, kept: int) -> int:
        """Tokens that one pass computes where `kept` patches are kept."""
        return layout.num_prefix_tokens + kept

    def _gather_and_score(self, embedded, rows, query):
        """embedded (B T, D), rows (R, prefix + C) -> the scores of the tokens in those rows."""
        from keras import ops

        return score_tokens(self.model, ops.take(embedded["tokens"], rows["tokens"], axis=0), query)
