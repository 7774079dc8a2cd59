"""Scores a model's target while the pixels of patches are blurred, instead of dropping their tokens.

With a convolutional stem, the neighbors of a dropped token contain its pixels; those of a blurred patch do not. But
blurred patches are unusual input, and the model's reaction to them is measured too (`token_scores.py`).

Shape legend: B examples, H W C pixels, P patches, R rows that are scored, C patches kept in them.
"""

from __future__ import annotations

import numpy as np

from vitcross.attention_maps.trust.scores import Scores
from vitcross.attention_maps.trust.target_probability import score_images
from vitcross.attention_maps.trust.token_scores import CHUNK, TokenScorer


class PixelScorer(TokenScorer):
    """As `TokenScorer`, but the patches that are not kept are blurred in the image.

    Args:
        model: built model.
        chunk: int, tokens per forward pass.
        sigma: float, standard deviation of the Gaussian blur in pixels; None: the longer side of a patch.
    """

    def __init__(self, model, chunk: int = CHUNK, sigma: float | None = None):
        from vitcross.models.compiled import compiled

        super().__init__(model, chunk)
        self.sigma = float(max(model.patch_size)) if sigma is None else sigma
        score = lambda inputs, query: score_images(model, inputs[self.image_key], query)  # noqa: E731
        self._score = compiled(model, score, any_length=True, as_numpy=True)

    def scores(self, images, query) -> Scores:
        images = np.asarray(images, np.float32)
        layout, blurred = self.model.token_layout_for(tuple(images.shape[1:3])), blur(images, self.sigma)

        def score_rows(examples, kept, query):
            mask = patch_mask(kept, layout, self.model.patch_size, images.shape[1:3])[..., None]
            return self._score({self.image_key: np.where(mask, images[examples], blurred[examples])}, query)

        return Scores(score_rows, query, layout, lambda kept: max(1, self.chunk // self.tokens(layout, kept)))

    @staticmethod
    def tokens(layout, kept: int) -> int:
        """Tokens that one pass computes: all, whatever is blurred."""
        return layout.num_tokens


def patch_mask(kept, layout, patch_size, image_size) -> np.ndarray:
    """(R, H, W) bool, the pixels of the patches kept (R, C); patches may reach beyond the image where a stem pads."""
    mask = np.zeros((len(kept), layout.num_patches), bool)
    np.put_along_axis(mask, np.asarray(kept), True, axis=1)
    pixels = layout.to_grid(mask).repeat(patch_size[0], axis=1).repeat(patch_size[1], axis=2)
    return pixels[:, : image_size[0], : image_size[1]]


def blur(images, sigma: float) -> np.ndarray:
    """(B, H, W, C) blurred by a Gaussian of `sigma` pixels; pixels at the border are repeated beyond it."""
    from scipy import ndimage  # here: `import vitcross.attention_maps` stays light

    if sigma <= 0:
        raise ValueError(f"`sigma` must be > 0. Received: sigma={sigma}")
    radius = int(np.ceil(3 * sigma))
    return ndimage.gaussian_filter(np.asarray(images, np.float32), sigma, mode="nearest", radius=radius, axes=(1, 2))
