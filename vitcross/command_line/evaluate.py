"""Checks the command of `evaluate.py` before TensorFlow starts; it imports nothing heavy."""

import json
from pathlib import Path

from vitcross.command_line.arguments import answer_flags, split_arguments, with_latest
from vitcross.command_line.process import fail
from vitcross.config import compose
from vitcross.config.compatibility import check_own_text
from vitcross.config.typed_text import quote
from vitcross.data.sources.image_files import find_images
from vitcross.experiment.data_contents import check_place, with_places
from vitcross.keras_settings import check_keras
from vitcross.typos import offer


def check_target(run_config, settings):
    """Whether a class or an answer that is to be explained exists; a word of a caption is known only later.

    Raises:
        ValueError: it names the nearest ones.
    """
    if run_config["task"]["_target_"].endswith("Captioning"):
        return
    try:
        names = class_names_of(settings["run"], settings["checkpoint"])
    except (OSError, ValueError, KeyError, TypeError):
        return  # opening the checkpoint reports what is wrong
    wanted = settings["target"]
    if wanted.isdecimal() and int(wanted) < len(names) or wanted.casefold() in [name.casefold() for name in names]:
        return
    raise ValueError(f"target must be one of {offer(wanted, names, most=8)}. Received: target={wanted!r}")


def class_names_of(run_folder, which):
    """The class names in the checkpoint's JSON, read without loading what writes it."""
    folder = Path(run_folder) / "checkpoints"
    name = json.loads((folder / "index.json").read_text())[which]
    return json.loads((folder / name / "checkpoint.json").read_text())["class_names"]


def prepare_evaluate(arguments):
    """Check what was typed before TensorFlow starts; exits with status 2 and one message where it is wrong.

    Returns:
        `(settings, run_config)`: dicts, the validated configurations of the evaluation and of its run.
    """
    arguments = [quote(argument, "evaluate") for argument in with_latest(arguments, "evaluate")]
    overrides, flags = split_arguments(arguments, "evaluate")
    if flags:
        answer_flags("evaluate", arguments)
    try:
        check_keras()
        settings, _ = compose.check_arguments("evaluate", overrides)
        run_config = compose.open_run(settings["run"])
        if settings["images"] is not None:
            find_images(settings["images"])
        run_config["data"] = with_places(run_config["data"], settings["data"])
        if settings["images"] is None and settings["compare"] is None:
            check_place(run_config["data"])
        check_own_text(run_config, settings)
        if settings["compare"] is not None:
            if settings["exact"] is not None:
                fail(f"exact has no effect with compare, which checks nothing. Received: exact={settings['exact']}")
            compose.open_run(settings["compare"], key="compare")
        if settings["target"] is not None:
            check_target(run_config, settings)
    except ValueError as error:
        fail(str(error))
    return settings, run_config
