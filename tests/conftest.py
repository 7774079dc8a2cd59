"""What many tests share: quiet native logs, and no test that reaches for W&B's server or a person's data folder."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["WANDB_SILENT"] = "true"
os.environ.pop("WANDB_API_KEY", None)

import pytest


@pytest.fixture(scope="session")
def tiny_scenes(tmp_path_factory):
    """Overrides for a run on a few rendered scenes and a model that trains in seconds."""
    folder = tmp_path_factory.mktemp("data")
    return [
        f"data.data_dir={folder}",
        "data.image_size=[32,40]",
        "data.train_examples=48",
        "data.validation_examples=19",
        "data.test_examples=13",
        "data.batch_size=8",
        "model.embed_dim=16",
        "model.num_heads=2",
        "model.depth=2",
        "sinks.wandb.mode=disabled",
        "attention_maps.num_probes=3",
        "attention_maps.num_measured=5",
        "attention_maps.captures=3",
        "attention_maps.trust_captures=0",
        "trainer.log_every=2",
    ]
