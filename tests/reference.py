"""Plain NumPy, float64, written from the formulas: what the layers and models must compute.

`p` is a dict of parameters by path below the layer, as `tests.backend.parameters` gives it.

Shapes: B batch, T query tokens, S key tokens, N heads, D width, Dh head width, H W C pixels, P patches.
"""

import math

import numpy as np

from tests.backend import below


def dense(x, p):
    return x @ p["kernel"] + p.get("bias", 0.0)


def layer_norm(x, p, epsilon=1e-6):
    centerd = x - x.mean(-1, keepdims=True)
    return centerd / np.sqrt((centerd**2).mean(-1, keepdims=True) + epsilon) * p["gamma"] + p["beta"]


def gelu(x, form="erf"):
    if form == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def attention_weights(query, key, mask=None):
    """softmax(query key^T / sqrt(Dh)), one row at a time; query (B, N, T, Dh), key (B, N, S, Dh)."""
    batch, heads, num_queries, head_dim = query.shape
    weights = np.zeros((batch, heads, num_queries, key.shape[2]))
    allowed = np.ones(weights.shape, bool) if mask is None else np.broadcast_to(mask, weights.shape)
    for b, n, t in np.ndindex(batch, heads, num_queries):
        keys = np.flatnonzero(allowed[b, n, t])
        if len(keys):
            logits = key[b, n, keys] @ query[b, n, t] / math.sqrt(head_dim)
            exponentials = np.exp(logits - logits.max())
            weights[b, n, t, keys] = exponentials / exponentials.sum()
    return weights


