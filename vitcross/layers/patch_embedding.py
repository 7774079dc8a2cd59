"""Turns pixels into one token per patch.
There are two stems. `linear`: each non-overlapping patch through one linear map ("An Image is Worth 16x16 Words", arXiv
2010.11929, equation 1). `conv`: three stages of 3x3 convolutions, each with batch normalization and ReLU, the first of
a stage with stride 2 and the others with stride 1, then a 1x1 projection ("Early Convolutions Help Transformers See
Better", arXiv 2106.14881, section 4 and appendix A), which learns faster from few images.

Shapes: B batch, H W C pixels, gh gw patch grid, P = gh gw patches, D embed_dim.
"""

import keras
from keras import ops

from vitcross.height_and_width import height_and_width
from vitcross.layers.initializers import projection_initializer
from vitcross.layers.token_layout import TokenLayout

STEMS = ("linear", "conv")
ONE_EACH = (1, 1, 1)  # convolutions of the conv stem's three stages
_CONV_STEM_STRIDE = 8
# Where the first 3x3 window of each stage begins. "same" padding begins every window at pixel 0, so that token i would
# see pixels 8i to 8i + 14, centerd 3.5 pixels beyond its patch, and each map would be drawn half a patch away from
# what the token saw. These three together give 8i - 4 to 8i + 10, centerd on the patch 8i to 8i + 7 within half a
# pixel. Windows of stride 1 are centerd: they widen what a token sees by as much on each side.
_FIRST_PIXEL = (0, 0, -1)


