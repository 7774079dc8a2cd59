"""Opens a finished run: its checkpoint, its model ready to predict, and the sink that an evaluation of it reports to.

TensorFlow is imported when something is built.
"""

import functools
from pathlib import Path

from vitcross.config.compatibility import ConfigError
from vitcross.config.compose import open_run
from vitcross.config.schema import SCHEMAS
from vitcross.experiment.parts import build_task
from vitcross.keras_settings import check_keras, require_keras
from vitcross.paths import typed_path
from vitcross.sinks.weights_and_biases.environment import wandb_group
from vitcross.terminal import say


def open_checkpoint(folder, which="best"):
    """`(path, header)` of a checkpoint of a run: its folder, and step, metrics and class names.

    Raises:
        ConfigError: where the run has none, or its weights are not those that were written.
    """
    from vitcross.training.checkpoint import PREDICTS, problem_of, read_header
    from vitcross.training.checkpoints import Checkpoints

    checkpoints = Checkpoints(Path(folder) / "checkpoints")
    try:
        path = checkpoints.path(which)
        problem = problem_of(path, files=PREDICTS)
    except ValueError as error:
        raise ConfigError(f"{error}{_other_checkpoint(checkpoints, which)}") from error
    if problem is not None:
        hint = _other_checkpoint(checkpoints, which)
        raise ConfigError(f"the checkpoint {path} cannot be used: {problem}{hint}")
    return path, read_header(path)


def _other_checkpoint(checkpoints, which):
    """What a message says of the other checkpoint of a run, where there is another."""
    other = "latest" if which == "best" else "best"
    try:
        name = checkpoints.path(other).name
    except ValueError:
        return ""
    return "" if name == checkpoints.index.get(which) else f". evaluate.py takes {name} with checkpoint={other}"


def load_task(config, checkpoint):
    """The task of a run, compiled for prediction, with the weights of a checkpoint folder."""
    from vitcross.training import device
    from vitcross.training.checkpoint import load_network, read_header

    jit_compile = device.choose_jit_compile(config["trainer"]["jit_compile"], device.describe_device()[1])
    task = build_task(config, tokenizer=load_tokenizer(config))
    load_network(task.network, checkpoint)
    if hasattr(task, "use_validation"):
        header = read_header(checkpoint)  # a checkpoint between two validations has no metrics of its own
        task.use_validation(header["metrics"] or header["progress"]["callbacks"]["validation"]["latest"])
    task.compile(jit_compile=jit_compile)
    return task


def load_tokenizer(config):
    """The tokenizer of a run whose data has texts (`config.open_run` knows its file); None for images alone."""
    if config["data"].get("tokenizer") is None:
        return None
    from vitcross.data.tokenizer import Tokenizer

    return Tokenizer.load(config["data"]["tokenizer"])


def preprocess_of(config):
    """A function from one image of the user to what the network of this run expects: (H, W, C) float32 in [-1, 1]."""
    from vitcross.data.preprocess import preprocess

    section = dict(config["data"])
    options = SCHEMAS["data"][section.pop("_target_")](**section)
    return functools.partial(preprocess, options=options)


def load_run(folder):
    """`vitcross.load`: `(model, preprocess, class_names)` of the best checkpoint of a run."""
    check_keras()
    require_keras()
    folder = typed_path(folder)
    config = open_run(folder)
    path, header = open_checkpoint(folder)
    return load_task(config, path).network, preprocess_of(config), tuple(header["class_names"])


def short_name(folder):
    """A run's folder and the one around it, such as `scenes/2026-11-22_20-10-00`: says where no more than needed."""
    return "/".join(Path(folder).resolve().parts[-2:])


def evaluation_sink(config, run_config, folder):
    """Where an evaluation reports to besides its files: W&B, in the group of its run."""
    from vitcross.sinks.sink import FanOut
    from vitcross.sinks.weights_and_biases.sink import WeightsAndBiases

    settings, of_run = config["sinks"]["wandb"], run_config["sinks"]["wandb"]
    # An evaluation belongs to its run: what is not typed is taken from there, also that nothing is to be uploaded.
    settings = {key: of_run[key] if value is None or value == [] else value for key, value in settings.items()}
    what = "images" if config["images"] is not None else config["split"]
    filled = {
        "group": wandb_group(settings["group"], folder),
        "name": f"{short_name(folder)} {what}",
    }
    wandb = WeightsAndBiases(
        run_folder=folder,
        config={"evaluation": config, **run_config},
        job_type="evaluation",
        **settings | filled,
    )
    if config["images"] is not None and wandb.mode == "online":
        say(f"Weights & Biases: these images, with their maps, will be uploaded to {wandb.url}")
    return FanOut([wandb])
