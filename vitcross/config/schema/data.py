"""Keys of the group `data`, one dataclass per function of `vitcross.data.load`."""

from typing import Annotated, Literal

from pydantic import Field

from vitcross.config.schema.fields import (
    Bool,
    Count,
    CountOrZero,
    Float,
    Int,
    NonNegative,
    Share,
    ShareOrAll,
    Size,
    config,
)

# A name before the colon would be that of a collection whose code TFDS downloads and runs; a version may follow it.
TFDSName = Annotated[str, Field(pattern=r"^[^:]+(:[\d.*]+)?$")]


@config
class AugmentationConfig:
    flip: Bool
    padded_crop: CountOrZero
    random_resized_crop: Annotated[Float, Field(gt=0, le=1)] | None
    color_jitter: Share
    # Runs of an older version have none of these keys.
    randaugment_operations: Annotated[CountOrZero, Field(le=4)] = 0
    randaugment_magnitude: Annotated[NonNegative, Field(le=10)] = 9.0
    three_augment: Bool = False
    erasing: ShareOrAll = 0.0
    mixup: NonNegative = 0.0
    cutmix: NonNegative = 0.0
    mix_probability: Annotated[Float, Field(gt=0, le=1)] = 1.0
    repeats: Count = 1


@config
class ImagesConfig:
    """What every source of images understands (`vitcross.data.options.ImageOptions`)."""

    data_dir: str | None
    batch_size: Count
    image_size: Size | None
    channels: Literal[1, 3] | None
    num_classes: Annotated[Int, Field(ge=2)] | None
    augmentation: AugmentationConfig
    resize: Literal["crop", "pad", "stretch"]
    evaluation_crop: Annotated[Float, Field(gt=0, le=1)]
    cache_gigabytes: NonNegative
    max_unreadable: CountOrZero
    class_weights: Literal["balanced"] | None


@config
class TFDSConfig(ImagesConfig):
    name: TFDSName
    train_split: str
    validation_split: str
    test_split: str | None
    download: Bool


@config
class ImageFolderConfig(ImagesConfig):
    root: str
    validation_share: Annotated[Float, Field(gt=0, lt=1)]
    test_share: Share
    split_seed: CountOrZero


@config
class WatermarkConfig:
    corner: Literal["top_left", "top_right", "bottom_left", "bottom_right"]
    size: Annotated[Float, Field(gt=0, le=0.5)]
    share: Annotated[Float, Field(gt=0, le=1)]


@config
class ScenesConfig(ImagesConfig):
    target_color: str
    max_objects: Count
    scene_seed: CountOrZero
    train_examples: Count
    validation_examples: Count
    test_examples: Count
    watermark: WatermarkConfig | None = None  # runs of an older version have no such key


@config
class TextsConfig(ImagesConfig):
    """What every source of images with texts understands besides (`vitcross.data.options.TextOptions`)."""

    tokenizer_kind: Literal["bpe", "wordpiece"]
    vocabulary_size: Count
    tokenizer: str | None
    max_text_length: Annotated[Int, Field(ge=3)]
    num_classes: CountOrZero | None
    texts_per_image: Count
    evaluation_examples: Count | None
    distinct_texts: Bool
    baseline: Literal["blind", "shuffled"] | None
    class_weights: None


@config
class SceneTextsConfig(TextsConfig):
    texts: Literal["captions", "questions"]
    questions_per_scene: Count | None
    target_color: str
    max_objects: Count
    scene_seed: CountOrZero
    held_out_combinations: Bool
    train_examples: Count
    validation_examples: Count
    test_examples: Count
    unseen_examples: Count


@config
class PairsConfig(TextsConfig):
    file: str
    validation_share: Share
    test_share: Share
    split_seed: CountOrZero


@config
class TFDSCaptionsConfig(TextsConfig):
    name: TFDSName
    train_split: str
    validation_split: str
    test_split: str | None
    download: Bool


SCHEMAS = {
    "vitcross.data.load.tfds": TFDSConfig,
    "vitcross.data.load.scenes": ScenesConfig,
    "vitcross.data.load.image_folder": ImageFolderConfig,
    "vitcross.data.load.scene_texts": SceneTextsConfig,
    "vitcross.data.load.pairs": PairsConfig,
    "vitcross.data.load.tfds_captions": TFDSCaptionsConfig,
}