@keras.saving.register_keras_serializable(package="vitcross")
class PatchEmbedding(keras.layers.Layer):
    """Cuts images into patches and maps each to a token, row-major.

    Args:
        patch_size: int or (height, width) in pixels; must be 8 with the conv stem, whose stride it is.
        embed_dim: int, D.
        stem: "linear" or "conv". Default "linear".
        use_bias: bool, bias of the projection to tokens. Default True.
        stem_depths: three ints, convolutions of each stage of the conv stem. Default (1, 1, 1), the only value that the
            linear stem takes.

    Call arguments:
        images: (B, H, W, C) float, static height and width. The linear stem needs multiples of the patch; the conv stem
            pads and rounds up (28 pixels give 4 patches).
        training: bool, for the conv stem's batch normalization.

    Returns:
        (B, P, D).

    Raises:
        ValueError: unknown stem, a patch size other than 8 with the conv stem, depths that are not three positive
            integers or that the linear stem does not have, or an image that does not divide.
    """

    def __init__(
        self,
        *,
        patch_size,
        embed_dim: int,
        stem: str = "linear",
        use_bias: bool = True,
        stem_depths=ONE_EACH,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if stem not in STEMS:
            raise ValueError(f"expected one of {STEMS}. Received: stem={stem!r}")
        self.patch_size = height_and_width(patch_size, "patch_size")
        if stem == "conv" and self.patch_size != (_CONV_STEM_STRIDE, _CONV_STEM_STRIDE):
            raise ValueError(
                f"expected patch_size={_CONV_STEM_STRIDE} with stem='conv' (three convolutions of stride 2). "
                f"Received: patch_size={patch_size!r}"
            )
        if embed_dim <= 0:
            raise ValueError(f"expected a positive integer. Received: embed_dim={embed_dim}")
        self.embed_dim = embed_dim
        self.stem = stem
        self.use_bias = use_bias
        self.stem_depths = _checked_depths(stem_depths, stem)

    def layout(self, image_size) -> TokenLayout:
        """The grid that images of `image_size` (height, width) give. Raises ValueError if they do not divide."""
        return TokenLayout.from_image(image_size, self.patch_size, round_up=self.stem == "conv")

    def build(self, images_shape):
        self._check_images(images_shape)
        height, width = self.patch_size
        if self.stem == "linear":
            fan_in = height * width * images_shape[-1]
            self.projection = self._conv("projection", self.embed_dim, self.patch_size, self.patch_size, fan_in)
            self.projection.build(images_shape)
            return
        self.convolutions = []
        shape = (None, None, None, images_shape[-1])
        # D/4, D/2, D channels: the cost stays level as the resolution halves.
        stage_channels = (max(1, self.embed_dim // 4), max(1, self.embed_dim // 2), self.embed_dim)
        for stage, (channels, depth) in enumerate(zip(stage_channels, self.stem_depths, strict=True)):
            for index in range(depth):
                number = f"{stage}_{index}" if index else f"{stage}"
                self.convolutions.append(self._convolution(number, channels, 1 if index else 2, shape))
                shape = (None, None, None, channels)
        self.projection = self._conv("projection", self.embed_dim, 1, 1, self.embed_dim)
        self.projection.build(shape)

    def _conv(self, name: str, channels: int, kernel_size, strides, fan_in: int):
        return keras.layers.Conv2D(
            channels,
            kernel_size,
            strides=strides,
            padding="valid",
            data_format="channels_last",
            use_bias=self.use_bias,
            kernel_initializer=projection_initializer(fan_in, channels),
            dtype=self.dtype_policy,
            name=name,
        )

    def _convolution(self, number: str, channels: int, stride: int, input_shape):
        """3x3 convolution and its batch normalization, built; no bias, which the latter would undo."""
        conv = keras.layers.Conv2D(
            channels,
            3,
            strides=stride,
            padding="same" if stride == 1 else "valid",  # with stride 2 the windows begin where `_FIRST_PIXEL` says
            data_format="channels_last",
            use_bias=False,
            kernel_initializer="he_normal",
            dtype=self.dtype_policy,
            name=f"conv_{number}",
        )
        # Momentum 0.9: with the default 0.99 the moving statistics of a short run lag far behind.
        norm = keras.layers.BatchNormalization(
            momentum=0.9, epsilon=1e-5, dtype=self.dtype_policy, name=f"norm_{number}"
        )
        conv.build(input_shape)
        norm.build((None, None, None, channels))
        return conv, norm

    def call(self, images, training=None):
        self._check_images(images.shape)
        rows, columns = self.layout(tuple(images.shape[1:3])).grid
        features = images
        if self.stem == "conv":
            first_pixels = iter(_FIRST_PIXEL)
            for conv, norm in self.convolutions:
                if conv.strides == (2, 2):
                    features = _pad(features, next(first_pixels))
                features = ops.relu(norm(conv(features), training=training))
        return ops.reshape(self.projection(features), (-1, rows * columns, self.embed_dim))

    def _check_images(self, shape):
        if len(shape) != 4 or None in tuple(shape)[1:]:
            raise ValueError(f"expected images (B, H, W, C) of static size. Received: shape {tuple(shape)}")
        self.layout(tuple(shape[1:3]))

    def get_config(self):
        return {
            **super().get_config(),
            "patch_size": self.patch_size,
            "embed_dim": self.embed_dim,
            "stem": self.stem,
            "use_bias": self.use_bias,
            "stem_depths": self.stem_depths,
        }


def _checked_depths(stem_depths, stem: str) -> tuple[int, ...]:
    depths = tuple(stem_depths)
    if len(depths) != len(ONE_EACH) or not all(isinstance(depth, int) and depth > 0 for depth in depths):
        raise ValueError(f"expected three positive integers. Received: stem_depths={stem_depths!r}")
    if stem == "linear" and depths != ONE_EACH:
        raise ValueError(f"expected stem='conv' with other depths than {ONE_EACH}. Received: stem_depths={depths}")
    return depths


def _pad(features, first: int):
    """Zeros around (B, H, W, C) for 3x3 windows of stride 2 that begin at pixel `first`, ceil(H / 2) x ceil(W / 2)."""
    sides = []
    for length in features.shape[1:3]:
        last = 2 * (-(-length // 2) - 1) + first + 2  # last pixel of the last window
        sides.append((-first, max(0, last - length + 1)))
    return ops.pad(features, ((0, 0), *sides, (0, 0)))
