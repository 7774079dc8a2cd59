"""Keys of the group `task`, one dataclass per class of `vitcross.tasks`."""

from typing import Literal

from vitcross.config.schema.fields import Count, Share, config


@config
class ClassificationConfig:
    label_smoothing: Share
    loss: Literal["softmax", "sigmoid"] = "softmax"  # runs of an older version have no such key


@config
class ContrastiveConfig:
    loss: Literal["softmax", "sigmoid"]
    chunk_size: Count | None


@config
class CaptioningConfig:
    label_smoothing: Share
    beam_size: Count


@config
class QuestionAnsweringConfig:
    label_smoothing: Share


SCHEMAS = {
    "vitcross.tasks.Classification": ClassificationConfig,
    "vitcross.tasks.Contrastive": ContrastiveConfig,
    "vitcross.tasks.Captioning": CaptioningConfig,
    "vitcross.tasks.QuestionAnswering": QuestionAnsweringConfig,
}
