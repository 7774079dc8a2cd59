"""Pools many tokens into one vector: their mean, the last real one, or a learned query that attends to them.
Mean pooling as in arXiv 2205.01580; attention pooling is the MAP head of "Scaling Vision Transformers" (arXiv
2106.04560, section 3.2; `MAPHead` in big_vision): a learned probe, cross-attention, then an MLP with a
residual. The last token of a text, its end, as in CLIP (arXiv 2103.00020, section 2.4).

Shapes: B batch, T tokens, P patches, N heads, D embed_dim.
"""

from dataclasses import replace

import keras
from keras import ops

from vitcross.layers.attention import MultiHeadAttention
from vitcross.layers.attention_controls import AttentionControls, scoped
from vitcross.layers.configured import Configured
from vitcross.layers.initializers import token_initializer
from vitcross.layers.mlp import MLP
from vitcross.options.block import PoolingOptions


def mean_of_tokens(tokens, kept=None):
    """Mean (B, D) of tokens (B, P, D); with `kept` bool (B, P) of those only (zeros where none is kept)."""
    if kept is None:
        return ops.mean(tokens, axis=1)
    # Shares in float32: a sum of many bfloat16 ones stops at 256.
    share = ops.cast(kept, "float32")
    share = share / ops.maximum(ops.sum(share, axis=1, keepdims=True), 1.0)
    return ops.sum(tokens * ops.cast(share, tokens.dtype)[:, :, None], axis=1)


def last_real_token(tokens, padding_mask=None):
    """The last token (B, D) of tokens (B, T, D) whose mask bool (B, T) is True; the first one where none is."""
    if padding_mask is None:
        return tokens[:, -1]
    length = ops.shape(tokens)[1]
    places_BT = ops.cast(padding_mask, "int32") * ops.arange(length, dtype="int32")
    # One flat gather of whole rows: several times faster on a CPU than indexing every number.
    rows_B = ops.arange(ops.shape(tokens)[0], dtype="int32") * length + ops.max(places_BT, axis=1)
    return ops.take(ops.reshape(tokens, (-1, tokens.shape[-1])), rows_B, axis=0)


@keras.saving.register_keras_serializable(package="vitcross")
class AttentionPooling(Configured, keras.layers.Layer):
    """A learned probe attends to all tokens (multi-head attention pooling, MAP). Padding keys get weight 0.

    Args: the options of `vitcross.options.block.PoolingOptions`.

    Call arguments:
        tokens: (B, T, D).
        padding_mask: bool (B, T), True = may be attended.
        training: bool.
        return_attention_scores: bool.
        attention_controls: AttentionControls scoped to this layer. Its `query_rows` do not apply: there is one query.

    Returns:
        (B, D); with `return_attention_scores` a tuple of it and `{"cross_attention": (B, N, 1, T)}` float32 (empty
        where `attention_controls.addresses` leaves it out).

    Reference: arXiv 2106.04560, section 3.2.
    """

    OPTIONS = PoolingOptions

    def build(self, tokens_shape):
        embed_dim = tokens_shape[-1]
        probe_shape = (None, 1, embed_dim)
        self.probe = self.add_weight(shape=(1, embed_dim), initializer=token_initializer(), name="probe")
        self.cross_attention = self.part(MultiHeadAttention, "cross_attention")
        self.cross_attention.build(probe_shape, tokens_shape)
        self.mlp_norm = self.layer_norm("mlp_norm", probe_shape)
        hidden_dim = round(embed_dim * self.options.mlp_ratio)
        self.mlp = MLP(hidden_dim=hidden_dim, gelu=self.options.gelu, dtype=self.dtype_policy, name="mlp")
        self.mlp.build(probe_shape)

    def call(
        self,
        tokens,
        padding_mask=None,
        training=None,
        return_attention_scores=False,
        attention_controls: AttentionControls | None = None,
    ):
        controls = scoped(attention_controls, "cross_attention")
        if controls is not None:
            controls = replace(controls, query_rows=None)
        probe_B1D = ops.broadcast_to(ops.cast(self.probe, tokens.dtype), (ops.shape(tokens)[0], 1, tokens.shape[-1]))
        attended_B1D, weights_BN1T = self.cross_attention(
            probe_B1D,
            context=tokens,
            padding_mask=padding_mask,
            training=training,
            return_attention_scores=True,
            attention_controls=controls,
        )
        pooled_BD = self._refine(attended_B1D, training)[:, 0]
        if not return_attention_scores:
            return pooled_BD
        returned = controls is None or controls.returns()
        return pooled_BD, {"cross_attention": weights_BN1T} if returned else {}

    def pool_each(self, tokens):
        """tokens (B, T, D) -> (B, T, D): what `call` would give in inference for each token if it were the only one."""
        _, value_BNTDh = self.cross_attention.project_context(tokens)
        return self._refine(self.cross_attention.merge_heads(value_BNTDh), training=False)

    def _refine(self, attended, training):
        return attended + self.mlp(self.mlp_norm(attended), training=training)
