"""Turns what was typed into a validated configuration in plain Python: the only file that knows Hydra and OmegaConf."""

import inspect
import sys
from pathlib import Path

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from vitcross.config.allowed_hydra import check_hydra
from vitcross.config.compatibility import ConfigError, with_context_dim
from vitcross.config.durations import AUTO
from vitcross.config.help_page import comments_of, explained_yaml, options
from vitcross.config.hints import bare_word_hint, explain, wrong_choices
from vitcross.config.search_space import Interval, Sweep, Values
from vitcross.config.sweep_rules import check_own_keys, check_space, check_sweeper, sweeper_problem, whole_numbers
from vitcross.config.typed_keys import completed, experiment_clash, key_of, keys_without_effect
from vitcross.config.typed_text import absolute_paths
from vitcross.config.validate import check_stored, validate
from vitcross.options.effects import value_at
from vitcross.paths import typed_path

CONF = Path(__file__).resolve().parents[2] / "conf"
TOKENIZER = "tokenizer.json"  # in the folder of a run whose data has texts
RESUMABLE_GROUPS = ("attention_maps", "sinks")
MISSING = object()


def compose(name, overrides):
    """The resolved configuration as plain Python, and the chosen option of each group.

    Args:
        name: `train` or `evaluate`.
        overrides: list of str as typed, e.g. `["data=fashion_mnist", "trainer.steps=100"]`.

    Returns:
        `(config, choices)`: dict without Hydra's own keys; dict of group to option name.

    Raises:
        ConfigError: for an unknown key, group or option, a malformed override, an interpolation that leads nowhere,
            and for what of Hydra itself could run other code.
    """
    try:
        with hydra.initialize_config_dir(config_dir=str(CONF), version_base=None):
            composed = hydra.compose(config_name=name, overrides=completed(overrides), return_hydra_config=True)
        check_hydra(OmegaConf.to_container(composed.hydra, resolve=False))
        choices = dict(composed.hydra.runtime.choices)
        # Hydra's own keys hold what only a running job has.
        config = OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])
        config = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        trainer = config.get("trainer", {})
        if trainer.get("epochs") == AUTO and trainer["steps"] is not None:
            trainer["epochs"] = None  # an experiment has a length of its own
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(name, str(error), CONF, lambda: _known_keys(name, overrides))) from error
    if isinstance(config.get("model"), dict):
        config["model"] = with_context_dim(config["model"])
    return config, choices


def _known_keys(name, overrides):
    """The composed configuration of the typed choices, without single keys; what must be typed is `???` there."""
    choices = [text for text in overrides if (CONF / key_of(text)).is_dir() and not text.startswith("~")]
    with hydra.initialize_config_dir(config_dir=str(CONF), version_base=None):
        return OmegaConf.to_container(hydra.compose(config_name=name, overrides=choices), resolve=False)


def check_arguments(name, overrides):
    """Compose and validate what was typed for one run.

    Returns:
        `(config, choices)`, as `compose` does.

    Raises:
        ConfigError
    """
    config, choices = _checked(name, overrides)
    if idle := typed_without_effect(name, overrides, config):
        raise ConfigError("\n".join(idle.values()))
    return config, choices


def _checked(name, overrides):
    if wrong := list(wrong_choices(overrides, CONF)):
        raise ConfigError("\n".join(wrong))
    for text in overrides:
        if _parse(text).is_sweep_override():
            raise ConfigError(f"'{text}' lists several values: a sweep needs -m; a list needs brackets, e.g. key=[1,2]")
    config, choices = compose(name, overrides)
    try:
        validate(config, name)
    except ConfigError as error:
        raise ConfigError(experiment_clash(CONF, overrides, choices) or str(error)) from error
    return absolute_paths(config, name), choices


def typed_without_effect(name, overrides, config):
    """`{override: message}` of what was typed, has no effect in this configuration, and is not what would be there
    without it.

    Args:
        name: `train` or `evaluate`.
        overrides: list of str.
        config: dict, their validated configuration.
    """
    messages = keys_without_effect(name, config)
    idle = {text: key_of(text) for text in overrides if key_of(text) in messages}
    if not idle:
        return {}
    without, _ = compose(name, [text for text in overrides if text not in idle])
    return {text: messages[key] for text, key in idle.items() if value_at(config, key) != value_at(without, key)}


def effective(overrides):
    """What was typed for a trial without what has no effect in it: another trial of the sweep needs it."""
    try:
        config, _ = _checked("train", overrides)
    except ConfigError:  # whoever runs the trial says so
        return overrides
    idle = typed_without_effect("train", overrides, config)
    return [text for text in overrides if text not in idle]


