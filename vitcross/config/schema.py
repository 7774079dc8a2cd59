"""Maps each section of a configuration to the class of options that checks it, and defines the roots of both scripts.

Imports no TensorFlow, so that a wrong command is answered in a second or two. A section with choices is checked by the
class of its `_target_`; the classes below add what stands in a configuration only.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from vitcross.options import data, models, optimizers, tasks
from vitcross.options.effects import Rule, only_with
from vitcross.options.fields import Bool, Count, CountOrZero, PathText, Size, options
from vitcross.options.run import (
    AttentionMapsOptions,
    PartOfAddress,
    SinksOptions,
    TrainerOptions,
    WeightsAndBiasesOptions,
)


@options
class VisionTransformerConfig(models.VisionTransformerOptions):
    """A Vision Transformer; what the data decides may be null until the data is loaded."""

    image_size: Size | None
    in_channels: Count | None


@options
class ImageEncoderConfig(VisionTransformerConfig):
    """An image encoder, which has no classes."""

    target: Annotated[Literal["vitcross.models.VisionTransformer"], Field(alias="_target_")]
    num_classes: None
    multilabel: None


@options
class ContextEncoderConfig(ImageEncoderConfig):
    """The image encoder whose tokens a text reads: a pooling head would never be trained."""

    pooling: Literal["gap", "cls"]


@options
class TextTowerConfig(models.TextTransformerOptions):
    """A text encoder or decoder; what the data decides may be null until the data is loaded."""

    target: Annotated[Literal["vitcross.models.TextTransformer"], Field(alias="_target_")]
    vocabulary_size: Count | None
    max_length: Count | None


@options
class TextEncoderConfig(TextTowerConfig):
    """The text encoder of a dual encoder."""

    pooling: Literal["eos", "gap", "map"]
    cross_attention: Literal[False]


@options
class QuestionEncoderConfig(TextTowerConfig):
    """The text encoder that reads an image and is pooled."""

    pooling: Literal["eos", "gap", "map"]
    cross_attention: Literal[True]


@options
class TextDecoderConfig(TextTowerConfig):
    """The text decoder, which reads an image."""

    causal: Literal[True]
    pooling: None
    cross_attention: Literal[True]


@options
class DualEncoderConfig(models.DualEncoderOptions):
    image_encoder: ImageEncoderConfig
    text_encoder: TextEncoderConfig


@options
class CaptioningModelConfig(models.CaptioningOptions):
    image_encoder: ContextEncoderConfig
    text_decoder: TextDecoderConfig


@options
class QuestionAnsweringModelConfig(models.QuestionAnsweringOptions):
    image_encoder: ContextEncoderConfig
    text_encoder: QuestionEncoderConfig
    num_answers: Count | None


SCHEMAS = {
    "data": {
        "vitcross.data.load.tfds": data.TFDSOptions,
        "vitcross.data.load.scenes": data.ScenesOptions,
        "vitcross.data.load.image_folder": data.ImageFolderOptions,
        "vitcross.data.load.labels_file": data.LabelsFileOptions,
        "vitcross.data.load.scene_texts": data.SceneTextsOptions,
        "vitcross.data.load.pairs": data.PairsOptions,
        "vitcross.data.load.tfds_captions": data.TFDSCaptionsOptions,
        "vitcross.data.load.huggingface": data.HuggingFaceOptions,
        "vitcross.data.load.huggingface_captions": data.HuggingFaceCaptionsOptions,
        "vitcross.data.load.huggingface_questions": data.HuggingFaceQuestionsOptions,
    },
    "model": {
        "vitcross.models.VisionTransformer": VisionTransformerConfig,
        "vitcross.models.DualEncoder": DualEncoderConfig,
        "vitcross.models.CaptioningModel": CaptioningModelConfig,
        "vitcross.models.QuestionAnsweringModel": QuestionAnsweringModelConfig,
    },
    "task": {
        "vitcross.tasks.Classification": tasks.ClassificationOptions,
        "vitcross.tasks.Multilabel": tasks.MultilabelOptions,
        "vitcross.tasks.Contrastive": tasks.ContrastiveOptions,
        "vitcross.tasks.Captioning": tasks.CaptioningTaskOptions,
        "vitcross.tasks.QuestionAnswering": tasks.QuestionAnsweringTaskOptions,
    },
    "optimizer": {
        "vitcross.training.optimizer.adamw": optimizers.AdamWOptions,
        "vitcross.training.optimizer.lion": optimizers.LionOptions,
        "vitcross.training.optimizer.muon": optimizers.MuonOptions,
        "vitcross.training.optimizer.schedule_free_adamw": optimizers.ScheduleFreeOptions,
    },
}


@options
class TrainConfig:
    """All keys of `python train.py`; groups with choices are checked by `SCHEMAS`."""

    seed: CountOrZero
    init_from: PathText | None
    resume: PathText | None
    allow_changes: Bool
    data: dict[str, Any]
    model: dict[str, Any]
    task: dict[str, Any]
    optimizer: dict[str, Any]
    trainer: TrainerOptions
    attention_maps: AttentionMapsOptions
    sinks: SinksOptions

    MATTERS: ClassVar = {"model.logit_bias_init": only_with("task.loss", "sigmoid")}


@options
class EvaluationWeightsAndBiasesConfig(WeightsAndBiasesOptions):
    mode: Literal["auto", "online", "offline", "disabled"] | None
    project: PartOfAddress | None


@options
class EvaluationSinksConfig(SinksOptions):
    wandb: EvaluationWeightsAndBiasesConfig


@options
class DataPlacesConfig:
    """Where the data of a run is now."""

    root: PathText | None
    file: PathText | None
    data_dir: PathText | None


@options
class EvaluateConfig:
    """All keys of `python evaluate.py`."""

    run: PathText
    split: Literal["train", "validation", "test", "unseen", "unmarked", "misleading"]
    checkpoint: Literal["best", "latest"]
    images: str | None  # paths, patterns: `find_images` reads them
    text: str | None
    target: str | None
    classes: list[str]
    templates: list[str]
    batch_size: Count
    limit: Count | None
    num_probes: Count
    num_trust: CountOrZero
    exact: Bool | None
    compare: PathText | None
    data: DataPlacesConfig
    sinks: EvaluationSinksConfig

    MATTERS: ClassVar = {
        **{key: only_with("images", None) for key in ("split", "limit", "batch_size", "num_probes", "num_trust")},
        **{key: only_with("compare", None) for key in ("images", "checkpoint")},
        # Of a split nothing is checked with num_trust=0; images are always checked.
        "exact": Rule(
            names=("images", "num_trust"),
            needs=" above 0",
            holds=lambda images, num_trust: images is not None or num_trust > 0,
        ),
    }


ROOTS = {"train": TrainConfig, "evaluate": EvaluateConfig}
