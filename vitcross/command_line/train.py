"""Checks the command of `train.py` before TensorFlow starts, and prints the header of a run; imports nothing heavy."""

import contextlib
import os
import shlex
import sys

from vitcross.command_line.arguments import HELP_FLAGS, answer_flags, split_arguments, with_latest
from vitcross.command_line.process import fail
from vitcross.config import compose
from vitcross.config.check_files import check_files
from vitcross.config.compatibility import image_tower, model_sizes, text_tower
from vitcross.config.durations import AUTO
from vitcross.config.typed_text import quote
from vitcross.experiment.init_from import check_init_from
from vitcross.experiment.resume import resume, resume_same_folder
from vitcross.experiment.run_folder import begin, finished, has_checkpoint, holds_run, is_trial
from vitcross.height_and_width import height_and_width
from vitcross.keras_settings import check_keras
from vitcross.terminal import printable_rows, say

MULTIRUN_FLAGS = {"-m", "--multirun"}


def is_sweep(arguments):
    """Whether `-m` was typed, and not help asked for."""
    flags = set(split_arguments(arguments)[1])
    return bool(flags & MULTIRUN_FLAGS) and not flags & HELP_FLAGS


def header(command):
    """What a `vitcross.experiment.run_folder.Command` is going to do, known before TensorFlow is there."""
    settings, choices = command.settings, command.choices
    data, model, trainer = settings["data"], settings["model"], settings["trainer"]
    size, length = data["image_size"], trainer["steps"] or trainer["epochs"]
    unit = "steps" if trainer["steps"] is not None else "epochs"
    length = length if isinstance(length, str) else f"{int(length) if length == int(length) else length:,} {unit}"
    length = "as many epochs as fit the data, in batches" if length == AUTO else length
    vision, prefix = image_tower(model)
    vision = model_sizes(vision, prefix)
    text, _ = text_tower(model)
    texts = "" if text is None else f"; texts: {_tower(text)}"
    images = "images of the set's own size" if size is None else f"images of {_by(size)} pixels"
    rows = {
        "experiment": choices.get("experiment")
        or f"none named: {choices['data']} with the defaults of conf/train.yaml",
        "data": f"{data.get('name') or data.get('file') or data.get('root') or choices['data']}, {images}",
        "model": f"{choices['model']}: {_tower(vision)}, patches of {_by(vision['patch_size'])} pixels{texts}",
        "length": f"{length} of {data['batch_size']} {'images' if text is None else 'pairs'}, seed {settings['seed']}",
        "results": str(command.folder),
    }
    return printable_rows(rows)


def _tower(sizes):
    blocks, heads = _counted(sizes["depth"], "block"), _counted(sizes["num_heads"], "head")
    return f"{blocks}, embed_dim {sizes['embed_dim']}, {heads}"


def _counted(number, noun):
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _by(size):
    return "{} x {}".format(*height_and_width(size))


def shell_line(script, *arguments):
    """What is typed to run a script, quoted for the shell."""
    return shlex.join(["python", script, *arguments])


@contextlib.contextmanager
def how_to_resume(script, folder):
    """Print the command that resumes a run which ends too early: by a signal, or by an error after a checkpoint.

    Args:
        script: path of `train.py`, as typed.
        folder: of the run. A trial of a sweep is resumed by its sweep, which prints its own command.
    """
    try:
        yield
    except SystemExit as end:
        stopped = isinstance(end.code, int) and end.code > 128
        began = stopped or end.code == 1 and has_checkpoint(folder)  # 2: what was typed was refused
        unfinished = began and not finished(folder)
        if unfinished and not is_trial(folder):
            near = os.path.relpath(folder)
            place = str(folder) if near.startswith("..") else near
            say(f"resume with: {shell_line(script, f'resume={place}')}", file=sys.stderr)
        raise


def prepare_train(arguments):
    """Check what was typed before anything is made, and make the folder of the run; exits with status 2 and one message
    where something is wrong, and with 0 where a flag has been answered or the run has finished.

    Args:
        arguments: list of str, `sys.argv[1:]`.

    Returns:
        `vitcross.experiment.run_folder.Command`; its folder is held by this process.
    """
    typed, arguments = arguments, [quote(argument, "train") for argument in with_latest(arguments)]
    overrides, flags = split_arguments(arguments)
    if flags:
        answer_flags("train", arguments)
    try:
        check_keras()
        if compose.typed_value(overrides, "resume") is not None:
            return resume(overrides)
        settings, choices = compose.check_arguments("train", overrides)
        check_files(settings["data"], settings, overrides)
        folder = compose.typed_folder(overrides, settings)
        if folder and holds_run(folder):
            return resume_same_folder(folder, settings, choices)
        check_init_from(settings)
        return begin(settings, choices, folder, typed)
    except (ValueError, OSError) as error:
        fail(str(error))
