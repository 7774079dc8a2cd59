"""Declares the options of the models, and checks that those of one model fit each other."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from vitcross.options.block import BlockOptions, EncoderOptions
from vitcross.options.effects import only_above
from vitcross.options.fields import Bool, Count, CountOrZero, Float, Positive, Share, Size, options

# A variant names a model of the literature: where it is typed, it takes the place of what a preset says of these.
REPLACED_BY_VARIANT = {
    "patch_size": "null",
    "embed_dim": "null",
    "depth": "null",
    "num_heads": "null",
    "mlp_ratio": "4.0",
    "stem": "linear",
    "stem_depths": "[1,1,1]",
}
MAX_LOGIT_SCALE = 100.0  # "clipped to prevent scaling the logits by more than 100", arXiv 2103.00020, section 2.5


@options
class ImageEmbeddingOptions:
    """How images become tokens.

    Args:
        image_size: n or (height, width) in pixels that the positions are made for; others run too.
        patch_size: n or (height, width) in pixels.
        embed_dim: size of a token.
        class_token: whether one stands before the patches.
        num_register_tokens: extra learned tokens that are never read out.
        stem: "linear" or "conv" (three stages of convolutions, patch size 8).
        stem_depths: convolutions of each stage of the conv stem.
        patch_bias: bias of the projection of patches.
        position_embedding: "learned" or "sincos2d".
        position_interpolation: "bicubic" or "bilinear", for other image sizes.
        pre_norm: LayerNorm of the tokens before the first block (CLIP, arXiv 2103.00020).
        layer_norm_epsilon: of `pre_norm`.
        dropout_rate: after the positions.
    """

    image_size: Size
    patch_size: Size
    embed_dim: Count
    class_token: Bool = True
    num_register_tokens: CountOrZero = 0
    stem: Literal["linear", "conv"] = "linear"
    stem_depths: Annotated[tuple[Count, ...], Field(min_length=3, max_length=3)] = (1, 1, 1)
    patch_bias: Bool = True
    position_embedding: Literal["learned", "sincos2d"] = "learned"
    position_interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    pre_norm: Bool = False
    layer_norm_epsilon: Positive = 1e-6
    dropout_rate: Share = 0.0


@options
class TokenEmbeddingOptions:
    """How words become tokens.

    Args:
        vocabulary_size: V.
        max_length: longest text in tokens.
        embed_dim: size of a token.
        dropout_rate: after the positions.
    """

    vocabulary_size: Count
    max_length: Count
    embed_dim: Count
    dropout_rate: Share = 0.0


@options
class VisionTransformerOptions(ImageEmbeddingOptions, BlockOptions):
    """The Vision Transformer.

    Args:
        num_classes: K; None = no classification head, the pooled features are returned.
        variant: name as "Ti/16" that fills `patch_size`, `embed_dim`, `depth`, `num_heads` where they are not given.
        patch_size, embed_dim, num_heads: as elsewhere, or None.
        in_channels: channels of the images.
        depth: number of blocks, or None.
        pooling: "cls" (class token), "gap" (mean of the patches) or "map" (attention pooling).
        class_token: None = only with pooling "cls".
        patch_dropout_rate: share of patches left out in training.
        multilabel: whether each class is a yes or no of its own, whose probability is a sigmoid; otherwise one class of
            all is right, and probabilities are a softmax. None: False.
    """

    num_classes: Count | None
    variant: str | None = None
    patch_size: Size | None = None
    in_channels: Count = 3
    embed_dim: Count | None = None
    depth: Count | None = None
    num_heads: Count | None = None
    pooling: Literal["cls", "gap", "map"] = "cls"
    class_token: Bool | None = None
    patch_dropout_rate: Share = 0.0
    multilabel: Bool | None = None

    MATTERS: ClassVar = {"drop_path_rate": only_above(1, "depth")}

    def __post_init__(self):
        if self.pooling == "cls" and self.class_token is False:
            raise ValueError("expected a class token with pooling='cls'. Received: class_token=False")


@options
class TextTransformerOptions(TokenEmbeddingOptions, EncoderOptions):
    """The transformer over a text.

    Args:
        causal: a token attends to itself and those before it only.
        pooling: "eos" (the last real token), "gap" (mean of the real tokens), "map" (attention pooling), or None: the
            tokens themselves.
        context_dim: embed_dim of the context; None: the same. Only with `cross_attention`.
    """

    causal: Bool = False
    pooling: Literal["eos", "gap", "map"] | None = "eos"
    context_dim: Count | None = None

    def __post_init__(self):
        if self.context_dim is not None and not self.cross_attention:
            raise ValueError(
                f"expected no context_dim with cross_attention=False. Received: context_dim={self.context_dim}"
            )


@options
class DualEncoderOptions:
    """An image encoder and a text encoder with one embedding space.

    Args:
        projection_dim: size of the space.
        logit_scale_init: first value of `logit_scale` (CLIP: 1 / 0.07, SigLIP: 10).
        logit_bias_init: first value of `logit_bias` (SigLIP: -10), or None: no bias, which the softmax loss could not
            tell from any other.
    """

    projection_dim: Count
    logit_scale_init: Annotated[Float, Field(gt=0, le=MAX_LOGIT_SCALE)] = 1 / 0.07
    logit_bias_init: Float | None = None


@options
class CaptioningOptions:
    """A decoder that reads an image.

    Args:
        tie_embeddings: logits by the decoder's own token vectors instead of a layer of their own.
    """

    tie_embeddings: Bool = True


@options
class QuestionAnsweringOptions:
    """A text encoder that reads an image and answers.

    Args:
        num_answers: K.
    """

    num_answers: Count
