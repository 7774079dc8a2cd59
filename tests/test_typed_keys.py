"""What is typed takes effect or is refused, and what does not exist is answered with what was probably meant."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from vitcross.command_line import arguments
from vitcross.config import compose
from vitcross.config.check_files import check_files
from vitcross.config.compatibility import ConfigError, check_own_text
from vitcross.config.schema import ROOTS, SCHEMAS
from vitcross.config.typed_keys import completed, leaf_keys
from vitcross.options.effects import Rule
from vitcross.options.fields import inner_options
from vitcross.options.synonyms import EVALUATE, NO_KEY, OPTIONS, TRAIN, keys_for, variant_of

CAPTIONING, CONTRASTIVE = "experiment=scenes_captioning", "experiment=scenes_contrastive"
IMAGES = ["data=image_folder", "data.root=images"]


def message(*overrides, script="train"):
    with pytest.raises(ConfigError) as refused:
        compose.check_arguments(script, list(overrides))
    return str(refused.value)


# Typed, and what the message must hold.
IDLE = [
    (["data.augmentation.randaugment_magnitude=5"], "only with data.augmentation.randaugment_operations above 0. Rec"),
    (["data.augmentation.mix_probability=0.5"], "data.augmentation.mixup or data.augmentation.cutmix above 0. Rec"),
    (["data.resize=pad", "data.evaluation_crop=0.9"], "only with data.resize=crop. Received: data.evaluation_crop=0.9"),
    ([*IMAGES, "data.data_dir=/prepared"], "data.data_dir has no effect: images of a folder .*Received: .*prepared"),
    ([CAPTIONING, "data.tokenizer=t.json", "data.vocabulary_size=99"], "only with data.tokenizer=null. Received"),
    ([CAPTIONING, "data.held_out_combinations=false", "data.unseen_examples=9"], "held_out_combinations=true. Rec"),
    (["attention_maps.every=7", "attention_maps.captures=5"], "only with attention_maps.every=null. Received"),
    (["attention_maps.num_measured=0", "attention_maps.trust_captures=2"], "attention_maps.num_measured above 0"),
    (["sinks.console.progress=bar", "sinks.console.seconds_between_lines=3"], "progress=auto or lines. Received"),
    (["model.depth=1", "model.drop_path_rate=0.2"], "model.drop_path_rate has an effect only with model.depth above 1"),
    ([CONTRASTIVE, "model.logit_bias_init=-3"], "only with task.loss=sigmoid. Received: model.logit_bias_init=-3"),
    ([CONTRASTIVE, "task.loss=sigmoid"], "model.logit_bias_init must be a number with task.loss=sigmoid"),
    ([CAPTIONING, "model.text_decoder.context_dim=80"], "context_dim must equal model.image_encoder.embed_dim, 96.*80"),
    ([CAPTIONING, "model.text_decoder.max_length=80"], "max_length must equal data.max_text_length, 40. Received: 80"),
]  # fmt: skip


@pytest.mark.parametrize(("overrides", "expected"), IDLE, ids=lambda value: str(value))
def test_a_typed_key_without_effect_is_refused(overrides, expected):
    assert re.search(expected, message(*overrides)) and len(message(*overrides).splitlines()) == 1


@pytest.mark.parametrize(
    "overrides",
    [
        ["data.augmentation.randaugment_magnitude=9"],  # what is there anyway
        ["experiment=imagenet_s16", "data.augmentation.randaugment_operations=0"],  # the magnitude is the experiment's
        ["data.augmentation.randaugment_magnitude=5", "data.augmentation.randaugment_operations=1"],
        ["attention_maps=off", "attention_maps.captures=3", "attention_maps.num_probes=2"],  # resuming may switch it on
        ["sinks=local", "sinks.wandb.project=mine"],  # evaluate.py may report there
        ["model=vision_transformer", "model.variant=S/16", "model.drop_path_rate=0.1"],  # the depth is the variant's
    ],
)
def test_a_typed_key_with_an_effect_or_its_present_value_is_taken(overrides):
    compose.check_arguments("train", overrides)


def test_what_matters_in_one_trial_of_a_sweep_may_be_typed_for_all():
    operations, magnitude = "data.augmentation.randaugment_operations", "data.augmentation.randaugment_magnitude"
    sweep = compose.read_sweep([f"{operations}=0,2", f"{magnitude}=5"])
    assert len(compose.check_trials(sweep)) == 2
    # A trial is a run of its own: it is started without what it would refuse.
    assert [f"{magnitude}=5" in sweep.overrides({operations: text}) for text in ("0", "2")] == [False, True]
    with pytest.raises(ConfigError, match="only with data.augmentation.randaugment_operations above 0"):
        compose.check_trials(compose.read_sweep(["seed=1,2", f"{magnitude}=5,6"]))


def test_resuming_refuses_what_has_no_effect(tmp_path):
    before, _ = compose.compose("train", [])
    (tmp_path / "config.yaml").write_text(compose.as_yaml(before))
    compose.resumed(tmp_path, ["data.augmentation.mix_probability=1.0"])
    with pytest.raises(ConfigError, match="mix_probability has an effect only with"):
        compose.resumed(tmp_path, ["data.augmentation.mix_probability=0.3"])


def option_classes():
    roots = [*ROOTS.values(), *(schema for schemas in SCHEMAS.values() for schema in schemas.values())]
    while roots:
        yield (owner := roots.pop())
        roots += filter(None, map(inner_options, owner.__pydantic_fields__.values()))


def test_the_rules_of_effect_name_options_that_exist():
    known = {name for owner in option_classes() for name in owner.__pydantic_fields__}
    rules = [rule for owner in option_classes() for rule in getattr(owner, "MATTERS", {}).items()]
    assert len(rules) > 20
    for name, rule in rules:
        assert isinstance(rule, Rule)
        assert {part for dotted in (name, *rule.names) for part in dotted.split(".")} <= known | {"model", "task"}


def test_a_share_of_a_split_that_has_a_folder_is_refused(tmp_path):
    for place in ("train/a", "train/b", "validation/a", "validation/b"):
        (tmp_path / place).mkdir(parents=True)
        for n in range(3):
            Image.new("RGB", (3, 2), (n, 7, 5)).save(tmp_path / place / f"{n}.png")
    typed = ["data=image_folder", f"data.root={tmp_path}"]
    for key, value in (("validation_share", 0.3), ("split_seed", 3)):
        overrides = [*typed, f"data.{key}={value}"]
        data = compose.check_arguments("train", overrides)[0]["data"]
        with pytest.raises(ConfigError, match=f"data.{key} has no effect: .*train, validation. Received: .*={value}"):
            check_files(data, overrides=overrides)
    for overrides in ([*typed, "data.validation_share=0.1"], [*typed, "data.test_share=0.3", "data.split_seed=1"]):
        check_files(compose.check_arguments("train", overrides)[0]["data"], overrides=overrides)


MEANT = [
    ("lr=1e-3", "Did you mean 'optimizer.learning_rate'?"),
    ("optimizer.lr=1", "Did you mean 'optimizer.learning_rate'?"),
    ("trainer.lr=1", "Did you mean 'optimizer.learning_rate'?"),
    ("+lr=1", "Did you mean 'optimizer.learning_rate'?"),
    ("optimizer.wd=1", "Did you mean 'optimizer.weight_decay'?"),
    ("epochs=3", "Did you mean 'trainer.epochs'?"),
    ("max_steps=3", "Did you mean 'trainer.steps'?"),
    ("layers=3", "Did you mean 'model.depth'?"),
    ("model.layers=3", "Did you mean 'model.depth'?"),
    ("model.heads=3", "Did you mean 'model.num_heads'?"),
    ("dim=3", "Did you mean 'model.embed_dim'?"),
    ("model.dropout=0.1", "Did you mean 'model.dropout_rate'?"),
    ("batch=3", "Did you mean 'data.batch_size'?"),
    ("batch_size=3", "Did you mean 'data.batch_size'?"),
    ("img_size=3", "Did you mean 'data.image_size'?"),
    ("fp16=true", "Did you mean 'trainer.dtype_policy'?"),
    ("pretrained=true", "Did you mean 'init_from'?"),
    ("ckpt=x", "Did you mean 'init_from' or 'resume'?"),
    ("wandb=false", "Did you mean 'sinks.wandb.mode'?"),
    ("project=x", "Did you mean 'sinks.wandb.project'?"),
    ("dataset=mnist", "Did you mean 'data'?"),
    ("output_dir=x", "Did you mean 'hydra.run.dir'?"),
    ("path=x", "Did you mean 'data.root', with data=image_folder"),
    ("data.root=x", "The chosen data has none; type data=image_folder"),
    ("model.text_decoder.depth=2", "The chosen model has none; type model=captioner too."),
    ("data.watermark.size=0.3", "data.watermark is null. experiment=scenes_watermark sets it."),
    ("num_workers=3", "Did you mean 'data.num_workers'?"),
    ("run=latest", "Did you mean 'resume'?"),
    ("devices=1", "A GPU is used where TensorFlow sees one"),
]


@pytest.mark.parametrize(("typed", "expected"), MEANT, ids=lambda value: value)
def test_words_of_other_programs_lead_to_the_full_key(typed, expected):
    said = message(typed)
    assert said.startswith(f"there is no key '{typed.lstrip('+').partition('=')[0]}'.") and expected in said


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([CAPTIONING, "model.layers=3"], "'model.image_encoder.depth' or 'model.text_decoder.depth'?"),
        ([CAPTIONING, "model.text_decoder.layers=3"], "Did you mean 'model.text_decoder.depth'?"),
        ([*IMAGES, "val_split=0.2"], "Did you mean 'data.validation_share'?"),
        (["data=mnist", "val_split=0.2"], "Did you mean 'data.validation_split'?"),
        (["model=vit"], "Did you mean model=vision_transformer?"),
        (["model=vit_large"], "Type model=vision_transformer model.variant=L/16. Options:"),
        (["model=vit_base_patch16_224"], "Type model=vision_transformer model.variant=B/16. Options:"),
        (["model=resnet50"], "model has no option 'resnet50': all models here are transformers. Options: captioner"),
        (["data=cifar"], "Did you mean data=cifar10 or data=cifar100? Options:"),
        (["optimizer=adam"], "Did you mean optimizer=adamw?"),
        (["sinks=none"], "Did you mean sinks=local?"),
        (["data=photos/holiday"], "Type data=image_folder data.root=photos/holiday"),
        (["data=/"], "Type data=image_folder data.root=/."),
        (["data=~/my.csv"], "data.file=~/my.csv"),
        (["fashion_mnist"], "fashion_mnist cannot be read as key=value. Did you mean experiment=fashion_mnist?"),
        (["experiment=scenes_vqa", "model=small"], "whose model is question_answering, sets model.image_encoder.depth"),
    ],
)
def test_what_was_meant_depends_on_what_is_chosen(overrides, expected):
    assert expected in message(*overrides).replace("'data.file=~/my.csv'", "data.file=~/my.csv")


@pytest.mark.parametrize(
    "typed", ["zzz=1", "optimizer.zzz=1", "model.weather=1", "data=qqq", "x.y.z=1", "optimizer=sgd"]
)
def test_a_far_fetched_hint_is_worse_than_none(typed):
    assert "Did you mean" not in message(typed) and "Type" not in message(typed)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("sinks.wandb.base_url=nope", "base_url must be an address that begins with https:// or http://. Rec"),
        ("data.name=a:b:c", "data.name must be a name, perhaps with a version, as mnist:3.0.1. Received: 'a:b:c'"),
    ],
)
def test_a_rule_of_form_is_told_in_words(typed, expected):
    assert expected in message("data=tfds", "data.name=mnist", typed)


@pytest.mark.parametrize("classes", [["boat"], ["boat", "boat"]])
def test_one_class_is_no_choice(classes):
    run = {"task": {"_target_": "vitcross.tasks.Contrastive"}}
    settings = {"images": "x", "text": None, "classes": classes, "templates": ["{}"], "target": None}
    with pytest.raises(ConfigError, match="classes must be at least 2 different names"):
        check_own_text(run, settings)


@pytest.mark.parametrize(
    ("typed", "key"),
    [("path", "run"), ("ckpt", "run"), ("batch", "batch_size"), ("prompt", "text"), ("image", "images")],
)
def test_evaluate_has_hints_of_its_own(typed, key):
    assert f"Did you mean '{key}'?" in message(f"{typed}=x", "run=y", script="evaluate")


def test_a_wrong_value_that_the_model_has_from_the_data_is_reported_once():
    assert len(message("data.image_size=[0,4]").splitlines()) == 1
    assert len(message("data.channels=0", "model.depth=0").splitlines()) == 2


def test_synonyms_lead_to_keys_and_options_that_exist():
    known = {"train": {"hydra.run.dir", "experiment"}, "evaluate": set()}
    for experiment in ("scenes_vqa", "scenes_captioning", "scenes_contrastive"):
        composed, _ = compose.compose("train", [f"experiment={experiment}"])
        known["train"] |= set(leaf_keys(composed)) | {"model.variant"} | composed.keys()
    for overrides in (IMAGES, ["data=mnist", "model=vision_transformer"], ["data.augmentation={flip: true}"]):
        composed, _ = compose.compose("train", overrides)
        known["train"] |= set(leaf_keys(composed)) | {"data.augmentation", "attention_maps"}
    known["train"].add("data.file")
    known["evaluate"] = set(leaf_keys(compose.compose("evaluate", ["run=x"])[0]))
    for script, table in (("train", TRAIN), ("evaluate", EVALUATE)):
        assert not {key for key in table if key not in known[script]}
        assert not [word for words in table.values() for word in words.split() if word in known[script] - {"images"}]
    assert not [word for words in NO_KEY for word in words.split() if keys_for(word)]
    later = {"multilabel"}
    assert all(set(named) <= {*compose.options(compose.CONF, group), *later} for group, named in OPTIONS.items())


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("vit_base_patch16_224", "B/16"),
        ("google/vit-large-patch32-384", "L/32"),
        ("vit_b_16", "B/16"),
        ("ViT-S/8", "S/8"),
        ("deit_tiny_patch16_224.fb_in1k", "Ti/16"),
        ("resnet50", None),
        ("vit_small", "S/16"),
        ("vision_transformer", None),
    ],
)
def test_names_of_published_models_are_variants(name, variant):
    assert variant_of(name) == variant


@pytest.mark.parametrize(
    ("typed", "script", "expected"),
    [
        (["--lr", "1e-3"], "train", "key=value: optimizer.learning_rate=1e-3. Received: --lr 1e-3 (a flag must be"),
        (["--epochs=10", "--batch-size", "32", "seed=3"], "train", "trainer.epochs=10 data.batch_size=32 seed=3"),
        (["--model", "vit_b_16", "--pretrained"], "train", "model=vision_transformer model.variant=B/16 init_from=..."),
        (["--data-path", "a b"], "train", "key=value: data=image_folder 'data.root=a b'"),
        (["--run", "x", "--images", "y.jpg"], "evaluate", "key=value: run=x images=y.jpg."),
        (["--unheard-of", "3"], "train", "a flag must be one of -h, --help, --version"),
    ],
)
def test_flags_of_argparse_are_answered_with_the_form_of_this_program(typed, script, expected, capsys):
    with pytest.raises(SystemExit, match="2"):
        arguments.split_arguments(typed, script)
    assert expected in capsys.readouterr().err


def test_completion_without_a_shell_is_answered(capsys):
    with pytest.raises(SystemExit, match="2"):
        arguments.answer_flags("train", ["-sc"])
    assert "-sc needs one of install=SHELL, uninstall=SHELL; SHELL is" in capsys.readouterr().err


def test_the_printed_configuration_explains_each_key():
    typed = ["experiment=scenes_captioning", "model.image_encoder.variant=S/16"]
    for script, overrides in (("train", typed), ("train", IMAGES), ("evaluate", ["run=x"])):
        text = compose.explained_config(script, overrides, resolve=True)
        config, _ = compose.compose(script, overrides)
        read = yaml.safe_load(text)
        assert set(leaf_keys(read)) == set(leaf_keys(config))
        if "variant" not in str(overrides):  # the size of a context is filled in later
            assert str(sorted(leaf_values(read))) == str(sorted(leaf_values(config)))
        lines = text.splitlines()
        assert max(map(len, lines)) <= 120
        values = [
            n for n, line in enumerate(lines) if line.partition(":")[2].strip() and not line.lstrip().startswith("#")
        ]
        bare = [lines[n] for n in values if "#" not in lines[n] and "#" not in lines[n - 1]]
        assert not [line for line in bare if "_target_" not in line and "_partial_" not in line]
    part = compose.explained_config("train", typed, package="model.text_decoder")
    assert part.startswith("mlp_ratio: 4.0 ") and "context_dim: ${..image_encoder.embed_dim}" in part
    with pytest.raises(ConfigError, match="--package must name a section.*Received: model.depth"):
        compose.explained_config("train", [], package="model.depth")


def leaf_values(config):
    yield from (str(config[key]) if "." not in key else "" for key in leaf_keys(config) if "." not in key)


def test_a_typed_length_or_variant_completes_what_is_typed():
    assert completed(["trainer.epochs=3"]) == ["trainer.epochs=3", "trainer.steps=null"]
    assert completed(["model.variant=null", "seed=3"]) == ["model.variant=null", "seed=3"]
    typed = ["model.variant=S/16", "model.depth=2", "model.stem=conv"]
    assert {"model.embed_dim=null", "model.mlp_ratio=4.0"} <= set(completed(typed))
    assert not {"model.depth=null", "model.stem=linear"} & set(completed(typed))


def test_versions_are_printed_without_importing_what_they_are_of(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jaxx")
    lines = arguments.version_text().splitlines()
    assert [line.split()[0] for line in lines] == ["vitcross", "keras", "backend", "python"]
    assert lines[2] == "backend jaxx is not installed" and lines[3] == f"python {sys.version.split()[0]}"


COMPLETE = """eval "$(python train.py -sc install=bash)"
for COMP_LINE in "python train.py exp" "python train.py experiment=scenes_w" "python evaluate.py spl"; do
  COMP_WORDS=($COMP_LINE) COMP_CWORD=2 COMP_POINT=${#COMP_LINE}; hydra_bash_completion; echo "${COMPREPLY[@]}"
done"""


def test_tab_completes_keys_and_options():
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", "-c", COMPLETE]
    done = subprocess.run(
        command, cwd=compose.CONF.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["experiment=", "experiment=scenes_watermark", "split="], done.stderr


def test_exact_is_refused_where_nothing_is_checked():
    assert "exact has an effect only with images or num_trust above 0" in message(
        "exact=true", "num_trust=0", "run=y", script="evaluate"
    )
    settings, _ = compose.check_arguments("evaluate", ["run=y", "exact=false"])
    assert settings["exact"] is False
