"""Splits what was typed for a script into overrides and flags, and answers the flags that print something."""

import argparse
import importlib.metadata
import os
import platform

from vitcross.command_line.process import fail
from vitcross.config import compose
from vitcross.config.allowed_hydra import FLAGS, PRINTING_FLAGS, check_flags, check_typed
from vitcross.config.help_page import help_page
from vitcross.config.hints import without_dashes
from vitcross.experiment.run_folder import find_latest
from vitcross.keras_settings import chosen_backend
from vitcross.terminal import say

LATEST = "latest"
RUN_KEYS = {"train": ("resume", "init_from"), "evaluate": ("run", "compare")}
COMPLETION = ("install=", "uninstall=", "query=")
HELP_FLAGS = {"-h", "--help"}


def split_arguments(arguments, script="train"):
    """`(overrides, flags)`: what sets a key, and what starts with a dash; exits with status 2 for what could run other
    code than this program's."""
    overrides, flags = [a for a in arguments if not a.startswith("-")], [a for a in arguments if a.startswith("-")]
    try:
        if any(flag.partition("=")[0] not in FLAGS for flag in flags):
            typed = without_dashes(arguments, FLAGS, script, compose.CONF)
            if typed:
                fail(
                    f"settings are typed as key=value: {typed}. Received: {' '.join(arguments)} (a flag must be one of "
                    f"{', '.join(FLAGS)})"
                )
        check_flags(flags)
        check_typed(overrides)
    except ValueError as error:
        fail(str(error))
    return overrides, flags


def with_latest(arguments, script="train"):
    """The arguments of a script in which `latest` of a key that takes the folder of a run is the newest one below
    `outputs/`; says which. A folder of that name is itself. Exits with status 2 where there is no run."""
    found = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key in RUN_KEYS[script] and value == LATEST and not os.path.lexists(LATEST):
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
    overrides, flags = split_arguments(arguments, script)
    if HELP_FLAGS & set(flags):
        print(help_page(compose.CONF, script))
        raise SystemExit(0)
    if "--version" in flags:
        print(version_text())
        raise SystemExit(0)
    if not {flag.partition("=")[0] for flag in flags} & set(PRINTING_FLAGS):
        fail(f"{flags[0]} says nothing by itself to {script}.py: one of {', '.join(PRINTING_FLAGS)} prints something")
    if {"-sc", "--shell-completion"} & set(flags) and not any(text.startswith(COMPLETION) for text in overrides):
        fail(f"{flags[0]} needs one of install=SHELL, uninstall=SHELL; SHELL is bash, fish or zsh. Received: none")
    try:
        if (asked := _asked_config(arguments)).cfg == "job":
            print(compose.explained_config(script, asked.overrides, asked.package, asked.resolve))
            raise SystemExit(0)
        compose.print_as_hydra(script, arguments)
    except ValueError as error:
        fail(str(error))
    raise SystemExit(0)


def _asked_config(arguments):
    """What `--cfg` asks for: `cfg`, `package`, `resolve`, `overrides`; `cfg` is None for anything else."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--cfg", "-c")
    parser.add_argument("--package", "-p")
    parser.add_argument("--resolve", action="store_true")
    try:
        asked, rest = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise ValueError(str(error)) from error
    asked.overrides = [text for text in rest if "=" in text]
    return asked


def version_text():
    """Versions of vitcross, Keras, its backend and Python, without importing any of them."""
    backend = chosen_backend()
    names = {"vitcross": "vitcross", "keras": "keras", f"backend {backend}": backend}
    rows = [f"{title} {_version(package)}" for title, package in names.items()]
    return "\n".join([*rows, f"python {platform.python_version()}"])


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "is not installed"
