"""Implements a pre-norm transformer block: self-attention, optional cross-attention, MLP, each with a residual.
"An Image is Worth 16x16 Words" (arXiv 2010.11929), equations 2 and 3; cross-attention between the two as in the
decoder of arXiv 1706.03762, section 3.1.

Shapes: B batch, T query tokens, S context tokens, N heads, D embed_dim, Dc embed_dim of the context.
"""

import keras

from vitcross.layers.attention import MultiHeadAttention
from vitcross.layers.attention_controls import AttentionControls, scoped
from vitcross.layers.configured import Configured
from vitcross.layers.drop_path import DropPath
from vitcross.layers.dropout import Dropout
from vitcross.layers.layer_scale import LayerScale
from vitcross.layers.mlp import MLP
from vitcross.options.block import ContextBlockOptions


@keras.saving.register_keras_serializable(package="vitcross")
class TransformerBlock(Configured, keras.layers.Layer):
    """x + attention(norm(x)), [x + cross_attention(norm(x), context)], x + mlp(norm(x)).

    Args: the options of `vitcross.options.block.ContextBlockOptions`.

    Call arguments:
        tokens: (B, T, D).
        context: (B, S, Dc) if `cross_attention`, else None.
        attention_mask: bool (B, T, T) or (B, N, T, T), True = may attend (self-attention).
        padding_mask: bool (B, T), True = real token (keys of self-attention).
        context_mask: bool (B, S), True = real token (keys of cross-attention).
        training: bool.
        return_attention_scores: bool.
        attention_controls: AttentionControls scoped to this block.

    Returns:
        (B, T, D); with `return_attention_scores` a tuple of it and a dict `{"self_attention": (B, N, T, T),
        "cross_attention": (B, N, T, S)}` float32 (those that exist and are asked for).

    Raises:
        ValueError: a context without `cross_attention`, or `cross_attention` without a context.
    """

    OPTIONS = ContextBlockOptions

    def build(self, tokens_shape, context_shape=None):
        if (context_shape is not None) != self.options.cross_attention:
            raise ValueError(self._context_error(context_shape))
        embed_dim = tokens_shape[-1]
        self.attention_norm = self.layer_norm("attention_norm", tokens_shape)
        self.self_attention = self._attention("self_attention", tokens_shape)
        self.attention_scale = self._scale("attention_scale", tokens_shape)
        if self.options.cross_attention:
            self.cross_attention_norm = self.layer_norm("cross_attention_norm", tokens_shape)
            self.cross_attention = self._attention("cross_attention", tokens_shape, context_shape)
            self.cross_attention_scale = self._scale("cross_attention_scale", tokens_shape)
        self.mlp_norm = self.layer_norm("mlp_norm", tokens_shape)
        self.mlp = MLP(
            hidden_dim=round(embed_dim * self.options.mlp_ratio),
            gelu=self.options.gelu,
            dropout_rate=self.options.dropout_rate,
            dtype=self.dtype_policy,
            name="mlp",
        )
        self.mlp.build(tokens_shape)
        self.mlp_scale = self._scale("mlp_scale", tokens_shape)
        self.dropout = Dropout(rate=self.options.dropout_rate, dtype=self.dtype_policy, name="dropout")
        self.dropout.build()
        self.drop_path = DropPath(rate=self.options.drop_path_rate, dtype=self.dtype_policy, name="drop_path")
        self.drop_path.build()

    def call(
        self,
        tokens,
        context=None,
        attention_mask=None,
        padding_mask=None,
        context_mask=None,
        training=None,
        return_attention_scores=False,
        attention_controls: AttentionControls | None = None,
    ):
        if (context is not None) != self.options.cross_attention:
            raise ValueError(self._context_error(None if context is None else context.shape))
        attended, weights = self._attend(
            self.self_attention,
            self.attention_norm(tokens),
            {"attention_mask": attention_mask, "padding_mask": padding_mask, "training": training},
            return_attention_scores,
            attention_controls,
        )
        tokens = tokens + self._branch(attended, self.attention_scale, training)
        if self.options.cross_attention:
            attended, cross_weights = self._attend(
                self.cross_attention,
                self.cross_attention_norm(tokens),
                {"context": context, "padding_mask": context_mask, "training": training},
                return_attention_scores,
                attention_controls,
            )
            weights = {**weights, **cross_weights}
            tokens = tokens + self._branch(attended, self.cross_attention_scale, training)
        mlp_output = self.mlp(self.mlp_norm(tokens), training=training)
        tokens = tokens + self._scaled_drop_path(mlp_output, self.mlp_scale, training)
        return (tokens, weights) if return_attention_scores else tokens

    def decode(self, tokens, keys_values, context_keys_values, position):
        """Does what `call` does in inference for the token at `position` (`MultiHeadAttention.decode`).

        Args:
            tokens: (B, 1, D).
            keys_values: of the self-attention, (B, N, M, Dh) each.
            context_keys_values: of the cross-attention, or None without one.
            position: int scalar.

        Returns:
            (B, 1, D) and the keys and values of the self-attention.
        """
        attended, keys_values = self.self_attention.decode(self.attention_norm(tokens), keys_values, position)
        tokens = tokens + self._branch(attended, self.attention_scale, False)
        if self.options.cross_attention:
            attended, _ = self.cross_attention.decode(self.cross_attention_norm(tokens), context_keys_values)
            tokens = tokens + self._branch(attended, self.cross_attention_scale, False)
        mlp_output = self.mlp(self.mlp_norm(tokens), training=False)
        return tokens + self._scaled_drop_path(mlp_output, self.mlp_scale, False), keys_values

    def _attend(self, attention, tokens, arguments, return_attention_scores, attention_controls):
        """The attention's output and `{name: weights}`, empty where they are not asked for."""
        controls = scoped(attention_controls, attention.name)
        if return_attention_scores and (controls is None or controls.returns()):
            output, weights = attention(tokens, return_attention_scores=True, attention_controls=controls, **arguments)
            return output, {attention.name: weights}
        return attention(tokens, attention_controls=controls, **arguments), {}

    def _branch(self, branch, scale, training):
        """Returns what an attention branch adds to the residual stream."""
        if self.options.dropout_rate:
            branch = self.dropout(branch, training=training)
        return self._scaled_drop_path(branch, scale, training)

    def _scaled_drop_path(self, branch, scale, training):
        branch = branch if scale is None else scale(branch)
        return self.drop_path(branch, training=training) if self.options.drop_path_rate else branch

    def _attention(self, name: str, *shapes) -> MultiHeadAttention:
        attention = self.part(MultiHeadAttention, name)
        attention.build(*shapes)
        return attention

    def _scale(self, name: str, shape):
        """A built LayerScale, or None."""
        if self.options.layer_scale_init is None:
            return None
        scale = LayerScale(init=self.options.layer_scale_init, dtype=self.dtype_policy, name=name)
        scale.build(shape)
        return scale

    def _context_error(self, context_shape) -> str:
        expected = "a context" if self.options.cross_attention else "no context"
        received = "no context" if context_shape is None else f"context of shape {tuple(context_shape)}"
        return f"expected {expected} with cross_attention={self.options.cross_attention}. Received: {received}"
