"""Every shipped configuration composes and is valid; the schemas describe the constructors; wrong input is refused."""

import os
import re
from pathlib import Path

import pytest
import yaml

from vitcross.command_line import train
from vitcross.config import compose, help_page
from vitcross.config.compatibility import ConfigError, image_tower
from vitcross.config.durations import Durations
from vitcross.config.help_page import options
from vitcross.config.validate import validate
from vitcross.experiment.run_folder import Command

GROUPS = ("data", "model", "task", "optimizer", "trainer", "attention_maps", "sinks", "experiment")
CHOICES = [(group, option) for group in GROUPS for option in options(compose.CONF, group)]
# What a choice needs typed beside it.
CONTRASTIVE = ["data=scenes_captions", "model=dual_encoder", "task=contrastive"]
CAPTIONING = ["data=scenes_captions", "model=captioner", "task=captioning"]
QUESTIONS = ["data=scenes_questions", "model=question_answering", "task=question_answering"]
NEEDS = {
    ("data", "image_folder"): ["data.root=images"],
    ("data", "labels_file"): ["data.file=labels.csv"],
    ("data", "tfds"): ["data.name=mnist"],
    ("data", "pairs"): [*CONTRASTIVE[1:], "data.file=pairs.csv"],
    ("data", "coco_captions"): CONTRASTIVE[1:],
    ("data", "scenes_captions"): CONTRASTIVE[1:],
    ("data", "scenes_questions"): QUESTIONS[1:],
    ("model", "dual_encoder"): CONTRASTIVE[::2],
    ("model", "captioner"): CAPTIONING[::2],
    ("model", "question_answering"): QUESTIONS[::2],
    ("task", "contrastive"): CONTRASTIVE[:2],
    ("task", "multilabel"): ["data.multilabel=true"],
    ("task", "captioning"): CAPTIONING[:2],
    ("task", "question_answering"): QUESTIONS[:2],
    ("experiment", "pairs_contrastive"): ["data.file=pairs.jsonl"],
}


@pytest.mark.parametrize(("group", "option"), CHOICES)
def test_every_option_composes_and_is_valid(group, option):
    composed, choices = compose.compose("train", [f"{group}={option}", *NEEDS.get((group, option), [])])
    if group in ("data", "model"):
        image_tower(composed["model"])[0].update({"patch_size": [1, 1], "stem": "linear"})
    validate(composed)
    assert choices[group] == option
    header = train.header(Command(settings=composed, choices=choices, folder=Path("somewhere")))
    assert [line.split()[0] for line in header.splitlines()] == ["experiment", "data", "model", "length", "results"]


OWN = sorted(path for path in compose.CONF.rglob("*.yaml") if path.parent.name != "sweeps")  # W&B's own format


@pytest.mark.parametrize("path", OWN, ids=lambda p: str(p.relative_to(compose.CONF)))
def test_every_file_says_what_it_is(path):
    assert any(line.startswith("# ") for line in path.read_text().splitlines()[:3])


@pytest.mark.parametrize(("group", "option"), [pair for pair in CHOICES if pair[0] != "experiment"])
def test_every_key_of_a_choice_has_a_comment_in_its_group(group, option):
    composed, _ = compose.compose("train", [f"{group}={option}", *NEEDS.get((group, option), [])])
    files = (compose.CONF / group).rglob("*.yaml")
    explained = {key for path in files for key, _, _ in help_page.commented_keys(path)}
    # A tower's keys are explained where the tower is described.
    keys = {re.sub(r"^(image|text)_(en|de)coder\.", "", key) for key in leaves(composed[group])}
    assert keys - explained <= {"_target_", "_partial_"}


@pytest.mark.parametrize("script", ["train", "evaluate"])
def test_every_key_of_a_script_has_a_comment(script):
    explained = {key for key, _, _ in help_page.commented_keys(compose.CONF / f"{script}.yaml")}
    own = yaml.safe_load((compose.CONF / f"{script}.yaml").read_text())
    assert set(leaves({key: value for key, value in own.items() if key not in ("defaults", "hydra")})) <= explained


def test_the_help_of_evaluate_names_all_of_its_keys():
    page = help_page.help_page(compose.CONF, "evaluate")
    own = yaml.safe_load((compose.CONF / "evaluate.yaml").read_text())
    for key in leaves({key: value for key, value in own.items() if key not in ("defaults", "hydra")}):
        assert f"\n  {key} " in page
    assert "folder of the run, as train.py printed it (must be typed)" in page
    assert "\n  batch_size           images per step (default 64)\n" in page


def leaves(section, prefix=""):
    for key, value in section.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


