"""Turns images into the tokens of the first block: patches, class token, positions, registers.

Shapes: B batch, H W C pixels, P patches, T tokens (class token, registers, patches), D embed_dim.
"""

from dataclasses import replace

import keras

from vitcross.height_and_width import height_and_width
from vitcross.layers.configured import Configured
from vitcross.layers.dropout import Dropout
from vitcross.layers.patch_embedding import PatchEmbedding
from vitcross.layers.position_embedding import PositionEmbedding
from vitcross.layers.prefix_tokens import PrefixTokens
from vitcross.layers.token_layout import TokenLayout
from vitcross.options.models import ImageEmbeddingOptions


@keras.saving.register_keras_serializable(package="vitcross")
class ImageEmbedding(Configured, keras.layers.Layer):
    """Embeds patches, puts the class token before them, adds positions, inserts registers; optional norm and dropout.

    Args: the options of `vitcross.options.models.ImageEmbeddingOptions`.

    Call arguments:
        images: (B, H, W, C) float.
        training: bool.

    Returns:
        (B, T, D).

    Raises:
        ValueError: a size that patches do not divide, or an unknown option.
    """

    OPTIONS = ImageEmbeddingOptions

    def __init__(self, **options):
        super().__init__(**options)
        self.patches = PatchEmbedding(
            patch_size=self.options.patch_size,
            embed_dim=self.options.embed_dim,
            stem=self.options.stem,
            use_bias=self.options.patch_bias,
            stem_depths=self.options.stem_depths,
            dtype=self.dtype_policy,
            name="patch_embedding",
        )

    def layout(self, image_size=None) -> TokenLayout:
        """Where the patches of an image of `image_size` lie; of the size the positions are made for by default."""
        size = self.options.image_size if image_size is None else height_and_width(image_size)
        prefix = int(self.options.class_token) + self.options.num_register_tokens
        return replace(self.patches.layout(size), num_prefix_tokens=prefix)

    def build(self, images_shape):
        layout = self.layout()
        self.patches.build((None, *self.options.image_size, images_shape[-1]))
        tokens_shape = (None, None, self.options.embed_dim)
        self.class_token_layer = self._prefix_tokens("class_token", int(self.options.class_token), 0)
        self.positions = PositionEmbedding(
            grid=layout.grid,
            method=self.options.position_embedding,
            num_prefix_positions=int(self.options.class_token),
            interpolation=self.options.position_interpolation,
            dtype=self.dtype_policy,
            name="position_embedding",
        )
        self.positions.build(tokens_shape)
        # Registers have no position (arXiv 2309.16588): they are inserted after the positions are added.
        self.register_layer = self._prefix_tokens(
            "register_tokens", self.options.num_register_tokens, int(self.options.class_token)
        )
        self.norm = None
        if self.options.pre_norm:
            self.norm = self.layer_norm("norm", tokens_shape)
        self.dropout = Dropout(rate=self.options.dropout_rate, dtype=self.dtype_policy, name="dropout")
        self.dropout.build()

    def _prefix_tokens(self, name: str, num_tokens: int, position: int):
        """A built layer that inserts `num_tokens` tokens, or None for none."""
        if not num_tokens:
            return None
        tokens = PrefixTokens(num_tokens=num_tokens, position=position, dtype=self.dtype_policy, name=name)
        tokens.build((None, None, self.options.embed_dim))
        return tokens

    def call(self, images, training=None):
        tokens = self.patches(images, training=training)
        if self.class_token_layer is not None:
            tokens = self.class_token_layer(tokens)
        tokens = self.positions(tokens, grid=self.layout(tuple(images.shape[1:3])).grid)
        if self.register_layer is not None:
            tokens = self.register_layer(tokens)
        if self.norm is not None:
            tokens = self.norm(tokens)
        return self.dropout(tokens, training=training) if self.options.dropout_rate else tokens
