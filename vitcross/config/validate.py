"""Checks that a composed configuration can be run: unknown keys, wrong types and impossible combinations get one
message each, which names the key, the rule and what was received. It takes plain dicts; no Hydra, no TensorFlow.
"""

import dataclasses
import re
from typing import get_args

from pydantic import TypeAdapter, ValidationError

from vitcross.config.allowed_hydra import nodes
from vitcross.config.compatibility import ConfigError, check_accumulation, check_data, check_kind, check_model
from vitcross.config.durations import check_lengths
from vitcross.config.schema import SCHEMAS, EvaluateConfig, TrainConfig
from vitcross.options.messages import UNKNOWN, problems_by_path, rule
from vitcross.typos import did_you_mean, nearest_names

_ROOTS = {"train": TrainConfig, "evaluate": EvaluateConfig}


def validate(config, name="train"):
    """Check keys, types and combinations of a composed configuration.

    Raises:
        ConfigError: all that is wrong with single keys, one line each; else the first impossible combination.
    """
    problems = _problems(_ROOTS[name], config, ())
    for group, schemas in SCHEMAS.items() if name == "train" else ():
        if isinstance(config.get(group), dict):
            problems += _group_problems(group, config[group], schemas)
    if problems:
        raise ConfigError("\n".join(problems))
    if name == "train":
        _check_combinations(config)


def check_section(schema, values, prefix):
    """Check the keys and types of one section, whose keys are typed behind `prefix`, a tuple of str.

    Raises:
        ConfigError: one line for each key that is wrong.
    """
    if problems := _problems(schema, values, prefix):
        raise ConfigError("\n".join(problems))


def _group_problems(group, section, schemas):
    target = section.get("_target_")
    if not isinstance(target, str) or target not in schemas:
        return [f"{group}._target_ must be one of {', '.join(schemas)}. Received: {target}"]
    known = ("_target_", "_partial_") if group == "optimizer" else ("_target_",)
    keys = {key: value for key, value in section.items() if key not in known}
    problems = _problems(schemas[target], keys, (group,))
    if group == "optimizer" and section.get("_partial_") is not True:  # model and lengths come later
        problems.append(f"optimizer._partial_ must be true. Received: {section.get('_partial_')!r}")
    return problems


def check_stored(config, path):
    """Check what was read from a run's `config.yaml`, perhaps a stranger's.

    It is stored resolved: an interpolation could only read something foreign, such as an environment variable, and send
    it to Weights & Biases.

    Args:
        config: what the file holds.
        path: of the file, for messages.

    Raises:
        ConfigError: also where keys lack that a run of today has.
    """
    if not isinstance(config, dict):
        raise ConfigError(f"{path} must be the configuration of a run. Received: a {type(config).__name__}")
    for key, value in nodes(config):
        if isinstance(value, str) and "${" in value:
            raise ConfigError(f"{path}: the configuration of a run must hold values alone. Received: {key}={value}")
    try:
        validate(config)
    except ConfigError as error:
        raise ConfigError(f"{error}\n{path} must be the configuration of a run of this version of vitcross") from error


def _problems(schema, values, prefix):
    """One line for each key of a section that is unknown, missing or wrong."""
    lacking = list(_missing(schema, values))
    problems = [f"{'.'.join((*prefix, *path))} is missing" for path in lacking]
    try:
        TypeAdapter(schema).validate_python(values)
    except ValidationError as error:
        found = {path: of_path for path, of_path in problems_by_path(error, values).items() if path not in lacking}
        problems += [_sentence(".".join((*prefix, *path)), path, of_path, values) for path, of_path in found.items()]
    return problems


def _missing(schema, values, path=()):
    """Paths of the keys that a section lacks: a configuration holds them all, also those with a default."""
    for name, field in schema.__pydantic_fields__.items():
        key = field.alias or name
        if key not in values:
            yield (*path, key)
        elif isinstance(values[key], dict):
            inner = next(filter(dataclasses.is_dataclass, (field.annotation, *get_args(field.annotation))), None)
            yield from () if inner is None else _missing(inner, values[key], (*path, key))


def _sentence(key, path, problems, values):
    kind = problems[0]["type"]
    if kind in UNKNOWN:
        node = values
        for part in path[:-1]:
            node = node[part]
        return f"there is no key '{key}'.{did_you_mean(path[-1], [k for k in node if k != path[-1]])}"
    if kind == "value_error":
        return f"{key}: {rule(problems)}"
    return f"{key} must be {rule(problems)}. Received: {problems[0]['input']!r}"


def _check_combinations(config):
    model, data = config["model"], config["data"]
    check_lengths(config)
    check_kind(config)
    check_model(model, data)
    check_data(data)
    check_accumulation(config)


def explain(name, text, conf, base):
    """Hydra's message in one line that names the key and the nearest valid one.

    Args:
        name: `train` or `evaluate`.
        text: what Hydra said.
        conf: folder of the configuration groups.
        base: callable without arguments, the composed configuration without what was typed.
    """
    if match := re.search(r"Could not find '([^']+)/([^'/]+)'", text):
        group, option = match[1].split("/")[-1], match[2]
        known = sorted(path.stem for path in (conf / group).glob("*.yaml"))
        return f"{group} has no option '{option}'.{did_you_mean(option, known)} Options: {', '.join(known)}"
    unknown = re.search(r"Could not (?:override|delete)[^']*'([^']+)'", text)
    if unknown := unknown or re.search(r"No match in the defaults list[^']*'([^']+)'", text):
        key = unknown[1]
        return f"there is no key '{key}'.{_nearest_key(key, base())} python {name}.py --cfg job prints all keys"
    missing = re.search(r"full_key: ?([\w.]+)", text)
    if missing and "issing mandatory value" in text:
        return f"{missing[1]} must be given: type {missing[1]}=..."
    return " ".join(text.split())


def _nearest_key(key, config):
    known = list(_dotted_keys(config))
    section, _, last = key.rpartition(".")
    if key in known:  # of the default option, not of the chosen one
        return f" The chosen {section.partition('.')[0]} has none."
    same_leaf = [k for k in known if k.rpartition(".")[2] == last]
    if same_leaf:
        return f" Did you mean '{same_leaf[0]}'?"
    # The section was meant: what stands in it is likelier than what merely looks alike.
    siblings = {k.rpartition(".")[2]: k for k in known if section and k.rpartition(".")[0] == section}
    if close := nearest_names(last, siblings, most=1, cutoff=0.35):
        return f" Did you mean '{siblings[close[0]]}'?"
    return did_you_mean(key, known) or did_you_mean(last, known)


def _dotted_keys(node, prefix=""):
    for key, value in node.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _dotted_keys(value, f"{prefix}{key}.")
