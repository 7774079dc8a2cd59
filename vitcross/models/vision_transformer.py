"""Implements the Vision Transformer, which returns its attention weights by address.
"An Image is Worth 16x16 Words" (arXiv 2010.11929); pooling by mean or attention as in "Better plain ViT baselines"
(arXiv 2205.01580) and "Scaling Vision Transformers" (arXiv 2106.04560); the network knows nothing of loss or data.

Shapes: B batch, H W C pixels, P patches, T tokens (prefix + P), S key tokens (S = T), N heads, D embed_dim, K classes.
"""

import dataclasses

import keras
from keras import ops

from vitcross.layers.attention_controls import AttentionControls, scoped
from vitcross.layers.encoder import TransformerEncoder
from vitcross.layers.image_embedding import ImageEmbedding
from vitcross.layers.patch_dropout import PatchDropout
from vitcross.layers.pooling import AttentionPooling, mean_of_tokens
from vitcross.layers.token_layout import TokenLayout
from vitcross.models.configured import ConfiguredModel, check_heads
from vitcross.models.explainable import PATCHES, Explainable, Reading, Tower, unchanged
from vitcross.models.variants import parse_variant
from vitcross.options.models import VisionTransformerOptions

_ROOT = "image_encoder"


@keras.saving.register_keras_serializable(package="vitcross")
class VisionTransformer(Explainable, ConfiguredModel):
    """Maps images to class logits. It is built when constructed.

    Args: the options of `vitcross.options.models.VisionTransformerOptions`.

    Call arguments:
        images: (B, H, W, C) float32 in [-1, 1].
        training: bool.
        return_attention_scores: bool.
        attention_controls: AttentionControls by the addresses of `attention_addresses`. Where `kept_patches` is
            given, patch dropout is off.

    Returns:
        logits (B, K), float32 also in mixed precision; with `return_attention_scores` a tuple of them and a dict in
        depth order from address to weights (B, N, T, S) float32: `image_encoder/block_00/self_attention`, ..., and with
        pooling "map" `image_encoder/pooling/cross_attention` (B, N, 1, T). In training with patch dropout T counts the
        patches that stayed.

    Raises:
        ValueError: unknown variant or option, a missing size, heads that do not divide embed_dim, an image that patches
            do not divide, or controls that name an address this model does not have.
    """

    OPTIONS = VisionTransformerOptions

    def __init__(self, *, name: str = _ROOT, **options):
        super().__init__(name=name, **options)
        check_heads(self)
        self.build((None, *self.image_size, self.in_channels))

    def _resolved(self, options):
        size, patch = parse_variant(options.variant) if options.variant else (None, None)
        sizes = {key: getattr(size, key, None) for key in ("embed_dim", "depth", "num_heads")} | {"patch_size": patch}
        given = {key: getattr(options, key) for key in sizes}
        sizes = {key: _required(key, given[key], of_variant) for key, of_variant in sizes.items()}
        class_token = options.pooling == "cls" if options.class_token is None else options.class_token
        return dataclasses.replace(options, **sizes, class_token=class_token, multilabel=bool(options.multilabel))

    @property
    def num_prefix_tokens(self) -> int:
        """Tokens before the first patch: class token and registers."""
        return int(self.class_token) + self.num_register_tokens

    @property
    def towers(self) -> tuple[Tower, ...]:
        """Of `Explainable`: the one tower, read by its pooling."""
        addresses = tuple(f"{_ROOT}/{address}" for address in self.encoder.attention_addresses)
        if self.pooling == "map":
            addresses += (f"{_ROOT}/pooling/cross_attention",)
        sizes = {"num_heads": self.num_heads, "embed_dim": self.embed_dim}
        return (Tower(name=_ROOT, tokens=PATCHES, attention_addresses=addresses, pooling=self.pooling, **sizes),)

    @property
    def num_choices(self) -> int | None:
        """Of `Explainable`: the classes."""
        return self.num_classes

    def check_explainable(self):
        if self.num_classes is None:
            raise ValueError("`model` must have classes to explain one. Received: num_classes=None")

    def token_layout_for(self, image_size=None) -> TokenLayout:
        """Where the patches of an image of `image_size` lie; of the size the model was made for by default."""
        return self.embedding.layout(image_size)

    def build(self, images_shape):
        self.embedding = self.part(ImageEmbedding, "embedding")
        self.embedding.build(images_shape)
        self.patch_dropout = PatchDropout(
            rate=self.patch_dropout_rate,
            num_prefix_tokens=self.num_prefix_tokens,
            dtype=self.dtype_policy,
            name="patch_dropout",
        )
        self.patch_dropout.build()
        tokens_shape = (None, None, self.embed_dim)
        self.encoder = self.part(TransformerEncoder, "encoder")
        self.encoder.build(tokens_shape)
        self.norm = self.layer_norm("norm", tokens_shape)
        if self.pooling == "map":
            self.attention_pooling = self.part(AttentionPooling, "pooling", attention_dropout_rate=0.0)
            self.attention_pooling.build(tokens_shape)
        if self.num_classes is not None:
            self.head = self.built_head(self.num_classes, self.embed_dim)

    def call(self, images, training=None, return_attention_scores=False, attention_controls=None):
        options = {
            "training": training,
            "return_attention_scores": return_attention_scores,
            "attention_controls": attention_controls,
        }
        if not return_attention_scores:
            return self.classify(self.encode(images, **options), **options)
        tokens, weights = self.encode(images, **options)
        logits, pooling_weights = self.classify(tokens, **options)
        return logits, {**weights, **pooling_weights}

    def embed(self, images, training=None):
        """images (B, H, W, C) -> tokens (B, T, D) with positions, as they enter patch dropout and the first block."""
        if len(images.shape) != 4 or images.shape[-1] != self.in_channels:
            raise ValueError(f"expected images (B, H, W, {self.in_channels}). Received: shape {tuple(images.shape)}")
        return self.embedding(images, training=training)

    def encode(self, images, training=None, return_attention_scores=False, attention_controls=None):
        """images (B, H, W, C) -> tokens (B, T, D) before the final norm [, weights of the blocks by address]."""
        tokens = self.embed(images, training=training)
        if self.patch_dropout_rate and (attention_controls is None or attention_controls.kept_patches is None):
            tokens = self.patch_dropout(tokens, training=training)
        return self.encode_tokens(tokens, training, return_attention_scores, attention_controls)

    def encode_tokens(self, tokens, training=None, return_attention_scores=False, attention_controls=None):
        """As `encode`, from embedded tokens (B, T, D), of which any subset of the patches may be there."""
        self._check_controls(attention_controls)
        result = self.encoder(
            tokens,
            padding_mask=self.tokens_mask(tokens, attention_controls),
            training=training,
            return_attention_scores=return_attention_scores,
            attention_controls=scoped(attention_controls, _ROOT),
        )
        if not return_attention_scores:
            return result
        return result[0], {f"{_ROOT}/{address}": weights for address, weights in result[1].items()}

    def read(self, tokens, inputs=None, attention_controls=None, averaged=unchanged) -> Reading:
        """Of `Explainable`: outputs are logits (B, K), or features (B, D) without classes."""
        options = {"training": False, "return_attention_scores": True, "attention_controls": attention_controls}
        tokens, weights = self.encode_tokens(tokens, **options)
        outputs, pooling_weights = self.classify(tokens, **options, averaged=averaged)
        return Reading(outputs, {**weights, **pooling_weights}, tokens)

    def classify(
        self, tokens, training=None, return_attention_scores=False, attention_controls=None, averaged=unchanged
    ):
        """tokens (B, T, D) of `encode` -> logits (B, K) [, weights of the pooling by address, empty without "map"]."""
        tokens = self.norm(tokens)
        tokens = averaged(_ROOT, tokens) if self.pooling == "gap" else tokens
        features, weights = self.pool(tokens, training, True, attention_controls)
        outputs = features if self.num_classes is None else self.head(features)
        return (outputs, weights) if return_attention_scores else outputs

    def pool(self, tokens, training=None, return_attention_scores=False, attention_controls=None):
        """tokens (B, T, D) after the final norm -> features (B, D) [, weights of the pooling by address]."""
        self._check_controls(attention_controls)
        weights = {}
        if self.pooling == "map":
            features, weights = self.attention_pooling(
                tokens,
                padding_mask=self.tokens_mask(tokens, attention_controls),
                training=training,
                return_attention_scores=True,
                attention_controls=scoped(scoped(attention_controls, _ROOT), "pooling"),
            )
            weights = {f"{_ROOT}/pooling/{address}": value for address, value in weights.items()}
        elif self.pooling == "cls":
            features = tokens[:, 0]  # the class token is the first prefix token
        else:
            kept = None if attention_controls is None else attention_controls.kept_patches
            features = mean_of_tokens(self.token_layout_for().patches(tokens, axis=1), kept)
        return (features, weights) if return_attention_scores else features

    def _check_controls(self, attention_controls: AttentionControls | None):
        if attention_controls is not None:
            attention_controls.check_addresses(self.attention_addresses)

    def tokens_mask(self, tokens, attention_controls: AttentionControls | None):
        """Which tokens stay, bool (B, T), or None where no patch is dropped. Prefix tokens always stay."""
        if attention_controls is None or attention_controls.kept_patches is None:
            return None
        kept_BP = ops.cast(attention_controls.kept_patches, "bool")
        num_patches = tokens.shape[1] - self.num_prefix_tokens
        if len(kept_BP.shape) != 2 or kept_BP.shape[1] != num_patches:
            raise ValueError(f"expected (B, {num_patches}). Received: kept_patches of shape {tuple(kept_BP.shape)}")
        prefix_shape = (ops.shape(kept_BP)[0], self.num_prefix_tokens)
        return ops.concatenate([ops.ones(prefix_shape, dtype="bool"), kept_BP], axis=1)


def _required(name: str, given, from_variant):
    """The given value, else that of the variant. Raises ValueError if neither exists."""
    value = from_variant if given is None else given
    if value is None:
        raise ValueError(f"expected {name}, or a variant that fills it. Received: neither {name} nor variant")
    return value
