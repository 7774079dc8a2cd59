"""From images to the tokens that enter the first block: patches, class token, positions, registers.

Shapes: B batch, H W C pixels, P patches, T tokens (class token, registers, patches), D width.
"""

from dataclasses import replace

import keras

from vitcross.height_and_width import height_and_width
from vitcross.layers.dropout import Dropout
from vitcross.layers.patch_embedding import ONE_EACH, PatchEmbedding
from vitcross.layers.position_embedding import PositionEmbedding
from vitcross.layers.prefix_tokens import PrefixTokens
from vitcross.layers.token_layout import TokenLayout


@keras.saving.register_keras_serializable(package="vitcross")
class ImageEmbedding(keras.layers.Layer):
    """Embeds patches, puts the class token before them, adds positions, inserts registers; optional norm and dropout.

    Args:
        image_size: int or (height, width) in pixels that the positions are made for; others run too.
        patch_size: int or (height, width) in pixels.
        embed_dim: int, D.
        class_token: bool. Default True.
        num_register_tokens: int. Default 0.
        stem: "linear" or "conv". Default "linear".
        patch_bias: bool. Default True.
        position_embedding: "learned" or "sincos2d". Default "learned".
        position_interpolation: "bicubic" or "bilinear". Default "bicubic".
        pre_norm: bool, LayerNorm of the tokens (CLIP, arXiv 2103.00020). Default False.
        layer_norm_epsilon: float. Default 1e-6.
        dropout_rate: float in [0, 1). Default 0.
        stem_depths: three ints, convolutions of each stage of the conv stem. Default (1, 1, 1).

    Call arguments:
        images: (B, H, W, C) float.
        training: bool.

    Returns:
        (B, T, D).

    Raises:
        ValueError: a size that patches do not divide, or an unknown option.
    """

    def __init__(
        self,
        *,
        image_size,
        patch_size,
        embed_dim: int,
        class_token: bool = True,
        num_register_tokens: int = 0,
        stem: str = "linear",
        patch_bias: bool = True,
        position_embedding: str = "learned",
        position_interpolation: str = "bicubic",
        pre_norm: bool = False,
        layer_norm_epsilon: float = 1e-6,
        dropout_rate: float = 0.0,
        stem_depths=ONE_EACH,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if num_register_tokens < 0:
            raise ValueError(f"expected zero or more. Received: num_register_tokens={num_register_tokens}")
        self.image_size = height_and_width(image_size)
        self.patch_size = height_and_width(patch_size, "patch_size")
        self.embed_dim = embed_dim
        self.class_token = class_token
        self.num_register_tokens = num_register_tokens
        self.stem = stem
        self.patch_bias = patch_bias
        self.position_embedding = position_embedding
        self.position_interpolation = position_interpolation
        self.pre_norm = pre_norm
        self.layer_norm_epsilon = layer_norm_epsilon
        self.dropout_rate = dropout_rate
        self.patches = PatchEmbedding(
            patch_size=patch_size,
            embed_dim=embed_dim,
            stem=stem,
            use_bias=patch_bias,
            stem_depths=stem_depths,
            dtype=self.dtype_policy,
            name="patch_embedding",
        )
        self.stem_depths = self.patches.stem_depths

    def layout(self, image_size=None) -> TokenLayout:
        """Where the patches of an image of `image_size` lie; of the size the positions are made for by default."""
        grid = self.patches.layout(self.image_size if image_size is None else height_and_width(image_size))
        return replace(grid, num_prefix_tokens=int(self.class_token) + self.num_register_tokens)

    def build(self, images_shape):
        layout = self.layout()
        self.patches.build((None, *self.image_size, images_shape[-1]))
        tokens_shape = (None, None, self.embed_dim)
        self.class_token_layer = self._prefix_tokens("class_token", int(self.class_token), 0)
        self.positions = PositionEmbedding(
            grid=layout.grid,
            method=self.position_embedding,
            num_prefix_positions=int(self.class_token),
            interpolation=self.position_interpolation,
            dtype=self.dtype_policy,
            name="position_embedding",
        )
        self.positions.build(tokens_shape)
        # Registers have no position (arXiv 2309.16588): they come in after positions were added.
        self.register_layer = self._prefix_tokens("register_tokens", self.num_register_tokens, int(self.class_token))
        self.norm = None
        if self.pre_norm:
            self.norm = keras.layers.LayerNormalization(
                epsilon=self.layer_norm_epsilon, dtype=self.dtype_policy, name="norm"
            )
            self.norm.build(tokens_shape)
        self.dropout = Dropout(rate=self.dropout_rate, dtype=self.dtype_policy, name="dropout")
        self.dropout.build()

    def _prefix_tokens(self, name: str, num_tokens: int, position: int):
        """A built layer that inserts `num_tokens` tokens, or None for none."""
        if not num_tokens:
            return None
        tokens = PrefixTokens(num_tokens=num_tokens, position=position, dtype=self.dtype_policy, name=name)
        tokens.build((None, None, self.embed_dim))
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
        return self.dropout(tokens, training=training) if self.dropout_rate else tokens

    def get_config(self):
        return {
            **super().get_config(),
            "image_size": self.image_size,
            "patch_size": self.patch_size,
            "embed_dim": self.embed_dim,
            "class_token": self.class_token,
            "num_register_tokens": self.num_register_tokens,
            "stem": self.stem,
            "patch_bias": self.patch_bias,
            "position_embedding": self.position_embedding,
            "position_interpolation": self.position_interpolation,
            "pre_norm": self.pre_norm,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "dropout_rate": self.dropout_rate,
            "stem_depths": self.stem_depths,
        }
