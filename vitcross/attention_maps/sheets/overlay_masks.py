"""A map as levels that can be switched on and off one by one: the top 3 % of the patches, 3-10 %, 10-25 %, 25-50 %.

A dashboard shows them as masks over the clean image, so that the reader chooses method and threshold.

Shape legend: P patches; h w pixels.
"""

from __future__ import annotations

import numpy as np

from vitcross.attention_maps.sheets.render import upsample

# Upper end of each level, as a share of all patches; level 0 is the rest.
SHARES = (0.03, 0.10, 0.25, 0.50)
LEVELS = {1: "top 3 %", 2: "3-10 %", 3: "10-25 %", 4: "25-50 %"}


def quantile_levels(attention_map) -> np.ndarray:
    """The level of every patch: 1 for the most attended, 0 for those that belong to none.

    Patches up to level k are at most `SHARES[k - 1]` of all, rounded to whole patches; level 1 holds at least one, also
    of a coarse grid whose patches are larger than 3 %. Patches of one value are never told apart: as many of them as do
    not fit into a level go to the first that holds them all, or to none. A map that is the same everywhere has no
    levels, and a value that is not positive (nothing, or evidence against) never has one; NaN counts as 0.

    Args:
        attention_map: array of any shape, P values, larger = more attended.

    Returns:
        uint8 array of the same shape, values in 0..4.
    """
    from scipy.stats import rankdata  # here: `import vitcross.attention_maps` stays light

    values = np.asarray(attention_map, np.float64)
    values = np.where(np.isfinite(values), values, 0.0)
    limits = np.floor(np.array(SHARES) * values.size + 0.5)
    limits = np.maximum(limits, 1)
    # How many patches are at least as bright, itself and its equals included.
    at_least = rankdata(-values, method="max").reshape(values.shape)
    levels = 1 + np.searchsorted(limits, at_least, side="left")
    return np.where((levels <= len(limits)) & (values > 0), levels, 0).astype(np.uint8)


def level_mask(attention_map, image_size, patch_size, size) -> np.ndarray:
    """The levels of a map as pixels of the image that they are laid over.

    Args:
        attention_map: (grid_height, grid_width).
        image_size: (height, width) of the image that the model saw, in pixels.
        patch_size: int or (height, width) in pixels.
        size: (h, w) of the result.

    Returns:
        (h, w) uint8, values in 0..4. The part of patches beyond the image is cut off.
    """
    return upsample(quantile_levels(attention_map), image_size, patch_size, size).astype(np.uint8)
