"""Captures small enough to be written and uploaded in tests. Sizes are prime and images are not square.

Shape legend: B batch, H W C pixels, N heads, T tokens.
"""

import numpy as np

from vitcross.attention_maps.records.record import AttentionRecord
from vitcross.attention_maps.sheets.media import AttentionMedia
from vitcross.attention_maps.sheets.sheet import Sheet

HEIGHT, WIDTH = 53, 71
KEYS = ("attention/probe", "attention/self/overlay", "attention/self/heads", "attention_stats/entropy")


class SampleLayout:
    """2 x 3 patches behind one prefix token, as `TokenLayout` says it; that class's package loads Keras."""

    grid_height, grid_width, num_prefix_tokens, num_patches, num_tokens = 2, 3, 1, 6, 7
    grid = (2, 3)

    def patches(self, x, axis=-1):
        return np.delete(x, 0, axis)

    def prefix(self, x, axis=-1):
        return np.take(x, [0], axis)

    def to_grid(self, x):
        return x.reshape(*x.shape[:-1], 2, 3)


def sample_record(step):
    generator = np.random.default_rng(step)
    return AttentionRecord(
        step=step,
        images=generator.integers(0, 256, (5, 22, 33, 3), dtype=np.uint8),
        probabilities=np.full((5, 2), 0.5, np.float32),
        class_names=("a cat", "<b>[red]dog\x1b[31m</b>"),
        example_index=np.arange(5),
        weights={"image_encoder/block_00/self_attention": np.full((5, 3, 7, 7), 1 / 7, np.float32)},
        token_layout=SampleLayout(),
        pooling="cls",
        patch_size=(11, 11),
        token_norms=np.ones((5, 7), np.float32),
        boxes=np.tile(np.array([0.25, 0.125, 0.75, 0.5], np.float32), (5, 1)),
        maps={"relevance": generator.random((5, 6)).astype(np.float32)},
    )


def sample_media(step, keys=KEYS):
    """A capture whose sheets differ from step to step and from key to key."""
    sheets = {}
    for number, key in enumerate(keys):
        generator = np.random.default_rng([step, number])
        image = generator.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        sheets[key] = Sheet(image=image, title=key.replace("/", " "), caption=f'step {step}, <{key}> \u2192 "50 %"')
    return AttentionMedia(record=sample_record(step), sheets=sheets, statistics={"attention_stats/entropy/mean": 0.5})