def typed_folder(overrides, settings):
    """The `hydra.run.dir` that was typed, absolute, with its interpolations resolved; None where it was not typed.

    Args:
        overrides: list of str, checked.
        settings: dict, their configuration.

    Raises:
        ConfigError: an interpolation that leads nowhere, or a path that is none.
    """
    typed = typed_value(overrides, "hydra.run.dir")
    if typed is None:
        return None
    try:
        return typed_path(str(OmegaConf.create({**settings, "hydra.run.dir": typed})["hydra.run.dir"]))
    except OmegaConfBaseException as error:
        raise ConfigError(f"hydra.run.dir={typed} cannot be read: {' '.join(str(error).split())}") from error
    except ValueError as error:
        raise ConfigError(f"hydra.run.dir: {error}") from error


def typed_value(overrides, key):
    """The value that was typed last for a key, as Hydra reads it; None where there is none.

    Raises:
        ConfigError: a malformed override.
    """
    typed = [_parse(text).value() for text in overrides if _key(text).lstrip("+") == key]
    return typed[-1] if typed else None


def print_as_hydra(name, arguments):
    """Let Hydra itself answer a flag that prints something, e.g. `--cfg job`.

    Args:
        name: `train` or `evaluate`.
        arguments: list of str, with one of `vitcross.config.allowed_hydra.PRINTING_FLAGS` among them.
    """
    sys.argv[1:] = arguments
    hydra.main(version_base=None, config_path=str(CONF), config_name=name)(lambda composed: None)()


def explained_config(name, overrides, package=None, resolve=False):
    """The text of the composed configuration with the comments of `conf/`, as `--cfg job` prints it.

    Args:
        name: `train` or `evaluate`.
        overrides: list of str.
        package: dotted name of a section, or None for all.
        resolve: bool, whether interpolations are replaced by what they lead to.

    Raises:
        ConfigError: also for a section that does not exist.
    """
    if wrong := list(wrong_choices(overrides, CONF)):
        raise ConfigError("\n".join(wrong))
    try:
        with hydra.initialize_config_dir(config_dir=str(CONF), version_base=None):
            composed = hydra.compose(config_name=name, overrides=completed(overrides), return_hydra_config=True)
        comments = comments_of(CONF, name, composed.hydra.runtime.choices)
        config = OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])
        section = OmegaConf.select(config, package, default=None) if package else config
        if not OmegaConf.is_config(section):
            raise ConfigError(f"--package must name a section, e.g. model. Received: {package}")
        text = OmegaConf.to_yaml(section, resolve=resolve)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(name, str(error), CONF, lambda: _known_keys(name, overrides))) from error
    return explained_yaml(text, comments, f"{package}." if package else "")


def read_sweep(overrides):
    """Reads what was typed with `-m`.

    Args:
        overrides: list of str.

    Returns:
        `vitcross.config.search_space.Sweep`; its trials are not checked yet.

    Raises:
        ConfigError
    """
    own = [text for text in overrides if _key(text).lstrip("+~").startswith("hydra")]
    typed = [text for text in overrides if text not in own]
    check_own_keys([_key(text) for text in own])
    own = [text for text in own if _key(text) != "hydra.sweep.dir"]  # a folder is taken as it is typed
    space = _space(typed)
    first = [f"{key}={part.corners()[0]}" for key, part in space.items()]
    sweeper, settings = _sweeper([*(text for text in typed if _key(text) not in space), *first, *own])
    keys = {_key(text) for text in typed}
    typed = [*(f"{key}={value}" for key, value in (settings.pop("params") or {}).items() if key not in keys), *typed]
    space = _space(typed)
    check_space(sweeper, space)
    return Sweep(
        sweeper=sweeper,
        options=settings,
        fixed=tuple(text for text in typed if _key(text) not in space),
        space=space,
        typed=tuple(text for text in typed if _key(text) in space),
        effective=effective,
    )


def check_trials(sweep):
    """Compose and validate every trial of a grid; of Optuna's space, every listed value and every end.

    Returns:
        list of `(config, choices)`.

    Raises:
        ConfigError
    """
    checked, idle = [], []
    for values in sweep.corners() if sweep.sweeper == "optuna" else sweep.grid():
        overrides = sweep.typed_for(values)
        try:
            checked.append(_checked("train", overrides))
        except ConfigError as error:
            raise ConfigError(f"{error}{whole_numbers(error, sweep.space)}") from error
        found = typed_without_effect("train", overrides, checked[-1][0])
        idle.append({key_of(text): message for text, message in found.items()})
    # What has an effect in one trial may be typed for all.
    if everywhere := [message for key, message in idle[0].items() if all(key in of_trial for of_trial in idle)]:
        raise ConfigError("\n".join(everywhere))
    return checked


def _key(text):
    return text.partition("=")[0]


def _space(overrides):
    """Key to Values or Interval of what lists several values."""
    space = {}
    for text in overrides:
        override = _parse(text)
        if not override.is_sweep_override():
            continue
        if [_key(other) for other in overrides].count(_key(text)) > 1:
            raise ConfigError(f"{_key(text)} is swept and typed twice. Received: {text}")
        space[_key(text)] = _part(text, override)
    return space