def split_heads(x, num_heads):
    """(B, T, D) -> (B, N, T, Dh)."""
    batch, length, width = x.shape
    return x.reshape(batch, length, num_heads, width // num_heads).transpose(0, 2, 1, 3)


def multi_head_attention(query, context, p, num_heads, mask=None, head_gates=None):
    """Output (B, T, D) and weights (B, N, T, S). The mask broadcasts to (B, N, T, S)."""
    if context is None:
        q, k, v = np.split(dense(query, below(p, "query_key_value")), 3, axis=-1)
    else:
        q = dense(query, below(p, "query"))
        k, v = np.split(dense(context, below(p, "key_value")), 2, axis=-1)
    q, k, v = (split_heads(x, num_heads) for x in (q, k, v))
    if "query_norm/gamma" in p:
        q, k = layer_norm(q, below(p, "query_norm")), layer_norm(k, below(p, "key_norm"))
    weights = attention_weights(q, k, mask)
    heads = weights @ v
    if head_gates is not None:
        heads = heads * np.asarray(head_gates)[..., None, None]
    merged = heads.transpose(0, 2, 1, 3).reshape(query.shape)
    return dense(merged, below(p, "output")), weights


def mlp(x, p, form="erf"):
    return dense(gelu(dense(x, below(p, "expand")), form), below(p, "contract"))


def block(x, p, num_heads, context=None, mask=None, context_mask=None, form="erf"):
    """Output and the weights by kind; LayerScale and cross-attention where `p` has them."""
    normed = layer_norm(x, below(p, "attention_norm"))
    attended, weights = multi_head_attention(normed, None, below(p, "self_attention"), num_heads, mask)
    kinds = {"self_attention": weights}
    x = x + attended * p.get("attention_scale/gamma", 1.0)
    if context is not None:
        normed = layer_norm(x, below(p, "cross_attention_norm"))
        attended, kinds["cross_attention"] = multi_head_attention(
            normed, context, below(p, "cross_attention"), num_heads, context_mask
        )
        x = x + attended * p.get("cross_attention_scale/gamma", 1.0)
    x = x + mlp(layer_norm(x, below(p, "mlp_norm")), below(p, "mlp"), form) * p.get("mlp_scale/gamma", 1.0)
    return x, kinds


def encoder(x, p, depth, num_heads, mask=None, form="erf"):
    """Output and the weights by address."""
    weights = {}
    for index in range(depth):
        name = f"block_{index:02d}"
        x, kinds = block(x, below(p, name), num_heads, mask=mask, form=form)
        weights.update({f"{name}/{kind}": value for kind, value in kinds.items()})
    return x, weights


def pixels_of(patch, layout, patch_size):
    """Rows and columns, two slices, of the pixels of patch number `patch`."""
    (row, column), (height, width) = divmod(patch, layout.grid_width), patch_size
    return slice(row * height, (row + 1) * height), slice(column * width, (column + 1) * width)


def linear_patches(images, p, patch_size):
    """(B, H, W, C) -> (B, P, D), patch by patch."""
    height, width = patch_size
    kernel = p["kernel"].reshape(-1, p["kernel"].shape[-1])
    tokens = [
        image[top : top + height, left : left + width].reshape(-1) @ kernel + p.get("bias", 0.0)
        for image in images
        for top in range(0, images.shape[1], height)
        for left in range(0, images.shape[2], width)
    ]
    return np.stack(tokens).reshape(images.shape[0], -1, kernel.shape[1])


def conv3x3(x, kernel, stride, first):
    """ceil(size / stride) outputs; window i begins at pixel stride i + first, zeros outside."""
    sizes = [-(-side // stride) for side in x.shape[1:3]]
    x = np.pad(x, [(0, 0), (-first, 3), (-first, 3), (0, 0)])
    result = np.zeros((x.shape[0], *sizes, kernel.shape[-1]))
    for row, column in np.ndindex(*sizes):
        window = x[:, stride * row : stride * row + 3, stride * column : stride * column + 3]
        result[:, row, column] = np.einsum("bhwc,hwcd->bd", window, kernel)
    return result


def conv_stem(images, p, stem_depths=(1, 1, 1), epsilon=1e-5):
    """Inference: three stages of convolutions with normalization by moving statistics and ReLU, a 1x1 projection."""
    x = images
    places = [(stage, index) for stage, depth in enumerate(stem_depths) for index in range(depth)]
    for stage, index in places:
        number = f"{stage}_{index}" if index else f"{stage}"
        stride, first = (1, -1) if index else (2, (0, 0, -1)[stage])
        x = conv3x3(x, p[f"conv_{number}/kernel"], stride, first)
        norm = below(p, f"norm_{number}")
        x = (x - norm["moving_mean"]) / np.sqrt(norm["moving_variance"] + epsilon) * norm["gamma"] + norm["beta"]
        x = np.maximum(x, 0.0)
    x = x @ p["projection/kernel"][0, 0] + p.get("projection/bias", 0.0)
    return x.reshape(x.shape[0], -1, x.shape[-1])


def sincos2d(grid_height, grid_width, width, temperature=10000.0):
    """(P, D): [sin column, cos column, sin row, cos row] at D / 4 frequencies."""
    quarter = width // 4
    table = np.zeros((grid_height * grid_width, width))
    for row, column in np.ndindex(grid_height, grid_width):
        for i in range(quarter):
            frequency = 1.0 / temperature ** (i / (quarter - 1))
            table[row * grid_width + column, i::quarter] = (
                math.sin(column * frequency),
                math.cos(column * frequency),
                math.sin(row * frequency),
                math.cos(row * frequency),
            )
    return table


def attention_pooling(tokens, p, num_heads, mask=None, form="erf"):
    """(B, D) and weights (B, N, 1, T)."""
    probe = np.broadcast_to(p["probe"], (tokens.shape[0], 1, tokens.shape[2]))
    x, weights = multi_head_attention(probe, tokens, below(p, "cross_attention"), num_heads, mask)
    x = x + mlp(layer_norm(x, below(p, "mlp_norm")), below(p, "mlp"), form)
    return x[:, 0], weights


def vision_transformer(images, p, *, patch_size, depth, num_heads, pooling, num_registers=0, kept=None, form="erf"):
    """Logits and weights by address, at the image size that the learned positions are made for."""
    embedding = below(p, "embedding")
    batch = images.shape[0]
    if "patch_embedding/conv_0/kernel" in embedding:
        x = conv_stem(images, below(embedding, "patch_embedding"))
    else:
        x = linear_patches(images, below(embedding, "patch_embedding/projection"), patch_size)
    num_patches = x.shape[1]
    if "class_token/embeddings" in embedding:
        x = np.concatenate([np.broadcast_to(embedding["class_token/embeddings"], (batch, 1, x.shape[2])), x], axis=1)
    x = x + embedding["position_embedding/embeddings"]
    if num_registers:
        registers = embedding["register_tokens/embeddings"]
        first = x.shape[1] - num_patches
        registers = np.broadcast_to(registers, (batch, *registers.shape))
        x = np.concatenate([x[:, :first], registers, x[:, first:]], axis=1)
    if "norm/gamma" in embedding:
        x = layer_norm(x, below(embedding, "norm"))
    num_prefix = x.shape[1] - num_patches
    kept = np.ones((batch, num_patches), bool) if kept is None else kept
    mask = np.concatenate([np.ones((batch, num_prefix), bool), kept], axis=1)[:, None, None, :]
    x, weights = encoder(x, below(p, "encoder"), depth, num_heads, mask, form)
    weights = {f"image_encoder/{address}": value for address, value in weights.items()}
    x = layer_norm(x, below(p, "norm"))
    if pooling == "map":
        features, weights["image_encoder/pooling/cross_attention"] = attention_pooling(
            x, below(p, "pooling"), num_heads, mask, form
        )
    elif pooling == "cls":
        features = x[:, 0]
    else:
        features = np.stack([row[num_prefix:][keep].mean(0) for row, keep in zip(x, kept, strict=True)])
    return dense(features, below(p, "head")), weights
