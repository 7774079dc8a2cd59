"""Declares the options of attention, of transformer blocks and of encoders, which extend those of their blocks."""

from typing import ClassVar, Literal, get_args

from vitcross.options.effects import only_above
from vitcross.options.fields import Bool, Count, Float, Positive, Share, options

GELU = Literal["erf", "tanh"]
GELU_FORMS = get_args(GELU)


@options
class AttentionOptions:
    """Multi-head attention.

    Args:
        num_heads: must divide embed_dim.
        qkv_bias: biases on the query, key and value projections.
        qk_norm: LayerNorm over each head's queries and keys.
        attention_dropout_rate: share of weights dropped in training, after they are returned.
        layer_norm_epsilon: added to the variance in every LayerNorm.
    """

    num_heads: Count
    qkv_bias: Bool = True
    qk_norm: Bool = False
    attention_dropout_rate: Share = 0.0
    layer_norm_epsilon: Positive = 1e-6


@options
class PoolingOptions(AttentionOptions):
    """Attention pooling: an attention and an MLP.

    Args:
        mlp_ratio: hidden size of the MLP / embed_dim.
        gelu: "erf" (exact; ViT of timm and Hugging Face) or "tanh" (its approximation; JAX code bases).
    """

    mlp_ratio: Positive = 4.0
    gelu: GELU = "erf"


@options
class BlockOptions(PoolingOptions):
    """A transformer block.

    Args:
        dropout_rate: after the attention projections and in the MLP; in an encoder also after the positions.
        drop_path_rate: stochastic depth of each branch; in a stack of blocks that of the last, linear from 0.
        layer_scale_init: initial LayerScale of each branch, or None for none.
    """

    dropout_rate: Share = 0.0
    drop_path_rate: Share = 0.0
    layer_scale_init: Float | None = None


@options
class ContextBlockOptions(BlockOptions):
    """A block that may read a context.

    Args:
        cross_attention: attend to a context too.
    """

    cross_attention: Bool = False


@options
class EncoderOptions(ContextBlockOptions):
    """A stack of blocks.

    Args:
        depth: number of blocks.
    """

    depth: Count

    MATTERS: ClassVar = {"drop_path_rate": only_above(1, "depth")}
