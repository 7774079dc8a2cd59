"""Keys of the group `task`, one dataclass per class of `vitcross.tasks`."""

from vitcross.config_schema.fields import Share, config


@config
class ClassificationConfig:
    label_smoothing: Share


SCHEMAS = {"vitcross.tasks.Classification": ClassificationConfig}
