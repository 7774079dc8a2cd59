"""What a model says of its target when only some patches are kept, dropped *as tokens*: they are removed from the
sequence behind the embedding, as in training with patch dropout, and never painted over, which biases what is measured
(Jain, Salman et al., "Missingness Bias in Model Debugging", 2022, arXiv 2204.08945).

An image is embedded once; behind that only the kept tokens are computed. It equals masking the dropped ones in every
layer (`AttentionControls.kept_patches`), and takes half of the time or less. Behind a convolutional stem the neighbors
of a dropped patch have still seen its pixels: this is token fidelity, and `pixel_scores.py` blurs pixels instead.

Shape legend: B examples, P patches, R rows that are scored, C patches kept in them, T tokens, D width.
"""

from __future__ import annotations

import numpy as np

from vitcross.attention_maps.trust.scores import Portions, Scores
from vitcross.attention_maps.trust.target_probability import make_query, score_tokens
from vitcross.models.compiled_any_length import compiled_for_any_length

# Tokens that go through the network in one piece: large enough for fast products, small enough for caches.
CHUNK = 8192


class TokenScorer:
    """Scores of one model, compiled once; runs in inference mode and touches neither variables nor random state.

    Args:
        model: built `VisionTransformer`, `DualEncoder`, `CaptioningModel` or `QuestionAnsweringModel`.
        chunk: int, tokens that go through the network in one piece.
        choices: (K, E) float32 for a dual encoder, as of `answers.question`.

    Call arguments:
        batch: dict of arrays, the batch contract, every row of which counts.
        target: (B,) int or None: class, answer, or position of the explained token; as of `answers.question`.

    Returns:
        Scores of this batch.
    """

    def __init__(self, model, chunk: int = CHUNK, choices=None):
        self.model, self.chunk, self.choices = model, chunk, choices
        tower = model.image_encoder if hasattr(model, "image_encoder") else model
        self._embed = compiled_for_any_length(model, lambda inputs: (tower.embed(inputs["images"], training=False),))
        self._embed_texts = compiled_for_any_length(model, lambda texts: (model.encode_texts(**texts, training=False),))
        self._say = compiled_for_any_length(model, self._gather_and_say)

    def __call__(self, batch, target=None) -> Scores:
        return self.scores(batch["images"], self.query(batch, target))

    def portions(self, batch, target=None, size: int = 64) -> Portions:
        """The scores of a batch in portions of `size` examples, so that memory does not grow with their number; what is
        query (the texts that a dual encoder chooses from) is the same as of the whole batch."""
        return Portions(self, np.asarray(batch["images"]), self.query(batch, target), size)

    def query(self, batch, target=None) -> dict[str, np.ndarray]:
        """The `answers.question` of a batch."""
        embed_texts = lambda texts: self._embed_texts(texts)[0].astype(np.float32)  # noqa: E731
        return make_query(self.model, batch, target, embed_texts, self.choices)

    def scores(self, images, query) -> Scores:
        """Scores of images (B, H, W, C) of which `query` is query."""
        import keras

        images = np.asarray(images, np.float32)
        layout = self.model.token_layout_for(tuple(images.shape[1:3]))
        tokens = self._embed({"images": images})[0]
        # Handed over once, not with every call.
        embedded = {"tokens": keras.ops.convert_to_tensor(tokens.reshape(-1, tokens.shape[-1]))}
        prefix = layout.num_prefix_tokens

        def say(examples, kept, query):
            before = np.tile(np.arange(prefix), (len(kept), 1))
            rows = np.concatenate([before, prefix + kept], axis=1) + examples[:, None] * layout.num_tokens
            return self._say(embedded, {"tokens": rows.astype(np.int32)}, query)

        return Scores(say, query, layout, rows_at_once=lambda kept: max(1, self.chunk // (prefix + kept)))

    def _gather_and_say(self, embedded, rows, query):
        """embedded (B T, D), rows (R, prefix + C) -> what the model says of the tokens in those rows."""
        from keras import ops

        return score_tokens(self.model, ops.take(embedded["tokens"], rows["tokens"], axis=0), query)
