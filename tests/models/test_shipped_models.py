"""The models of `conf/model`: each builds once the data has filled it, and no key of it is ignored."""

import copy
import functools
import json

import keras
import numpy as np
import pytest
from hydra.utils import instantiate

from vitcross.config import compose
from vitcross.config.compatibility import ConfigError, fill_from_dataset, model_sizes
from vitcross.config.typed_keys import keys_without_effect, leaf_keys
from vitcross.config.validate import validate
from vitcross.options.effects import value_at

FILLED = {"vocabulary_size": 31, "max_length": 11, "num_answers": 7, "image_size": [16, 24], "in_channels": 3}
NAMES = ("dual_encoder", "captioner", "question_answering")
IDS, REAL = np.array([[1, 5, 2, 0], [1, 5, 4, 2]]), np.array([[1, 1, 1, 0], [1, 1, 1, 1]], bool)


def filled(section):
    known = {key: FILLED.get(key, value) for key, value in section.items()}
    return {key: filled(value) if isinstance(value, dict) else value for key, value in known.items()}


@pytest.mark.parametrize("name", NAMES)
def test_builds_and_answers(name):
    composed, _ = compose.compose("train", [f"model={name}"])
    model = instantiate(filled(composed["model"]), _convert_="all")
    output = model(np.zeros((2, 16, 24, 3), "float32"), token_ids=IDS, padding_mask=REAL)
    shapes = {"dual_encoder": (2, 96), "captioner": (2, 4, 31), "question_answering": (2, 7)}
    assert tuple((output[0] if isinstance(output, tuple) else output).shape) == shapes[name]


TYPED = {
    "small": [],
    "vision_transformer": ["model=vision_transformer", "model.patch_size=8"],
    "dual_encoder": ["experiment=scenes_contrastive"],
    "captioner": ["experiment=scenes_captioning"],
    "question_answering": ["experiment=scenes_vqa"],
}
# Another value of each key, which a tiny model can have.
OTHER = {
    "num_classes": 5, "image_size": [48, 40], "in_channels": 1, "patch_size": [8, 4], "embed_dim": 24, "depth": 3,
    "num_heads": 2, "stem": {"conv": "linear", "linear": "conv"}, "stem_depths": [2, 1, 1], "patch_bias": False,
    "position_embedding": {"learned": "sincos2d", "sincos2d": "learned"}, "position_interpolation": "bilinear",
    "pre_norm": True, "pooling": {"gap": "cls", "cls": "gap", "map": "gap", "eos": "gap", None: "gap"},
    "class_token": {"gap": True, "map": True, "cls": False}, "num_register_tokens": 1, "patch_dropout_rate": 0.5,
    "mlp_ratio": 2.0, "dropout_rate": 0.5, "attention_dropout_rate": 0.5, "drop_path_rate": 0.5, "qkv_bias": False,
    "qk_norm": True, "layer_scale_init": 0.1, "layer_norm_epsilon": 0.1, "gelu": "tanh", "vocabulary_size": 29,
    "max_length": 7, "causal": {True: False, False: True}, "cross_attention": {True: False, False: True},
    "context_dim": 8, "projection_dim": 5, "logit_scale_init": 3.0, "logit_bias_init": -3.0, "tie_embeddings": False,
    "num_answers": 5,
}  # fmt: skip
FACTS = {"image_size": [32, 40], "channels": 3, "in_channels": 3, "vocabulary_size": 31, "max_length": 16} | {
    "num_classes": 8,
    "num_answers": 7,
}


@functools.cache
def tiny(name):
    """The configuration of a shipped model with small towers, before the data has filled it."""
    sizes = {"embed_dim": 12, "depth": 2, "num_heads": 3}
    composed, _ = compose.compose("train", [*TYPED[name], "data.image_size=[32,40]", "attention_maps=off"])
    for section in [composed["model"], *composed["model"].values()]:
        if isinstance(section, dict) and "depth" in section:
            section |= sizes | ({"stem_depths": [1, 1, 1]} if "stem" in section else {})
            section |= {"context_dim": 12} if section.get("cross_attention") else {}
    if "max_text_length" in composed["data"]:
        composed["data"]["max_text_length"] = FACTS["max_length"]
    validate(composed)
    return composed