WRONG = [
    (["optimizer.lrr=1"], "there is no key 'optimizer.lrr'"),
    (["optimizer.learning_rat=1"], "Did you mean 'optimizer.learning_rate'"),
    (["learning_rate=1"], "Did you mean 'optimizer.learning_rate'"),
    (["+optimizer.lrr=1"], "there is no key 'optimizer.lrr'"),
    (["+optimizer.learning_rates=1"], "Did you mean 'learning_rate'"),
    (["+sed=1"], "Did you mean 'seed'"),
    (["optimizer.learning_rate=fast"], "optimizer.learning_rate must be .*number.*Received: 'fast'"),
    (["optimizer.learning_rate=-1"], "optimizer.learning_rate must be greater than 0.*Received: -1"),
    (["data=scnes"], "data has no option 'scnes'. Did you mean 'scenes'"),
    (["experiment=fashion"], "experiment has no option 'fashion'.*fashion_mnist"),
    (["model.num_heads=5"], "model.num_heads must divide model.embed_dim.*5.*96"),
    (["model.stem=linear", "model.patch_size=7"], "model.patch_size must divide data.image_size.*7.*64"),
    (
        ["model.stem=linear", "model.stem_depths=[2,1,1]"],
        "model.stem_depths must .* model.stem=linear.*2, 1, 1",
    ),
    (["model.stem_depths=[1,2]"], "model.stem_depths must be .*at least 3 items.*1, 2"),
    (["model=vision_transformer", "data.image_size=[60,64]"], "model.patch_size must divide data.image_size.*16.*60"),
    (["trainer.steps=0"], "trainer.steps must be positive"),
    (["trainer.epochs=-3"], "trainer.epochs must be"),
    (["trainer.steps=fast"], "trainer.steps must be a number"),
    (["trainer.steps=5", "trainer.epochs=2"], "type one of them"),
    (["trainer.steps=null"], "exactly one of trainer.steps and trainer.epochs"),
    (["trainer.dtype_policy=float8"], "trainer.dtype_policy must be 'float32'"),
    (["trainer.jit_compile=perhaps"], "trainer.jit_compile must be"),
    (["model.pooling=max"], "model.pooling must be 'cls', 'gap' or 'map'. Received: 'max'"),
    (["model._target_=os.system"], "model._target_ must be one of"),
    (["data.augmentation.padded_crop=-1"], "data.augmentation.padded_crop must be"),
    (["data.augmentation.randaugment_operations=5"], "data.augmentation.randaugment_operations must be"),
    (["data.augmentation.erasing=1.5"], "data.augmentation.erasing must be"),
    (["data.augmentation.mix_probability=0"], "data.augmentation.mix_probability must be"),
    (
        ["data.augmentation.randaugment_operations=2", "data.augmentation.three_augment=true"],
        "data.augmentation: augmentation.three_augment .*one of them",
    ),
    (["data.augmentation.repeats=3"], "data: batch_size must be a multiple of 3.*128"),
    (["data.augmentation.cutmix=1", "data.batch_size=33"], "data: batch_size must be a multiple of 2.*33"),
    ([*CONTRASTIVE, "data.augmentation.mixup=0.8"], "data: augmentation.mixup must be 0 with texts.*0.8"),
    ([*QUESTIONS, "data.augmentation.repeats=2"], "data: augmentation.repeats must be 1 with texts.*2"),
    (["task.loss=hinge"], "task.loss must be 'softmax' or 'sigmoid'. Received: 'hinge'"),
    (["data.augmentation.flop=true"], "there is no key 'data.augmentation.flop'"),
    (["~optimizer.warmup"], "optimizer.warmup is missing"),
    (["model.variant=Q/16"], "model.variant"),
    (["data.train_split=train[:5]"], "data.train_split=train.* cannot be read.*needs quotes"),
    (["seed=1,2"], "lists several values: a sweep needs -m"),
    (["data.target_color=pink"], "data: .*pink"),
    (["data.max_objects=9"], "data: .*9"),
    (["data.image_size=16"], "data: image_size of scenes must be >= 32.*16"),
    (["data.augmentation.padded_crop=64"], "data: augmentation.padded_crop must be smaller.*64"),
    (["data.num_classes=5"], "num_classes of scenes must be 8. Received: 5"),
    (["model.num_classes=5"], "model.num_classes must equal data.num_classes, 8. Received: 5"),
    (["model.image_size=32"], "model.image_size must equal data.image_size"),
    (["model.in_channels=1"], "model.in_channels must equal data.channels, 3. Received: 1"),
    (
        ["model.pooling=cls", "model.class_token=false"],
        "model: expected a class token with pooling='cls'. Received: class_token=False",
    ),
    (["model.position_embedding=sincos2d", "model.embed_dim=6", "model.num_heads=3"], "multiple of 4.*6"),
    (["optimizer.learning_rate=inf"], "optimizer.learning_rate must be"),
    (["seed=99999999999999999999"], "seed must be"),
    (["optimizer.layer_decay=1.5"], "optimizer.layer_decay must be"),
    (["optimizer.schedule=linear"], "optimizer.schedule must be 'cosine', 'wsd', 'rsqrt' or 'constant'"),
    (["optimizer.cooldown=5"], "optimizer.cooldown belongs to optimizer.schedule=wsd or rsqrt.*5.*cosine"),
    (["optimizer.schedule=wsd", "optimizer.timescale=5"], "optimizer.timescale belongs to .*rsqrt.*wsd"),
    (["optimizer.schedule=wsd", 'optimizer.cooldown="99 percent"'], "warmup and optimizer.cooldown must fit.*1200"),
    (["optimizer.schedule=constant", "optimizer.final_share=0.5"], "final_share must be 0 with .*constant.*0.5"),
    (["optimizer=schedule_free", "optimizer.ema=5"], "there is no key 'optimizer.ema'. The chosen optimizer has none"),
    (["optimizer.ema=0"], "optimizer.ema must be positive"),
    (['optimizer.ema="5 parsecs"'], "optimizer.ema must be a number"),
    (["optimizer=schedule_free", "+optimizer.ema=5"], "there is no key 'optimizer.ema'"),
    (["optimizer.frozen=block_00"], "optimizer.frozen must be .*list"),
    (["trainer.early_stopping=0"], "trainer.early_stopping must be positive"),
    (["trainer.accumulate_steps=3"], "trainer.accumulate_steps must divide the 128 images of a batch. Received: 3"),
    ([*CONTRASTIVE, "trainer.accumulate_steps=2"], "accumulate_steps must be 1 with contrastive.*task.chunk_size"),
    (["optimizer.warmup=5000"], "optimizer.warmup must be shorter than the run. Received: 5000 of 1200"),
    (['optimizer.warmup="500 percent"'], "optimizer.warmup must be shorter than the run"),
    (["sinks.wandb.base_url=example"], "sinks.wandb.base_url must"),
    (["sinks.wandb.mode=sometimes"], "sinks.wandb.mode must be"),
]


