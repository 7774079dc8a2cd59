"""Checks the command of a sweep: Hydra's own keys, the options of the sweeper, and what each sweeper can search."""

import dataclasses
import importlib.util
import re
from typing import Any, Literal

from vitcross.config.compatibility import ConfigError
from vitcross.config.search_space import Interval
from vitcross.config.validate import check_section
from vitcross.options.fields import Count, CountOrZero, options

SWEEPERS = ("basic", "optuna")
# The trials run one after the other, in folders 0, 1, ... of the sweep: no other key of Hydra's has an effect.
OWN_KEYS = ("hydra/sweeper", "hydra.sweep.dir")


@options
class OptunaSweeperConfig:
    sampler: Literal["tpe", "random"]
    n_trials: Count
    n_startup_trials: CountOrZero
    seed: CountOrZero
    params: dict[str, Any] | None


def check_own_keys(keys):
    """Raises ConfigError for a key of Hydra's own that a sweep does not take."""
    for key in keys:
        if key.startswith("hydra.sweeper.params"):
            raise ConfigError(f"type what is swept itself, e.g. model.depth=2,4,6. Received: {key}")
        if key not in OWN_KEYS and not key.startswith("hydra.sweeper."):
            known = f"{', '.join(OWN_KEYS)} and hydra.sweeper.*"
            raise ConfigError(f"of Hydra's own keys a sweep takes {known}. Received: {key}")


def check_sweeper(name, options):
    """The options of a sweeper that count, as a dict.

    Raises:
        ConfigError: for another sweeper, an option that it does not have, one that cannot be.
    """
    if name not in SWEEPERS:
        raise ConfigError(f"hydra/sweeper must be one of {', '.join(SWEEPERS)}. Received: {name}")
    if name == "basic":
        if options.get("max_batch_size") is not None:
            raise ConfigError("hydra.sweeper.max_batch_size has no effect here: trials run one after the other")
        return {"params": options["params"]}
    check_section(OptunaSweeperConfig, options, ("hydra", "sweeper"))
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError("hydra/sweeper=optuna needs Optuna: pip install -e '.[sweep]'")
    return options


def sweeper_problem(text):
    """A clearer form of Hydra's message about `hydra/sweeper` or its options; None where it is about something else.

    Args:
        text: what Hydra said.
    """
    if match := re.search(r"Could not find 'hydra/sweeper/([^']*)'", text):
        return f"hydra/sweeper must be one of {', '.join(SWEEPERS)}. Received: {match[1]}"
    if match := re.search(r"'(hydra\.sweeper\.[^']*)'", text):
        known = ", ".join(field.name for field in dataclasses.fields(OptunaSweeperConfig))
        return f"there is no key '{match[1]}' here: hydra/sweeper=optuna has {known}"
    return None


def check_space(sweeper, space):
    """Raises ConfigError where a sweeper cannot search a space."""
    intervals = [key for key, part in space.items() if isinstance(part, Interval)]
    if sweeper == "basic" and intervals:
        raise ConfigError(
            f"{intervals[0]} is an interval, of which a grid has no end: hydra/sweeper=optuna searches it"
        )
    if sweeper == "optuna" and not space:
        raise ConfigError("hydra/sweeper=optuna needs something to search, e.g. 'model.depth=choice(2,4,6)'")


def whole_numbers(error, space):
    """A hint on typing an interval of integers, where a ConfigError is about one; else an empty text."""
    for key, part in space.items():
        mixed_up = isinstance(part, Interval) and not part.integer
        if mixed_up and key in str(error) and "integer" in str(error):
            return f". Whole numbers are '{key}=int(interval({part.low:g},{part.high:g}))'"
    return ""
