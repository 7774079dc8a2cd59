"""Stacks transformer blocks and returns their attention weights by address.

Shapes: B batch, T tokens, S context tokens, N heads, D embed_dim, Dc embed_dim of the context, L blocks.
"""

import keras

from vitcross.layers.attention_controls import AttentionControls, scoped
from vitcross.layers.block import TransformerBlock
from vitcross.layers.configured import Configured
from vitcross.layers.drop_path import linear_drop_path_rates
from vitcross.options.block import EncoderOptions


def block_names(depth: int) -> tuple[str, ...]:
    """`block_00`, `block_01`, ...: zero-padded, so that sorted order is depth order."""
    digits = max(2, len(str(depth - 1)))
    return tuple(f"block_{index:0{digits}d}" for index in range(depth))


@keras.saving.register_keras_serializable(package="vitcross")
class TransformerEncoder(Configured, keras.layers.Layer):
    """`depth` blocks one after another; no final norm, which belongs to the model.

    Masking as in `TransformerBlock`; the same masks and the same context for every block.

    Args: the options of `vitcross.options.block.EncoderOptions`; those of a block are the same for every block.

    Call arguments:
        tokens: (B, T, D).
        context, attention_mask, padding_mask, context_mask, training: as in `TransformerBlock`.
        return_attention_scores: bool.
        attention_controls: AttentionControls scoped to this encoder.

    Returns:
        (B, T, D); with `return_attention_scores` a tuple of it and a dict from address (`block_00/self_attention`, ...,
        in depth order) to weights (B, N, T, S) float32.
    """

    OPTIONS = EncoderOptions

    def __init__(self, **options):
        super().__init__(**options)
        rates = linear_drop_path_rates(self.options.drop_path_rate, self.options.depth)
        self.blocks = [
            self.part(TransformerBlock, name, drop_path_rate=rate)
            for name, rate in zip(block_names(self.options.depth), rates, strict=True)
        ]

    @property
    def attention_addresses(self) -> tuple[str, ...]:
        """The addresses of all attention layers, seen from here, in depth order."""
        kinds = ("self_attention", "cross_attention") if self.options.cross_attention else ("self_attention",)
        return tuple(f"{block.name}/{kind}" for block in self.blocks for kind in kinds)

    def build(self, tokens_shape, context_shape=None):
        for block in self.blocks:
            block.build(tokens_shape, context_shape)

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
        weights = {}
        for block in self.blocks:
            result = block(
                tokens,
                context=context,
                attention_mask=attention_mask,
                padding_mask=padding_mask,
                context_mask=context_mask,
                training=training,
                return_attention_scores=return_attention_scores,
                attention_controls=scoped(attention_controls, block.name),
            )
            tokens, block_weights = result if return_attention_scores else (result, {})
            weights.update({f"{block.name}/{kind}": value for kind, value in block_weights.items()})
        return (tokens, weights) if return_attention_scores else tokens

    def project_context(self, context):
        """context (B, S, Dc) -> its keys and values in every block, or None per block without cross-attention."""
        if not self.options.cross_attention:
            return [None for _ in self.blocks]
        return [block.cross_attention.project_context(context) for block in self.blocks]

    def decode(self, tokens, keys_values, context_keys_values, position):
        """As `call` in inference for the token at `position` of a causal text (`TransformerBlock.decode`).

        `keys_values` and `context_keys_values` are lists with one entry per block. Returns (B, 1, D) and the new
        `keys_values`.
        """
        filled = []
        for block, own, of_context in zip(self.blocks, keys_values, context_keys_values, strict=True):
            tokens, own = block.decode(tokens, own, of_context, position)
            filled.append(own)
        return tokens, filled