@pytest.mark.parametrize(
    ("overrides", "message"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_wrong_input_gets_one_message_that_names_key_rule_and_value(overrides, message):
    with pytest.raises(ConfigError, match=message):
        compose.check_arguments("train", overrides)


def test_typing_one_length_empties_the_other():
    composed, _ = compose.compose("train", ["trainer.epochs=3"])
    assert (composed["trainer"]["steps"], composed["trainer"]["epochs"]) == (None, 3)
    assert Durations.in_steps(composed, num_examples=1000).total_steps == round(3 * 1000 / 128)


def test_a_run_whose_configuration_lacks_a_key_is_refused(tmp_path):
    composed, _ = compose.compose("train", ["sinks.wandb.project=mine"])
    (tmp_path / "config.yaml").write_text(compose.as_yaml(composed))
    assert compose.open_run(tmp_path) == composed
    del composed["attention_maps"]["record_megabytes"], composed["sinks"]["wandb"]["finish_timeout"], composed["task"]
    (tmp_path / "config.yaml").write_text(compose.as_yaml(composed))
    for read in (compose.open_run, lambda folder: compose.resumed(folder, [])):
        with pytest.raises(ConfigError, match=f"{tmp_path}/config.yaml must be the configuration of a run") as refused:
            read(tmp_path)
        missing = ("task", "attention_maps.record_megabytes", "sinks.wandb.finish_timeout")
        assert all(f"{key} is missing" in str(refused.value).splitlines() for key in missing)


@pytest.mark.parametrize(
    ("typed", "folder"),
    [
        ("hydra.run.dir=plain", "plain"),
        ('hydra.run.dir="a, b"', "a, b"),
        ("hydra.run.dir=7", "7"),
        ("hydra.run.dir=runs/${seed}", "runs/5"),
        ("seed=5", None),
    ],
)
def test_the_folder_of_a_run_is_taken_as_hydra_reads_it(typed, folder):
    composed, _ = compose.check_arguments("train", ["seed=5", typed])
    assert compose.typed_folder(["seed=5", typed], composed) == (folder and os.path.abspath(folder))


def test_a_sweep_is_checked_trial_by_trial():
    trials = compose.check_trials(compose.read_sweep(["model.depth=1,2", "seed=3"]))
    assert [trial["model"]["depth"] for trial, _ in trials] == [1, 2]
    with pytest.raises(ConfigError, match="num_heads must divide"):
        compose.check_trials(compose.read_sweep(["model.num_heads=4,5"]))


def test_the_command_line_wins_over_the_experiment():
    composed, choices = compose.compose(
        "train", ["experiment=fashion_mnist", "data=scenes", "optimizer.learning_rate=0.5"]
    )
    assert choices["data"] == "scenes"
    assert composed["optimizer"]["learning_rate"] == 0.5


def test_experiments_start_with_their_command_and_time():
    for path in Path(compose.CONF / "experiment").glob("*.yaml"):
        text = path.read_text()
        assert f"python train.py experiment={path.stem}" in text and "Time:" in text and "Score:" in text
        assert "to be measured" not in text


def test_the_wandb_sweep_sets_keys_that_exist():
    sweep = yaml.safe_load((compose.CONF / "sweeps/wandb.yaml").read_text())
    for key, rule in sweep["parameters"].items():
        value = rule.get("value", rule.get("min", rule.get("values", [None])[0]))
        compose.check_arguments("train", [f"{key}={value}"])
    assert (compose.CONF.parent / sweep["program"]).exists()
