"""Checks what was typed for `train.py` before TensorFlow starts, and prints the header of a run.

Imports nothing heavy.
"""

from pathlib import Path

from vitcross.command_line.process import fail
from vitcross.config import compose
from vitcross.config.allowed_hydra import check_flags, check_typed
from vitcross.config.compatibility import image_tower, model_sizes, text_tower
from vitcross.config.help_page import help_page
from vitcross.config.validate import check_folder
from vitcross.experiment import run_folder
from vitcross.experiment.init_from import check_init_from
from vitcross.experiment.resume import resume, resume_same_folder, typed_value
from vitcross.experiment.run_folder import claim_folder
from vitcross.height_and_width import height_and_width
from vitcross.terminal import printable_rows

MULTIRUN_FLAGS = ("-m", "--multirun")


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


def is_sweep(arguments):
    """Whether `-m` was typed, and not help asked for."""
    flags = set(split_arguments(arguments)[1])
    return bool(flags & set(MULTIRUN_FLAGS)) and not flags & {"-h", "--help"}


def run_name(choices):
    """What a run is called: its experiment, or its data where no experiment was chosen."""
    return choices.get("experiment") or choices["data"]


def header(config, choices, folder):
    """What a run is going to do, known before TensorFlow is there."""
    data, model, trainer = config["data"], config["model"], config["trainer"]
    size, length = data["image_size"], trainer["steps"] or trainer["epochs"]
    unit = "steps" if trainer["steps"] is not None else "epochs"
    length = length if isinstance(length, str) else f"{length} {unit}"
    vision, prefix = image_tower(model)
    vision = model_sizes(vision, prefix)
    text, _ = text_tower(model)
    texts = "" if text is None else f"; texts: {_tower(text)}"
    images = "images of the set's own size" if size is None else f"images of {_by(size)} pixels"
    rows = {
        "experiment": choices.get("experiment")
        or f"none named: {choices['data']} with the defaults of conf/train.yaml",
        "data": f"{data.get('name') or choices['data']}, {images}",
        "model": f"{choices['model']}: {_tower(vision)}, patches of {_by(vision['patch_size'])} pixels{texts}",
        "length": f"{length} of {data['batch_size']} {'images' if text is None else 'pairs'}, seed {config['seed']}",
        "results": str(folder),
    }
    return printable_rows(rows)


def _tower(sizes):
    return f"{sizes['depth']} blocks, width {sizes['embed_dim']}, {sizes['num_heads']} heads"


def _by(size):
    return "{} x {}".format(*height_and_width(size))


def prepare_train(arguments):
    """Check what was typed before anything is made; exits with status 2 and one message where it is wrong.

    Args:
        arguments: list of str, `sys.argv[1:]`.

    Returns:
        `(arguments, resumed)`: list of str, the arguments for Hydra: the typed ones, with the folder of the run; and a
        `vitcross.experiment.resume.Resumed` where a run goes on, which does without Hydra, else None.
    """
    overrides, flags = split_arguments(arguments)
    if {"-h", "--help"} & set(flags):
        print(help_page(compose.CONF))
        raise SystemExit(0)
    try:
        if flags:
            # --cfg, --info and the like, whose values stand behind them: Hydra answers.
            return [*arguments, *compose.one_length(overrides)[len(overrides) :]], None
        if typed_value(overrides, "resume"):
            return [], resume(overrides, multirun=False)
        settings, choices = compose.check_arguments("train", overrides)
        check_folder(settings["data"])
        folder = typed_value(overrides, "hydra.run.dir")
        if folder and run_folder.holds_run(folder):
            return [], resume_same_folder(folder, settings, choices)
        check_init_from(settings)
        if folder:
            run_folder.lock(folder)
            return compose.one_length(overrides), None
        folder = claim_folder(Path("outputs") / run_name(choices))
        run_folder.lock(folder)
    except (ValueError, OSError) as error:
        fail(str(error))
    return [*compose.one_length(overrides), f"hydra.run.dir={folder}"], None
