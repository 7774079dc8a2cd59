"""Implements multi-head self- and cross-attention that can return its weights.
One code path computes outputs and weights, so the weights shown are those used in training: the softmax output in
float32, whatever the compute dtype, before attention dropout. Scaled dot-product attention is equation 1 of
"Attention Is All You Need" (arXiv 1706.03762); the optional normalization of queries and keys is section 2 of
"Scaling Vision Transformers to 22 Billion Parameters" (arXiv 2302.05442).

Shapes: B batch, T query tokens, S key tokens, N heads, D embed_dim, Dc embed_dim of the context, Dh = D / N.
"""

import keras
from keras import ops

from vitcross.layers.attention_controls import AttentionControls
from vitcross.layers.configured import Configured
from vitcross.layers.dropout import Dropout
from vitcross.layers.initializers import projection_initializer
from vitcross.options.block import AttentionOptions

# Far below any logit and yet finite: minus infinity would give NaN in rows where nothing may be attended.
_MASKED_LOGIT = -1e30


def dot_product_attention_weights(query, key, mask=None):
    """softmax(query key^T / sqrt(Dh)) over the keys that may be attended.

    Args:
        query: (B, N, T, Dh).
        key: (B, N, S, Dh).
        mask: bool, broadcastable to (B, N, T, S); True = may attend. None = every key may be attended.

    Returns:
        (B, N, T, S) float32 (float64 for float64 input): rows sum to 1, masked keys are exactly 0, and a row in which
        nothing may be attended is all zeros.
    """
    scaled_query_BNTDh = query * (query.shape[-1] ** -0.5)
    logits_BNTS = ops.matmul(scaled_query_BNTDh, ops.swapaxes(key, -1, -2))
    if keras.backend.standardize_dtype(logits_BNTS.dtype) != "float64":
        logits_BNTS = ops.cast(logits_BNTS, "float32")
    if mask is None:
        return ops.softmax(logits_BNTS, axis=-1)
    weights_BNTS = ops.softmax(ops.where(mask, logits_BNTS, _MASKED_LOGIT), axis=-1)
    # Only a fully masked row needs this: its softmax is uniform, and its gradient must be cut off too.
    return weights_BNTS * ops.cast(mask, weights_BNTS.dtype)


def combine_masks(attention_mask=None, padding_mask=None):
    """Combines the attention mask and the padding mask of the keys into one boolean mask of rank 4, or None.

    Args:
        attention_mask: bool (B, T, S) or (B, N, T, S), any axis but the last may be 1; True = may attend.
        padding_mask: bool (B, S); True = real token.

    Returns:
        bool, broadcastable to (B, N, T, S), or None if both are None.

    Raises:
        ValueError: a mask has another rank.
    """
    if attention_mask is not None:
        rank = len(attention_mask.shape)
        if rank not in (3, 4):
            raise ValueError(
                f"expected (B, T, S) or (B, N, T, S). Received: attention_mask of shape {attention_mask.shape}"
            )
        attention_mask = ops.cast(attention_mask, "bool")
        attention_mask = attention_mask if rank == 4 else ops.expand_dims(attention_mask, 1)
    if padding_mask is None:
        return attention_mask
    if len(padding_mask.shape) != 2:
        raise ValueError(f"expected (B, S). Received: padding_mask of shape {padding_mask.shape}")
    keys_mask = ops.cast(padding_mask, "bool")[:, None, None, :]
    return keys_mask if attention_mask is None else ops.logical_and(attention_mask, keys_mask)


