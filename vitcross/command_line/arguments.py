"""Splits what was typed for a script into overrides and flags, and answers the flags that print something."""

import os

from vitcross.command_line.process import fail
from vitcross.config import compose
from vitcross.config.allowed_hydra import PRINTING_FLAGS, check_flags, check_typed
from vitcross.config.help_page import help_page
from vitcross.experiment.run_folder import find_latest
from vitcross.terminal import say

LATEST = "latest"
RUN_KEYS = ("run", "resume", "init_from")
HELP_FLAGS = {"-h", "--help"}


def split_arguments(arguments):
    """`(overrides, flags)`: what sets a key, and what starts with a dash; exits with status 2 for what could run other
    code than this program's."""
    overrides, flags = [a for a in arguments if not a.startswith("-")], [a for a in arguments if a.startswith("-")]
    try:
        check_flags(flags)
        check_typed(overrides)
    except ValueError as error:
        fail(str(error))
    return overrides, flags


def with_latest(arguments):
    """The arguments in which `latest` of a key that takes the folder of a run is the newest one below `outputs/`; says
    which. A folder of that name is itself. Exits with status 2 where there is no run."""
    found = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key in RUN_KEYS and value == LATEST and not os.path.lexists(LATEST):
            try:
                argument = f"{key}={find_latest()}"
            except ValueError as error:
                fail(f"{key}={LATEST}: {error}. Type {key}=RUN_FOLDER")
            say(argument)
        found.append(argument)
    return found


def answer_flags(script, arguments):
    """Print what the flags ask for and exit: help, or what Hydra knows of the configuration.

    Args:
        script: `train` or `evaluate`.
        arguments: list of str, with a flag among them.
    """
    overrides, flags = split_arguments(arguments)
    if HELP_FLAGS & set(flags):
        print(help_page(compose.CONF, script))
        raise SystemExit(0)
    if not {flag.partition("=")[0] for flag in flags} & set(PRINTING_FLAGS):
        fail(f"{flags[0]} says nothing by itself to {script}.py: one of {', '.join(PRINTING_FLAGS)} prints something")
    try:
        added = compose.one_length(overrides)[len(overrides) :]
        # Hydra reads overrides that stand together: what follows from one stands right behind it.
        is_length = ("trainer.steps=", "trainer.epochs=")
        lengths = [n for n, text in enumerate(arguments, 1) if text.lstrip("+").startswith(is_length)]
        place = max(lengths, default=0)
        compose.print_as_hydra(script, [*arguments[:place], *added, *arguments[place:]])
    except ValueError as error:
        fail(str(error))
    raise SystemExit(0)
