"""From what was typed to a validated experiment: the only place that knows OmegaConf, and the one that puts the rooms
together. TensorFlow is imported when an experiment is built, not before.
"""

import difflib
import itertools
import os
import re
from pathlib import Path

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from vitcross.config_schema import SCHEMAS, EvaluateConfig, TrainConfig

CONF = Path(__file__).resolve().parent.parent / "conf"
_ROOTS = {"train": TrainConfig, "evaluate": EvaluateConfig}


class ConfigError(ValueError):
    """What was typed cannot be run; the message names the key, the rule and what was received."""


def nearest(name, known):
    """` Did you mean 'x'?`, or nothing where no known name is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


# --- compose -----------------------------------------------------------------------------------------------------


def compose(name, overrides):
    """The resolved configuration as plain Python, and the chosen option of each group.

    Args:
        name: `train` or `evaluate`.
        overrides: list of str as typed, e.g. `["data=fashion_mnist", "trainer.steps=100"]`.

    Returns:
        `(config, choices)`: dict without Hydra's own keys; dict of group to option name.

    Raises:
        ConfigError: for an unknown key, group or option, a malformed override, an interpolation that leads nowhere.
    """
    try:
        with hydra.initialize_config_dir(config_dir=str(CONF), version_base=None):
            composed = hydra.compose(config_name=name, overrides=one_length(overrides), return_hydra_config=True)
        choices = dict(composed.hydra.runtime.choices)
        # Hydra's own keys hold what only a running job has.
        config = OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])
        return OmegaConf.to_container(config, resolve=True, throw_on_missing=True), choices
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_explain(name, str(error))) from error


def one_length(overrides):
    """Typing `trainer.steps` empties `trainer.epochs`, and the other way round; typing both is an error."""
    keys = {override.lstrip("+").partition("=")[0] for override in overrides}
    typed = [key for key in ("trainer.steps", "trainer.epochs") if key in keys]
    if len(typed) == 2 and not any(override.endswith("=null") for override in overrides if override.startswith("tr")):
        raise ConfigError("trainer.steps and trainer.epochs both set the length of the run: type one of them")
    others = {"trainer.steps": "trainer.epochs", "trainer.epochs": "trainer.steps"}
    return [*overrides, *(f"{others[key]}=null" for key in typed if len(typed) == 1)]


def _explain(name, text):
    """Hydra's message in one line that names the key and the nearest valid one."""
    if match := re.search(r"Could not find '([^']+)/([^'/]+)'", text):
        group, option = match[1].split("/")[-1], match[2]
        known = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
        return f"{group} has no option '{option}'.{nearest(option, known)} Options: {', '.join(known)}"
    if match := re.search(r"Could not override '([^']+)'", text) or re.search(
        r"No match in the defaults list[^']*'([^']+)'", text
    ):
        key = match[1]
        return f"there is no key '{key}'.{_nearest_key(name, key)} python {name}.py --cfg job prints all keys"
    if match := re.search(r"(?:Missing mandatory value|full_key): ?([\w.]+)", text):
        first = text.splitlines()[0]
        return f"{match[1]}: {first[0].lower()}{first[1:]}"
    return " ".join(text.split())


def _nearest_key(name, key):
    config, _ = compose(name, [])
    known = list(_dotted_keys(config))
    last = key.rpartition(".")[2]
    same_leaf = [k for k in known if k.rpartition(".")[2] == last]
    return nearest(key, known) or (f" Did you mean '{same_leaf[0]}'?" if same_leaf else nearest(last, known))


def _dotted_keys(node, prefix=""):
    for key, value in node.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _dotted_keys(value, f"{prefix}{key}.")


# --- validate ----------------------------------------------------------------------------------------------------


def validate(config, name="train"):
    """Check keys, types and combinations of a composed configuration.

    Raises:
        ConfigError: all that is wrong with single keys, one line each; else the first impossible combination.
    """
    problems = _problems(_ROOTS[name], config, ())
    for group, schemas in SCHEMAS.items():
        if group in config:
            problems += _group_problems(group, config[group], schemas)
    if problems:
        raise ConfigError("\n".join(problems))
    if name == "train":
        _check_combinations(config)


