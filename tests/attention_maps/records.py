"""Attention records of known content, with no model behind them; sizes are distinct primes, the grid is not square."""

import numpy as np

from vitcross.attention_maps import AttentionRecord
from vitcross.layers.token_layout import TokenLayout

B, N, L, K = 7, 2, 11, 13
LAYOUT = TokenLayout(grid_height=3, grid_width=5, num_prefix_tokens=2)
PATCH = (4, 6)
T = LAYOUT.num_tokens  # 17


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def random_weights(*shape, seed=0, sharpness=1.0):
    return softmax(sharpness * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def random_record(*, pooling="cls", depth=L, heads=N, channels=3, layout=LAYOUT, step=5, seed=0, batch=B, **changes):
    random = np.random.default_rng(seed)
    tokens = layout.num_tokens
    weights = {
        f"image_encoder/block_{layer:02d}/self_attention": random_weights(
            batch, heads, tokens, tokens, seed=seed * 100 + layer
        )
        for layer in range(depth)
    }
    if pooling == "map":
        weights["image_encoder/pooling/cross_attention"] = random_weights(batch, heads, 1, tokens, seed=seed + 999)
    height, width = layout.grid_height * PATCH[0], layout.grid_width * PATCH[1]
    low = random.uniform(0, 0.4, (batch, 2))
    fields = {
        "step": step,
        "images": random.integers(0, 256, (batch, height, width, channels), dtype=np.uint8),
        "labels": random.integers(0, K, batch).astype(np.int32),
        "probabilities": softmax(random.normal(size=(batch, K))).astype(np.float32),
        "class_names": tuple(f"class {k}" for k in range(K)),
        "example_index": np.arange(batch),
        "boxes": np.concatenate([low, low + random.uniform(0.3, 0.6, (batch, 2))], axis=1).astype(np.float32),
        "weights": weights,
        "token_layout": layout,
        "pooling": pooling,
        "patch_size": PATCH,
        "token_norms": random.uniform(5, 9, (batch, tokens)).astype(np.float32),
    }
    return AttentionRecord(**{**fields, **changes})
