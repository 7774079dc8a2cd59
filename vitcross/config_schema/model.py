"""Keys of the group `model`, one dataclass per class of `vitcross.models`."""

from typing import Literal

from vitcross.config_schema.fields import Bool, Count, CountOrZero, Float, Positive, Share, Size, config


@config
class VisionTransformerConfig:
    variant: str | None
    num_classes: Count | None
    image_size: Size | None
    patch_size: Size | None
    in_channels: Count | None
    embed_dim: Count | None
    depth: Count | None
    num_heads: Count | None
    mlp_ratio: Positive
    pooling: Literal["cls", "gap", "map"]
    class_token: Bool | None
    num_register_tokens: CountOrZero
    stem: Literal["linear", "conv"]
    patch_bias: Bool
    position_embedding: Literal["learned", "sincos2d"]
    position_interpolation: Literal["bicubic", "bilinear"]
    pre_norm: Bool
    dropout_rate: Share
    attention_dropout_rate: Share
    drop_path_rate: Share
    patch_dropout_rate: Share
    qkv_bias: Bool
    qk_norm: Bool
    layer_scale_init: Float | None
    layer_norm_epsilon: Positive
    gelu: Literal["erf", "tanh"]


SCHEMAS = {"vitcross.models.VisionTransformer": VisionTransformerConfig}