def _part(text, override):
    value = override.value()
    try:
        if override.is_interval_sweep():
            integer = isinstance(value.start, int) and isinstance(value.end, int)
            return Interval(value.start, value.end, log="log" in value.tags, integer=integer)
        if isinstance(value, Glob):
            return Values(tuple(value.filter(options(CONF, _key(text)))))
        ordered = override.is_range_sweep() and not value.shuffle
        return Values(tuple(override.sweep_string_iterator()), ordered=ordered)
    except (HydraException, ValueError) as error:
        raise ConfigError(f"{text} cannot be swept: {' '.join(str(error).split())}") from error


def _sweeper(overrides):
    """`(name, options)` of `hydra/sweeper` and `hydra.sweeper`, checked."""
    try:
        with hydra.initialize_config_dir(config_dir=str(CONF), version_base=None):
            composed = hydra.compose("train", overrides=completed(overrides), return_hydra_config=True).hydra
        name = composed.runtime.choices["hydra/sweeper"]
        settings = OmegaConf.to_container(composed.sweeper, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        problem = sweeper_problem(str(error))
        problem = problem or explain("train", str(error), CONF, lambda: _known_keys("train", overrides))
        raise ConfigError(problem) from error
    return name, check_sweeper(name, settings)


def _parse(text):
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        quotes = (
            " A value with spaces, brackets, commas or '=' needs quotes that the shell leaves in place: 'key=\"value\"'"
        )
        hint = quotes if "=" in text else bare_word_hint(text, CONF) or " --help shows what can be typed"
        raise ConfigError(f"{text} cannot be read as key=value.{hint}") from error


def instantiate(section, **more):
    """Hydra's `instantiate`, with plain Python arguments. Parts that have a `_target_` of their own (the encoders of
    an image-text model) are made first. Every `_target_` was checked against the known ones.
    """
    section = {key: instantiate(value) if _is_part(value) else value for key, value in section.items()}
    try:
        return hydra.utils.instantiate(section, **more, _convert_="all", _recursive_=False)
    except HydraException as error:
        # Hydra wraps what the constructor said; the user is to read the constructor's own words.
        raise (error.__cause__ or error) from None


def _is_part(value):
    return isinstance(value, dict) and "_target_" in value


def accepted_arguments(section, offered):
    """The offered arguments that the `_target_` of a section takes."""
    names = inspect.signature(hydra.utils.get_class(section["_target_"])).parameters
    return {key: value for key, value in offered.items() if key in names}


def as_yaml(config):
    """A configuration as the text of `config.yaml`."""
    return OmegaConf.to_yaml(OmegaConf.create(config))


def open_run(folder, key="run"):
    """The validated configuration of a run folder, ready to build its model from; `key` is what a message calls it.

    Raises:
        ConfigError: where it is not the folder of a run.
    """
    config = read_run(folder, key)
    if (Path(folder) / TOKENIZER).is_file():
        # The folder may have moved, and the tokenizer of the model with it.
        config["data"]["tokenizer"] = str(Path(folder) / TOKENIZER)
    return config


def read_run(folder, key="run"):
    """The validated configuration of a run folder as its `config.yaml` keeps it.

    Raises:
        ConfigError: where it is not the folder of a run, or lacks a key.
    """
    path = Path(folder) / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"{key} must be the folder of a run, with a config.yaml. Received: {folder}")
    try:
        config = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (OmegaConfBaseException, YAMLError, OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    check_stored(config, path)
    return config


def resumed(folder, overrides):
    """`(before, now)`: the configuration of a run, and that with what was typed, validated.

    Args:
        folder: of the run.
        overrides: list of str; of groups only `attention_maps` and `sinks` can be chosen again.

    Raises:
        ConfigError: for an unknown key, a value that cannot be, another model or data set by its group.
    """
    before = read_run(folder, key="resume")
    now = OmegaConf.create(before)
    for text, override in ((text, _parse(text)) for text in completed(overrides)):
        key = override.get_key_element()
        if override.is_sweep_override() or override.is_delete() or override.is_add():
            raise ConfigError(f"resume takes key=value of keys that its run has. Received: {text}")
        if (CONF / key).is_dir() and key not in RESUMABLE_GROUPS:
            raise ConfigError(f"{key} cannot be chosen again with resume; type its single keys. Received: {text}")
        if (CONF / key).is_dir():
            chosen, _ = compose("train", [text])
            now[key] = chosen[key]
        elif OmegaConf.select(now, key, default=MISSING) is MISSING:
            raise ConfigError(explain("train", f"Could not override '{key}'", CONF, lambda: before))
        else:
            OmegaConf.update(now, key, override.value(), merge=False)
    now = OmegaConf.to_container(now)
    validate(now)
    messages = keys_without_effect("train", now)
    idle = [key for key in map(key_of, overrides) if key in messages and value_at(now, key) != value_at(before, key)]
    if idle:
        raise ConfigError("\n".join(messages[key] for key in idle))
    return before, absolute_paths(now, "train")