def _group_problems(group, section, schemas):
    target = section.get("_target_")
    if target not in schemas:
        return [f"{group}._target_ must be one of {', '.join(schemas)}. Received: {target}"]
    keys = {key: value for key, value in section.items() if key not in ("_target_", "_partial_")}
    return _problems(schemas[target], keys, (group,))


def _problems(schema, values, prefix):
    try:
        TypeAdapter(schema).validate_python(values)
        return []
    except ValidationError as error:
        rules = {}
        for problem in error.errors():
            rules.setdefault(_path(problem, values), []).append(problem)
        return [_sentence(".".join((*prefix, *path)), path, found, values) for path, found in rules.items()]


def _path(problem, values):
    """Keys that lead to a problem; pydantic's own marks for the branches of a union are left out."""
    path, node = [], values
    for part in problem["loc"]:
        known = isinstance(node, dict) and part in node
        if not known and problem["type"] != "missing":
            break
        path.append(str(part))
        node = node[part] if known else {}
    return tuple(path)


def _sentence(key, path, problems, values):
    kind = problems[0]["type"]
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        node = values
        for part in path[:-1]:
            node = node[part]
        return f"there is no key '{key}'.{nearest(path[-1], [k for k in node if k != path[-1]])}"
    if kind == "missing":
        return f"{key} is missing"
    rules = " or ".join(dict.fromkeys(p["msg"].removeprefix("Input should be ") for p in problems))
    return f"{key} must be {rules}. Received: {problems[0]['input']!r}"


def _check_combinations(config):
    trainer, model, data = config["trainer"], config["model"], config["data"]
    lengths = {key: trainer[key] for key in ("steps", "epochs")}
    if (lengths["steps"] is None) == (lengths["epochs"] is None):
        raise ConfigError(f"exactly one of trainer.steps and trainer.epochs must be set. Received: {lengths}")
    from vitcross.training.lengths import to_steps

    for key in ("steps", "epochs", "evaluate_every", "log_every"):
        if trainer[key] is not None:
            _check_length(to_steps, f"trainer.{key}", trainer[key], total_steps=None if key in lengths else 1000)
    _check_length(to_steps, "optimizer.warmup", config["optimizer"]["warmup"], total_steps=1000, minimum=0)
    check_geometry(model, data)


def _check_length(to_steps, key, value, total_steps, minimum=1):
    try:
        steps = to_steps(value, batch_size=1, num_examples=1000, total_steps=total_steps, name=key)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if steps < minimum:
        raise ConfigError(f"{key} must be positive. Received: {value}")


def pair(size):
    """`n` or `[height, width]` as a tuple of two."""
    return (size, size) if isinstance(size, int) else tuple(size)


def check_geometry(model, data):
    """The patch divides the picture, the heads divide the width.

    Raises:
        ConfigError
    """
    image_size, patch_size = pair(data["image_size"]), pair(model["patch_size"])
    if model["stem"] == "linear" and any(i % p for i, p in zip(image_size, patch_size, strict=True)):
        raise ConfigError(
            f"model.patch_size must divide data.image_size. Received: model.patch_size={patch_size}, "
            f"data.image_size={image_size}"
        )
    width, heads = model["embed_dim"], model["num_heads"]
    if width is not None and heads is not None and width % heads:
        raise ConfigError(
            f"model.num_heads must divide model.embed_dim. Received: model.num_heads={heads}, model.embed_dim={width}"
        )


def check_arguments(name, overrides, multirun=False):
    """Compose and validate what was typed; for a sweep, every trial of it.

    Returns:
        list of `(config, choices)`, one per trial.

    Raises:
        ConfigError
    """
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except HydraException as error:
        raise ConfigError(" ".join(str(error).split())) from error
    values = []
    for text, override in zip(overrides, parsed, strict=True):
        if override.is_sweep_override() and not multirun:
            raise ConfigError(f"'{text}' lists several values: a sweep needs -m; a list needs brackets, e.g. key=[1,2]")
        sweep = override.is_sweep_override()
        key = override.get_key_element()
        values.append([f"{key}={value}" for value in override.sweep_string_iterator()] if sweep else [text])
    trials = []
    for combination in itertools.product(*values):
        config, choices = compose(name, list(combination))
        validate(config, name)
        trials.append((config, choices))
    return trials
