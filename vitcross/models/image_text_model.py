"""Provides the base classes of image-text models: an image encoder, a text tower, and one set of addresses for both.

The text tower is a text encoder or decoder.

Shapes: B batch, T tokens, N heads.
"""

from dataclasses import replace

import keras
from keras import ops

from vitcross.layers.attention_controls import AttentionControls
from vitcross.layers.token_layout import TokenLayout
from vitcross.models.configured import ConfiguredModel
from vitcross.models.explainable import Explainable, Reading, Tower, unchanged


class ImageTextModel(Explainable, ConfiguredModel):
    """Base of the models of images and texts; the subclass combines the two towers.

    Args:
        image_encoder: VisionTransformer without classification head (`num_classes=None`).
        text_tower: TextTransformer.
        **options: Keras's own, and those of the subclass.

    Raises:
        ValueError: an image encoder with a head, or two towers of the same address.
    """

    batch_keys = ("images", "token_ids", "padding_mask")
    # The towers by the names that constructor, attributes and configuration give them, image first.
    TOWERS = ("image_encoder", "text_encoder")

    def __init__(self, *, image_encoder, text_tower, **options):
        super().__init__(**options)
        if image_encoder.num_classes is not None:
            raise ValueError(
                "expected an image encoder without classification head, num_classes=None. "
                f"Received: num_classes={image_encoder.num_classes}"
            )
        if text_tower.name != self.TOWERS[1]:
            raise ValueError(
                f"expected a text tower named {self.TOWERS[1]!r}, the root of its addresses. "
                f"Received: name={text_tower.name!r}"
            )
        for name, tower in zip(self.TOWERS, (image_encoder, text_tower), strict=True):
            setattr(self, name, tower)

    @property
    def text_tower(self):
        """The `TextTransformer`, whatever name the model has for it."""
        return getattr(self, self.TOWERS[1])

    @property
    def towers(self) -> tuple[Tower, ...]:
        """Of `Explainable`: image and text."""
        return *self.image_encoder.towers, self.text_tower.tower

    @property
    def patch_size(self) -> tuple[int, int]:
        """(height, width) in pixels of the image encoder's patches."""
        return self.image_encoder.patch_size

    def token_layout_for(self, image_size=None) -> TokenLayout:
        """Where the patches of an image of `image_size` lie; of the size the model was made for by default."""
        return self.image_encoder.token_layout_for(image_size)

    def embed(self, images, training=None):
        """Of `Explainable`: images (B, H, W, C) -> tokens (B, S, D) as they enter the first block."""
        return self.image_encoder.embed(images, training=training)

    def _controls_of(self, tower: int, attention_controls: AttentionControls | None):
        """The controls of the image encoder (0), or of the text tower (1), which has no patches to keep."""
        if attention_controls is None:
            return None
        attention_controls.check_addresses(self.attention_addresses)
        own = attention_controls.within(self.TOWERS[tower])
        return replace(own, kept_patches=None) if tower else own

    def _options_of(self, tower: int, training, return_attention_scores, attention_controls) -> dict:
        """Call arguments of a tower, by its number."""
        return {
            "training": training,
            "return_attention_scores": return_attention_scores,
            "attention_controls": self._controls_of(tower, attention_controls),
        }

    def get_config(self):
        towers = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.TOWERS}
        return {**super().get_config(), **towers}

    @classmethod
    def from_config(cls, config):
        towers = {name: keras.saving.deserialize_keras_object(config[name]) for name in cls.TOWERS}
        return cls(**{**config, **towers})


class ContextModel(ImageTextModel):
    """Base of the models whose text tower reads the image: its context is all image tokens after the final norm.

    The subclass has `logits`, from the features of the text.

    Args, Raises: as `ImageTextModel`; also ValueError for an image encoder with a pooling head, which would
    never be used, and for a text tower that reads no context or one of another embed_dim.
    """

    def __init__(self, *, image_encoder, text_tower, **options):
        super().__init__(image_encoder=image_encoder, text_tower=text_tower, **options)
        if image_encoder.pooling == "map":
            raise ValueError(
                "expected an image encoder with pooling='gap' or 'cls': the text reads its tokens, so that an "
                "attention pooling would never be trained. Received: pooling='map'"
            )
        if not text_tower.cross_attention:
            raise ValueError(f"expected cross_attention=True of the {self.TOWERS[1]}. Received: cross_attention=False")
        if text_tower.context_dim != image_encoder.embed_dim:
            raise ValueError(
                f"expected {self.TOWERS[1]}.context_dim to be embed_dim of the image encoder, "
                f"{image_encoder.embed_dim}. Received: context_dim={text_tower.context_dim}"
            )

    @property
    def towers(self) -> tuple[Tower, ...]:
        image, text = super().towers
        # The explained output reads the text; no pooling of the image takes part.
        return replace(image, pooling=None), replace(text, reads=image.name)

    def read(self, tokens, inputs, attention_controls=None, averaged=unchanged) -> Reading:
        """Of `Explainable`: outputs are the features of the text, (B, D) or without pooling (B, T, D)."""
        tokens, weights = self.image_encoder.encode_tokens(
            tokens, **self._options_of(0, False, True, attention_controls)
        )
        text, text_weights = self.text_tower.read(
            inputs,
            self.image_encoder.norm(tokens),
            self.image_encoder.tokens_mask(tokens, attention_controls),
            self._controls_of(1, attention_controls),
            averaged,
        )
        return Reading(text, {**weights, **text_weights}, tokens)

    def call(
        self,
        images,
        token_ids=None,
        padding_mask=None,
        training=None,
        return_attention_scores=False,
        attention_controls=None,
    ):
        options = (training, return_attention_scores, attention_controls)
        context, context_mask, *image_weights = self.encode_images(images, *options)
        context, context_mask = repeated(context, token_ids), repeated(context_mask, token_ids)
        result = self.text_tower(
            token_ids,
            padding_mask=padding_mask,
            context=context,
            context_mask=context_mask,
            **self._options_of(1, *options),
        )
        if not return_attention_scores:
            return self.logits(result)
        return self.logits(result[0]), {**image_weights[0], **result[1]}

    def encode_images(self, images, training=None, return_attention_scores=False, attention_controls=None):
        """images (B, H, W, C) -> the context, image tokens (B, S, Dc) after the final norm, prefix tokens included, and
        its mask, bool (B, S) or None [, weights of the image encoder by address].
        """
        options = self._options_of(0, training, return_attention_scores, attention_controls)
        tokens, weights = self.image_encoder.encode(images, **options), {}
        if return_attention_scores:
            tokens, weights = tokens
        mask = self.image_encoder.tokens_mask(tokens, attention_controls)
        context = self.image_encoder.norm(tokens)
        return (context, mask, weights) if return_attention_scores else (context, mask)


def repeated(rows, token_ids):
    """What belongs to an image (B / K, ...) or None, once for each of its K texts (B, T): (B, ...).

    Rows i K to i K + K - 1 of the texts belong to image i. K is known where both batch sizes are; where one is not,
    every image has one text.

    Raises:
        ValueError: a number of texts that is no multiple of the number of images.
    """
    if rows is None or None in (rows.shape[0], token_ids.shape[0]) or rows.shape[0] == token_ids.shape[0]:
        return rows
    texts_per_image, rest = divmod(token_ids.shape[0], rows.shape[0])
    if rest or not texts_per_image:
        raise ValueError(
            "expected as many texts for every image. "
            f"Received: {token_ids.shape[0]} rows of token_ids, {rows.shape[0]} images"
        )
    return ops.repeat(rows, texts_per_image, axis=0)