@functools.cache
def model_of(section):
    """The model or tower of a section of JSON, and its variables."""
    keras.utils.set_random_seed(0)
    model = compose.instantiate(json.loads(section))
    return model, [(v.path.partition("/")[2], tuple(v.shape), float(v.numpy().sum())) for v in model.variables]


@functools.cache
def outputs_of(section):
    """What it computes in training, and for images of another size."""
    model, _ = model_of(section)
    texts, found = {"token_ids": IDS, "padding_mask": REAL}, []
    if getattr(model, "cross_attention", False):
        texts["context"] = np.random.default_rng(1).normal(size=(2, 6, model.context_dim)).astype("float32")
    for size, training in (((32, 40), True), ((48, 24), False)):
        images = {"images": np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")}
        is_text, is_image = hasattr(model, "vocabulary_size"), hasattr(model, "patch_dropout_rate")
        given = texts if is_text else images if is_image else images | texts
        found += [np.asarray(part) for part in keras.tree.flatten(model(**given, training=training))]
    return found


def differ(*sections):
    """Whether two sections make different things."""
    before, after = (json.dumps(section, sort_keys=True) for section in sections)
    if model_of(before)[1] != model_of(after)[1]:
        return True
    pairs = zip(outputs_of(before), outputs_of(after), strict=True)
    return any(a.shape != b.shape or not np.array_equal(a, b) for a, b in pairs)


def check(name, key):
    """Another value of a key is refused (the message is returned), or it changes what is built."""
    base, changed = tiny(name), copy.deepcopy(tiny(name))
    *sections, leaf = key.split(".")
    section = value_at(changed, ".".join(sections))
    other = OTHER[leaf]
    if isinstance(other, dict):
        other = other[section["pooling" if leaf == "class_token" else leaf]]
    assert other != section[leaf]
    section[leaf] = other
    try:
        validate(changed)
        if message := keys_without_effect("train", changed).get(key):
            return message
        configs = [fill_from_dataset(config, FACTS) for config in (base, changed)]
    except ConfigError as error:
        return str(error)
    before, after = (value_at(config, ".".join(sections)) for config in configs)
    assert differ(before, after), f"{key}={other} changes nothing"
    return None


@pytest.mark.parametrize("name", TYPED)
def test_each_key_of_a_shipped_model_changes_it_or_is_refused(name):
    keys = [f"model.{key}" for key in leaf_keys(tiny(name)["model"])]
    refused = {}
    for key in keys:
        if key.rpartition(".")[2] not in ("_target_", "variant"):  # the latter: the next test
            refused |= {key: message} if (message := check(name, key)) else {}
    assert len(refused) < len(keys) / 2
    for key, message in refused.items():
        # A mean over a class token that does not exist is refused for what it is.
        assert key in message or key.rpartition(".")[2] in message, message


@pytest.mark.parametrize(
    ("typed", "section"),
    [
        ([], "model"),
        (["experiment=cifar10_small_vit"], "model"),
        (["experiment=scenes_captioning"], "model.image_encoder"),
        (["experiment=scenes_vqa"], "model.image_encoder"),
        (["experiment=scenes_contrastive"], "model.image_encoder"),
    ],
)
def test_a_typed_variant_takes_the_place_of_the_sizes_of_a_preset(typed, section):
    variant, size = f"{section}.variant=S/16", "data.image_size=64"
    config, _ = compose.check_arguments("train", [*typed, size, variant])
    model = value_at(config, section)
    assert model_sizes(model) == {"embed_dim": 384, "depth": 12, "num_heads": 6, "patch_size": 16}
    assert (model["mlp_ratio"], model["stem"], model["stem_depths"]) == (4.0, "linear", [1, 1, 1])
    read = [part["context_dim"] for part in config["model"].values() if isinstance(part, dict) and "causal" in part]
    assert read in ([], [384], [None])  # what reads the tokens knows their size
    typed = [*typed, size, variant, f"{section}.depth=3", f"{section}.mlp_ratio=2.0"]
    model = value_at(compose.check_arguments("train", typed)[0], section)
    assert (model["depth"], model["mlp_ratio"], model["embed_dim"]) == (3, 2.0, None)
