"""Keys of the group `model`, one dataclass per class of `vitcross.models`; a tower is a section of its own."""

from typing import Annotated, Literal

from pydantic import Field

from vitcross.config.schema.fields import Bool, Count, CountOrZero, Float, Positive, Share, Size, config


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
    stem_depths: Annotated[list[Count], Field(min_length=3, max_length=3)]
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


@config
class TextTransformerConfig:
    vocabulary_size: Count | None
    max_length: Count | None
    embed_dim: Count
    depth: Count
    num_heads: Count
    mlp_ratio: Positive
    causal: Bool
    pooling: Literal["eos", "gap", "map"] | None
    cross_attention: Bool
    context_dim: Count | None
    dropout_rate: Share
    attention_dropout_rate: Share
    drop_path_rate: Share
    qkv_bias: Bool
    qk_norm: Bool
    layer_scale_init: Float | None
    layer_norm_epsilon: Positive
    gelu: Literal["erf", "tanh"]


@config
class ImageEncoderConfig(VisionTransformerConfig):
    """The image tower of a model: no classes."""

    target: Annotated[Literal["vitcross.models.VisionTransformer"], Field(alias="_target_")]
    num_classes: None


@config
class ContextEncoderConfig(ImageEncoderConfig):
    """The image tower whose tokens a text reads: a pooling head would never be trained."""

    pooling: Literal["gap", "cls"]


@config
class TextEncoderConfig(TextTransformerConfig):
    """The text tower of a dual encoder."""

    target: Annotated[Literal["vitcross.models.TextTransformer"], Field(alias="_target_")]
    pooling: Literal["eos", "gap", "map"]
    cross_attention: Literal[False]


@config
class QuestionEncoderConfig(TextTransformerConfig):
    """The text tower that reads an image and is pooled."""

    target: Annotated[Literal["vitcross.models.TextTransformer"], Field(alias="_target_")]
    pooling: Literal["eos", "gap", "map"]
    cross_attention: Literal[True]


@config
class TextDecoderConfig(TextTransformerConfig):
    """The text tower that reads an image and writes."""

    target: Annotated[Literal["vitcross.models.TextTransformer"], Field(alias="_target_")]
    causal: Literal[True]
    pooling: None
    cross_attention: Literal[True]


@config
class DualEncoderConfig:
    image_encoder: ImageEncoderConfig
    text_encoder: TextEncoderConfig
    projection_dim: Count
    logit_scale_init: Annotated[Float, Field(gt=0, le=100)]
    logit_bias_init: Float | None


@config
class CaptioningModelConfig:
    image_encoder: ContextEncoderConfig
    text_decoder: TextDecoderConfig
    tie_embeddings: Bool


@config
class QuestionAnsweringModelConfig:
    image_encoder: ContextEncoderConfig
    text_encoder: QuestionEncoderConfig
    num_answers: Count | None


SCHEMAS = {
    "vitcross.models.VisionTransformer": VisionTransformerConfig,
    "vitcross.models.DualEncoder": DualEncoderConfig,
    "vitcross.models.CaptioningModel": CaptioningModelConfig,
    "vitcross.models.QuestionAnsweringModel": QuestionAnsweringModelConfig,
}