@keras.saving.register_keras_serializable(package="vitcross")
class MultiHeadAttention(Configured, keras.layers.Layer):
    """Attention of the query tokens to themselves, or to a context of another length and embed_dim.

    Self-attention if built with the query's shape alone, cross-attention if built with a context's shape too. Masked
    keys get weight exactly 0; a query that may attend to nothing gets a zero row (and the output bias).

    Args: the options of `vitcross.options.block.AttentionOptions`.

    Call arguments:
        query: (B, T, D).
        context: (B, S, Dc), or None for self-attention.
        attention_mask: bool (B, T, S) or (B, N, T, S), True = may attend.
        padding_mask: bool (B, S) over the keys, True = real token.
        training: bool.
        return_attention_scores: bool, return the attention weights (probabilities, in spite of Keras's name) too.
        attention_controls: AttentionControls scoped to this layer (its own address is the empty string).

    Returns:
        (B, T, D) in the compute dtype; with `return_attention_scores` a tuple of it and the weights (B, N, T, S)
        float32 (only the rows of `attention_controls.query_rows`, where given).

    Raises:
        ValueError: num_heads does not divide embed_dim, or a context that is unexpected or missing.

    Reference: arXiv 1706.03762, section 3.2; arXiv 2302.05442, section 2 (qk_norm).
    """

    OPTIONS = AttentionOptions

    def __init__(self, **options):
        super().__init__(**options)
        self.is_cross_attention = None  # decided in build

    def build(self, query_shape, context_shape=None):
        embed_dim = query_shape[-1]
        if embed_dim % self.options.num_heads:
            raise ValueError(
                f"expected num_heads to divide embed_dim of the query. "
                f"Received: num_heads={self.options.num_heads}, embed_dim={embed_dim}"
            )
        self.is_cross_attention = context_shape is not None
        self.head_dim = embed_dim // self.options.num_heads
        if self.is_cross_attention:
            self.query_projection = self._projection("query", query_shape, 1, embed_dim, self.options.qkv_bias)
            self.key_value_projection = self._projection(
                "key_value", context_shape, 2, embed_dim, self.options.qkv_bias
            )
        else:
            self.query_key_value_projection = self._projection(
                "query_key_value", query_shape, 3, embed_dim, self.options.qkv_bias
            )
        if self.options.qk_norm:
            head_shape = (None, self.options.num_heads, None, self.head_dim)
            self.query_norm = self.layer_norm("query_norm", head_shape)
            self.key_norm = self.layer_norm("key_norm", head_shape)
        self.dropout = Dropout(
            rate=self.options.attention_dropout_rate, dtype=self.dtype_policy, name="attention_dropout"
        )
        self.dropout.build()
        self.output_projection = self._projection("output", query_shape, 1, embed_dim, True)

    def call(
        self,
        query,
        context=None,
        attention_mask=None,
        padding_mask=None,
        training=None,
        return_attention_scores=False,
        attention_controls: AttentionControls | None = None,
    ):
        self._check_context(context)
        query_BNTDh, key_BNSDh, value_BNSDh = self._project(query, context)
        mask = combine_masks(attention_mask, padding_mask)
        weights_BNTS = dot_product_attention_weights(query_BNTDh, key_BNSDh, mask)
        if attention_controls is not None and "" in attention_controls.weight_offsets:
            weights_BNTS = weights_BNTS + ops.cast(attention_controls.weight_offsets[""], weights_BNTS.dtype)
        dropped_BNTS = ops.cast(weights_BNTS, value_BNSDh.dtype)
        if self.options.attention_dropout_rate:
            dropped_BNTS = self.dropout(dropped_BNTS, training=training)
        heads_BNTDh = ops.matmul(dropped_BNTS, value_BNSDh)
        if attention_controls is not None and "" in attention_controls.head_gates:
            heads_BNTDh = heads_BNTDh * _broadcast_gates(attention_controls.head_gates[""], heads_BNTDh.dtype)
        output_BTD = self.merge_heads(heads_BNTDh)
        if not return_attention_scores:
            return output_BTD
        return output_BTD, _select_rows(weights_BNTS, attention_controls)

    def project_context(self, context):
        """context (B, S, Dc) -> its keys and values, (B, N, S, Dh) each, which is all that `decode` needs."""
        self._check_context(context)
        key_BNSDh, value_BNSDh = self._split_heads(self.key_value_projection(context), 2)
        return self.key_norm(key_BNSDh) if self.options.qk_norm else key_BNSDh, value_BNSDh

    def decode(self, query, keys_values, position=None):
        """Does what `call` does in inference, for one token of a causal text, from cached keys and values.

        Args:
            query: (B, 1, D).
            keys_values: cross-attention: `project_context(context)`. Self-attention: keys and values (B, N, M, Dh) of
                the M positions of a text, those before `position` filled.
            position: self-attention: int scalar, the token's position; it may attend to itself and those before it.

        Returns:
            (B, 1, D) and the keys and values, in self-attention with those of this token at `position`.
        """
        mask = None
        if self.is_cross_attention:
            (query_BN1Dh,) = self._split_heads(self.query_projection(query), 1)
            query_BN1Dh = self.query_norm(query_BN1Dh) if self.options.qk_norm else query_BN1Dh
        else:
            query_BN1Dh, *own = self._project(query, None)
            places_M1 = ops.arange(keys_values[0].shape[2], dtype="int32")[:, None]
            keys_values = [
                ops.where(ops.equal(places_M1, position), new, old) for old, new in zip(keys_values, own, strict=True)
            ]
            mask = ops.less_equal(places_M1[:, 0], position)
        key_BNMDh, value_BNMDh = keys_values
        weights_BN1M = dot_product_attention_weights(query_BN1Dh, key_BNMDh, mask)
        heads_BN1Dh = ops.matmul(ops.cast(weights_BN1M, value_BNMDh.dtype), value_BNMDh)
        return self.merge_heads(heads_BN1Dh), tuple(keys_values)

    def _check_context(self, context):
        if (context is not None) != self.is_cross_attention:
            kind = "cross-attention, which needs a context" if self.is_cross_attention else "self-attention"
            received = "no context" if context is None else f"context of shape {tuple(context.shape)}"
            raise ValueError(f"{self.path} was built for {kind}. Received: {received}")

    def _project(self, query, context):
        """query (B, T, D) and context (B, S, Dc) or None -> query, key, value, each (B, N, T or S, Dh)."""
        if context is None:
            query_BNTDh, key_BNSDh, value_BNSDh = self._split_heads(self.query_key_value_projection(query), 3)
        else:
            (query_BNTDh,) = self._split_heads(self.query_projection(query), 1)
            key_BNSDh, value_BNSDh = self._split_heads(self.key_value_projection(context), 2)
        if self.options.qk_norm:
            query_BNTDh, key_BNSDh = self.query_norm(query_BNTDh), self.key_norm(key_BNSDh)
        return query_BNTDh, key_BNSDh, value_BNSDh

    def _split_heads(self, fused, parts: int):
        """(B, T, parts * D) -> `parts` tensors (B, N, T, Dh).

        Unstack, not indexing: the gradient of an index pads with zeros (1.3 times slower in a training step).
        """
        separate = ops.reshape(fused, (-1, ops.shape(fused)[1], parts, self.options.num_heads, self.head_dim))
        return ops.unstack(ops.transpose(separate, (2, 0, 3, 1, 4)), num=parts, axis=0)

    def merge_heads(self, heads_BNTDh):
        """(B, N, T, Dh) -> (B, T, D), mixed by the output projection."""
        heads_BTNDh = ops.transpose(heads_BNTDh, (0, 2, 1, 3))
        length = ops.shape(heads_BNTDh)[2]
        return self.output_projection(ops.reshape(heads_BTNDh, (-1, length, self.options.num_heads * self.head_dim)))

    def _projection(self, name: str, input_shape, parts: int, embed_dim: int, use_bias: bool):
        """A built Dense layer that holds `parts` projections to `embed_dim` side by side."""
        projection = keras.layers.Dense(
            parts * embed_dim,
            use_bias=use_bias,
            kernel_initializer=projection_initializer(input_shape[-1], embed_dim),
            dtype=self.dtype_policy,
            name=name,
        )
        projection.build(input_shape)
        return projection


def _broadcast_gates(gates, dtype):
    """Gates (N,) or (B, N) as (1 or B, N, 1, 1)."""
    gates = ops.cast(gates, dtype)
    if len(gates.shape) not in (1, 2):
        raise ValueError(f"expected gates per head, (N,) or (B, N). Received: head_gates of shape {gates.shape}")
    rows = gates if len(gates.shape) == 2 else gates[None, :]
    return rows[:, :, None, None]


def _select_rows(weights_BNTS, attention_controls: AttentionControls | None):
    """Returns the requested query rows, all of them by default."""
    if attention_controls is None or attention_controls.query_rows is None:
        return weights_BNTS
    num_rows = weights_BNTS.shape[2]
    outside = [row for row in attention_controls.query_rows if num_rows is not None and not 0 <= row < num_rows]
    if outside:
        raise ValueError(f"expected query rows in [0, {num_rows}). Received: query_rows with {outside}")
    return ops.take(weights_BNTS, ops.convert_to_tensor(attention_controls.query_rows, dtype="int32"), axis=2)
