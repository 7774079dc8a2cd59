"""What the configuration may say about pictures: pure values, checked here, importable without TensorFlow."""

import dataclasses

RESIZE_RULES = ("crop", "pad", "stretch")


def height_and_width(size):
    """n or (height, width) -> (height, width). Raises ValueError unless both are whole numbers > 0."""
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise ValueError(f"image_size must be (height, width) in pixels, both > 0. Received: {size}")
    return pair


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of training pictures; each off by default.

    Args:
        flip: bool, mirror left-right with probability one half.
        padded_crop: int >= 0, shift by up to this many pixels in each direction (the border is filled by reflection).
        random_resized_crop: float in (0, 1] or None: smallest share of the area that a random crop keeps; the crop's
            aspect ratio varies between 3/4 and 4/3 (Szegedy et al. 2015, arXiv 1409.4842, section 6).
        colour_jitter: float in [0, 1): brightness, contrast and saturation vary by factors in [1 - x, 1 + x].
    """

    flip: bool = False
    padded_crop: int = 0
    random_resized_crop: float | None = None
    colour_jitter: float = 0.0

    def __post_init__(self):
        if self.padded_crop < 0:
            raise ValueError(f"augmentation.padded_crop must be >= 0 pixels. Received: {self.padded_crop}")
        scale = self.random_resized_crop
        if scale is not None and not 0 < scale <= 1:
            raise ValueError(f"augmentation.random_resized_crop must be null or in (0, 1]. Received: {scale}")
        if not 0 <= self.colour_jitter < 1:
            raise ValueError(f"augmentation.colour_jitter must be in [0, 1). Received: {self.colour_jitter}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """Size, transforms and limits of an image data set.

    Args:
        image_size: (height, width) that the model sees, in pixels, or one number for both.
        channels: 1 (grey) or 3 (RGB).
        augmentation: `Augmentation` or a dict of its arguments.
        resize: how a picture of another shape is brought to `image_size`: `crop` (fill it, cut off what is over), `pad`
            (all of it is seen, black around it) or `stretch` (all of it, distorted).
        evaluation_crop: float in (0, 1], share of the picture's side kept by the central crop of `crop`, e.g. 0.875.
        cache_gigabytes: float >= 0, decoded pictures are kept in memory where all of a split needs less than what is
            left of this.
        max_unreadable: int >= 0, more distinct unreadable pictures than this are an error.
        batch_size: int > 0.
        class_weights: None or `balanced` (inverse class frequency, mean 1 over classes).
    """

    image_size: tuple[int, int]
    channels: int = 3
    augmentation: Augmentation = Augmentation()
    resize: str = "crop"
    evaluation_crop: float = 1.0
    cache_gigabytes: float = 2.0
    max_unreadable: int = 0
    batch_size: int = 128
    class_weights: str | None = None

    def __post_init__(self):
        object.__setattr__(self, "image_size", height_and_width(self.image_size))
        augmentation = self.augmentation
        if not isinstance(augmentation, Augmentation):
            object.__setattr__(self, "augmentation", Augmentation(**(augmentation or {})))
        self._check()

    def _check(self):
        if self.channels not in (1, 3):
            raise ValueError(f"channels must be 1 (grey) or 3 (RGB). Received: {self.channels}")
        if self.resize not in RESIZE_RULES:
            raise ValueError(f"resize must be one of {RESIZE_RULES}. Received: {self.resize!r}")
        if not 0 < self.evaluation_crop <= 1:
            raise ValueError(f"evaluation_crop must be in (0, 1]. Received: {self.evaluation_crop}")
        if self.cache_gigabytes < 0:
            raise ValueError(f"cache_gigabytes must be >= 0. Received: {self.cache_gigabytes}")
        if self.max_unreadable < 0:
            raise ValueError(f"max_unreadable must be >= 0. Received: {self.max_unreadable}")
        if self.batch_size <= 0:
            raise ValueError(f"batch_size must be > 0. Received: {self.batch_size}")
        if self.class_weights not in (None, "balanced"):
            raise ValueError(f"class_weights must be null or 'balanced'. Received: {self.class_weights!r}")
        if self.augmentation.padded_crop >= min(self.image_size):
            raise ValueError(
                f"augmentation.padded_crop must be smaller than both sides of image_size {self.image_size} "
                f"(the border is reflected). Received: {self.augmentation.padded_crop}"
            )

    @property
    def image_shape(self):
        """(height, width, channels) of one picture as the model sees it."""
        return (*self.image_size, self.channels)
