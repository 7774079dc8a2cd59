"""Checks that a composed configuration can be run: unknown keys, wrong types and impossible combinations get one
message each, which names the key, the rule and what was received. It takes plain dicts; no Hydra, no TensorFlow.
"""

from pydantic import TypeAdapter, ValidationError

from vitcross.config.allowed_hydra import nodes
from vitcross.config.compatibility import ConfigError, check_accumulation, check_data, check_kind, check_model
from vitcross.config.durations import check_lengths
from vitcross.config.hints import sibling_hint
from vitcross.config.schema import ROOTS, SCHEMAS
from vitcross.options.fields import inner_options
from vitcross.options.messages import UNKNOWN, problems_by_path, rule

# Keys of a model that interpolate from the data.
OWNED_BY_DATA = {"image_size": "image_size", "in_channels": "channels", "num_classes": "num_classes"}


def validate(config, name="train"):
    """Check keys, types and combinations of a composed configuration.

    Raises:
        ConfigError: all that is wrong with single keys, one line each; else the first impossible combination.
    """
    problems = _problems(ROOTS[name], config, ())
    for group, schemas in SCHEMAS.items() if name == "train" else ():
        if isinstance(config.get(group), dict):
            found = _group_problems(group, config[group], schemas)
            problems += [line for line in found if not _is_of_data(line, problems)]
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


def _is_of_data(line, problems):
    """Whether a problem of a model is that of the data, from which it has the value."""
    key = line.partition(" ")[0]
    owner = OWNED_BY_DATA.get(key.rpartition(".")[2]) if key.startswith("model.") else None
    return owner is not None and any(problem.startswith(f"data.{owner} ") for problem in problems)


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
            inner = inner_options(field)
            yield from () if inner is None else _missing(inner, values[key], (*path, key))


def _sentence(key, path, problems, values):
    kind = problems[0]["type"]
    if kind in UNKNOWN:
        node = values
        for part in path[:-1]:
            node = node[part]
        return f"there is no key '{key}'.{sibling_hint(path[-1], [k for k in node if k != path[-1]])}"
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
