"""`init_from=RUN_FOLDER`: what is checked before TensorFlow starts."""

import json

import pytest

from vitcross.config import compose
from vitcross.config.compatibility import ConfigError
from vitcross.experiment.init_from import check_init_from


def run_folder(folder, *overrides, best="step_00000004"):
    settings, _ = compose.check_arguments("train", [*overrides])
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(compose.as_yaml(settings))
    (folder / "checkpoints/index.json").write_text(json.dumps({"version": 2, "latest": best, "best": best}))
    return folder


def check(source, *overrides):
    settings, _ = compose.check_arguments("train", [f"init_from={source}", *overrides])
    check_init_from(settings)


def test_the_model_of_the_run_fits_itself_with_other_images_and_another_head(tmp_path):
    source = run_folder(tmp_path / "run", "model.embed_dim=48")
    check(source, "model.embed_dim=48", "data.image_size=[40,48]", "model.dropout_rate=0.1", "model.pooling=map")


def test_the_tower_of_an_image_text_model_fits_a_classifier(tmp_path):
    kind = ["data=scenes_captions", "model=dual_encoder", "task=contrastive"]
    check(run_folder(tmp_path / "run", *kind))
    check(run_folder(tmp_path / "other"), *kind)


@pytest.mark.parametrize(
    ("overrides", "typed"),
    [
        (
            ["model.embed_dim=48", "model.depth=2"],
            "type model.embed_dim=96 model.depth=4. Received: model.embed_dim",
        ),
        (["model.stem=linear"], "type model.stem=conv. Received: model.stem=linear"),
        (["model.stem_depths=[2,1,1]"], r"type model.stem_depths=\[1,1,1\]"),
        (["model.layer_scale_init=1e-5"], "type model.layer_scale_init=null"),
        (["model.pooling=cls"], "type model.pooling=gap. Received: model.pooling=cls"),
        (["model.pooling=map", "model.class_token=true"], "type model.class_token=false. Received: .*class_token=true"),
    ],
)
def test_what_to_type_where_sizes_differ(tmp_path, overrides, typed):
    with pytest.raises(ConfigError, match=f"init_from needs the model of its run: {typed}"):
        check(run_folder(tmp_path / "run"), *overrides)


def test_it_must_be_a_run_with_a_checkpoint(tmp_path):
    with pytest.raises(ConfigError, match="init_from must be the folder of a run, with a config.yaml.*none"):
        check(tmp_path / "none")
    with pytest.raises(ConfigError, match="init_from must be the folder of a run that has a checkpoint"):
        check(run_folder(tmp_path / "run", best=None))
    (tmp_path / "run/checkpoints/index.json").write_text("{")
    with pytest.raises(ConfigError, match="checkpoint"):
        check(tmp_path / "run")


def test_vectors_of_words_need_the_same_words(tmp_path):
    kind = ["data=scenes_captions", "model=dual_encoder", "task=contrastive"]
    source = run_folder(tmp_path / "run", *kind)
    (source / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match=f"type data.tokenizer={source}/tokenizer.json. Received: None"):
        check(source, *kind)
    check(source, *kind, f"data.tokenizer={source}/tokenizer.json")
    check(source, "data=scenes_captions", "model=captioner", "task=captioning")  # the towers of images alone
