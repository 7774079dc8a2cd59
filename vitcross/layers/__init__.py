"""Layers of the models, one idea per file."""

from vitcross.layers.attention import MultiHeadAttention, dot_product_attention_weights
from vitcross.layers.attention_controls import AttentionControls
from vitcross.layers.block import TransformerBlock
from vitcross.layers.drop_path import DropPath
from vitcross.layers.dropout import Dropout
from vitcross.layers.encoder import TransformerEncoder
from vitcross.layers.image_embedding import ImageEmbedding
from vitcross.layers.layer_scale import LayerScale
from vitcross.layers.mlp import MLP
from vitcross.layers.patch_dropout import PatchDropout
from vitcross.layers.patch_embedding import PatchEmbedding
from vitcross.layers.pooling import AttentionPooling
from vitcross.layers.position_embedding import PositionEmbedding
from vitcross.layers.prefix_tokens import PrefixTokens
from vitcross.layers.token_embedding import TokenEmbedding
from vitcross.layers.token_layout import TokenLayout

__all__ = [
    "MLP",
    "AttentionControls",
    "AttentionPooling",
    "DropPath",
    "Dropout",
    "ImageEmbedding",
    "LayerScale",
    "MultiHeadAttention",
    "PatchDropout",
    "PatchEmbedding",
    "PositionEmbedding",
    "PrefixTokens",
    "TokenEmbedding",
    "TokenLayout",
    "TransformerBlock",
    "TransformerEncoder",
    "dot_product_attention_weights",
]
