"""Keys and types of a run: the owner of what may be configured. Imports no TensorFlow, so that a wrong command is
answered in a second or two.

One pydantic dataclass per choice of a group, found by its `_target_`; a test holds each against the constructor that it
describes. What the keys mean is said in the YAML files under `conf/`.
"""

from vitcross.config.schema import data, model, task
from vitcross.config.schema.run import (
    AdamWConfig,
    AttentionMapsConfig,
    EvaluateConfig,
    LionConfig,
    MuonConfig,
    ScheduleFreeConfig,
    TrainConfig,
)

SCHEMAS = {
    "data": data.SCHEMAS,
    "model": model.SCHEMAS,
    "task": task.SCHEMAS,
    "optimizer": {
        "vitcross.training.optimizer.adamw": AdamWConfig,
        "vitcross.training.optimizer.lion": LionConfig,
        "vitcross.training.optimizer.muon": MuonConfig,
        "vitcross.training.optimizer.schedule_free_adamw": ScheduleFreeConfig,
    },
}
__all__ = ["SCHEMAS", "AttentionMapsConfig", "EvaluateConfig", "TrainConfig"]
