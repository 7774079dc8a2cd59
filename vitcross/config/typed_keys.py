"""Completes what was typed by what follows from it, and finds typed keys that have no effect.

It takes texts and plain dicts; no Hydra.
"""

import yaml

from vitcross.config.compatibility import ConfigError
from vitcross.config.help_page import comments_of_option
from vitcross.config.schema import ROOTS, SCHEMAS
from vitcross.options.effects import without_effect
from vitcross.options.models import REPLACED_BY_VARIANT

EMPTY = ("null", "", "''", '""')


def key_of(text):
    """The key of an override."""
    return text.lstrip("+~").partition("=")[0]


def completed(overrides):
    """What was typed, and what follows from it; what is typed itself is left alone.

    Typing one of `trainer.steps` and `trainer.epochs` empties the other. A typed variant is a model of the literature:
    a preset's own sizes and stem give way to it.

    Raises:
        ConfigError: both lengths were typed.
    """
    return [*overrides, *_other_length(overrides), *_of_variants(overrides)]


def _other_length(overrides):
    typed = {key_of(text): text.partition("=")[2] for text in overrides if key_of(text) in LENGTHS}
    if len(typed) == 2 and "null" not in typed.values():
        raise ConfigError("trainer.steps and trainer.epochs both set the length of the run: type one of them")
    return [f"{LENGTHS[key]}=null" for key in typed if len(typed) == 1]


LENGTHS = {"trainer.steps": "trainer.epochs", "trainer.epochs": "trainer.steps"}


def _of_variants(overrides):
    typed = {key_of(text): text.partition("=")[2] for text in overrides}
    for key, value in typed.items():
        section, _, name = key.rpartition(".")
        if name == "variant" and section.startswith("model") and value not in EMPTY:
            sizes = {f"{section}.{size}": replaced for size, replaced in REPLACED_BY_VARIANT.items()}
            yield from (f"{size}={replaced}" for size, replaced in sizes.items() if size not in typed)


def keys_without_effect(name, config):
    """`{key: message}` of the keys of a validated configuration that have no effect in it, typed or not.

    Args:
        name: `train` or `evaluate`.
        config: dict.
    """
    found = dict(without_effect(ROOTS[name], config))
    for group, schemas in SCHEMAS.items() if name == "train" else ():
        if group in config:
            found |= without_effect(schemas[config[group]["_target_"]], config[group], f"{group}.")
    return found


def experiment_clash(conf, overrides, choices):
    """Says that an experiment sets a key which a typed option does not have; None where it is not so.

    Args:
        conf: folder of the configuration groups.
        overrides: list of str.
        choices: dict of group to chosen option.
    """
    experiment = choices.get("experiment")
    if not experiment:
        return None
    own, keys = _of_experiment(conf, experiment)
    for group in (key_of(text) for text in overrides):
        if group == "experiment" or not (conf / group).is_dir():
            continue
        known = comments_of_option(conf, group, choices[group])
        foreign = [key for key in keys if key.startswith(f"{group}.") and key.partition(".")[2] not in known]
        if foreign:
            chosen = f"{group}={choices[group]}"
            of_experiment = f", whose {group} is {own[group]}," if group in own else ""
            return (
                f"experiment={experiment}{of_experiment} sets {foreign[0]}, which {chosen} does not have. "
                f"Leave {chosen} out and type single keys, e.g. {foreign[0]}=..."
            )
    return None


def _of_experiment(conf, name):
    """`(options, keys)`: what an experiment, and those that it builds on, choose of each group and set."""
    content = yaml.safe_load((conf / f"experiment/{name}.yaml").read_text())
    chosen, keys = {}, []
    for entry in content.pop("defaults", ()):
        if isinstance(entry, dict):
            chosen |= {group.removeprefix("override /"): option for group, option in entry.items()}
        elif entry != "_self_":
            chosen, keys = _of_experiment(conf, entry)
    return chosen, [*keys, *leaf_keys(content)]


def leaf_keys(section, prefix=""):
    """The dotted keys of nested dicts that hold values."""
    for key, value in section.items():
        yield from leaf_keys(value, f"{prefix}{key}.") if isinstance(value, dict) else (f"{prefix}{key}",)
