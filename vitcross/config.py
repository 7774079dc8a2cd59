"""From what was typed to a validated experiment: the only place that knows Hydra and OmegaConf, and the one that puts
the rooms together. TensorFlow is imported when an experiment is built, not before.
"""

import dataclasses
import functools
import itertools
import os
from pathlib import Path

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from vitcross.config_checks import ConfigError, explain, validate
from vitcross.training.lengths import to_steps

CONF = Path(__file__).resolve().parent.parent / "conf"


def compose(name, overrides):
    """The resolved configuration as plain Python, and the chosen option of each group.

    Args:
        name: `train` or `evaluate`.
        overrides: list of str as typed, e.g. `["data=fashion_mnist", "trainer.steps=100"]`.

    Returns:
        `(config, choices)`: dict without Hydra's own keys; dict of group to option name.

    Raises:
        ConfigError: for an unknown key, group or option, a malformed override, an interpolation that leads nowhere.
    """
    try:
        with hydra.initialize_config_dir(config_dir=str(CONF), version_base=None):
            composed = hydra.compose(config_name=name, overrides=one_length(overrides), return_hydra_config=True)
        choices = dict(composed.hydra.runtime.choices)
        # Hydra's own keys hold what only a running job has.
        config = OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])
        return OmegaConf.to_container(config, resolve=True, throw_on_missing=True), choices
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(name, str(error), CONF, lambda: _known_keys(name))) from error


def _known_keys(name):
    """The composed configuration before anything is typed; what must be typed is `???` there."""
    with hydra.initialize_config_dir(config_dir=str(CONF), version_base=None):
        return OmegaConf.to_container(hydra.compose(config_name=name), resolve=False)


def one_length(overrides):
    """Typing `trainer.steps` empties `trainer.epochs`, and the other way round; typing both is an error."""
    keys = {override.lstrip("+").partition("=")[0] for override in overrides}
    typed = [key for key in ("trainer.steps", "trainer.epochs") if key in keys]
    if len(typed) == 2 and not any(override.endswith("=null") for override in overrides if override.startswith("tr")):
        raise ConfigError("trainer.steps and trainer.epochs both set the length of the run: type one of them")
    others = {"trainer.steps": "trainer.epochs", "trainer.epochs": "trainer.steps"}
    return [*overrides, *(f"{others[key]}=null" for key in typed if len(typed) == 1)]


def check_arguments(name, overrides, multirun=False):
    """Compose and validate what was typed; for a sweep, every trial of it.

    Returns:
        list of `(config, choices)`, one per trial.

    Raises:
        ConfigError
    """
    values = []
    for text, override in ((text, _parse(text)) for text in overrides):
        if override.is_sweep_override() and not multirun:
            raise ConfigError(f"'{text}' lists several values: a sweep needs -m; a list needs brackets, e.g. key=[1,2]")
        sweep = override.is_sweep_override()
        key = override.get_key_element()
        values.append([f"{key}={value}" for value in override.sweep_string_iterator()] if sweep else [text])
    trials = []
    for combination in itertools.product(*values):
        config, choices = compose(name, list(combination))
        validate(config, name)
        trials.append((config, choices))
    return trials


def _parse(text):
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise ConfigError(
            f"{text} cannot be read as key=value. A value with spaces, brackets, commas or '=' needs quotes that the "
            f"shell leaves in place: 'key=\"value\"'"
        ) from error


def build_data(config):
    """`vitcross.data.image_data.ImageData` of a validated configuration; prepares the data where that is needed."""
    return instantiate(config["data"])


def instantiate(section, **more):
    """Hydra's `instantiate`, with plain Python arguments. `_target_` was checked against the known ones."""
    try:
        return hydra.utils.instantiate(section, **more, _convert_="all", _recursive_=False)
    except HydraException as error:
        # Hydra wraps what the constructor said; the user is to read the constructor's own words.
        raise (error.__cause__ or error) from None


def lengths(config, num_examples):
    """All lengths of a run in steps: dict with total_steps, evaluate_every, log_every, warmup_steps."""
    trainer, batch_size = config["trainer"], config["data"]["batch_size"]
    known = {"batch_size": batch_size, "num_examples": num_examples}
    unit = "steps" if trainer["steps"] is not None else "epochs"
    total = to_steps(trainer[unit], unit=unit, name=f"trainer.{unit}", **known)
    known["total_steps"] = total
    return {
        "total_steps": total,
        "evaluate_every": min(total, to_steps(trainer["evaluate_every"], name="trainer.evaluate_every", **known)),
        "log_every": to_steps(trainer["log_every"], name="trainer.log_every", **known),
        # A share is rounded up to one step, which a run of one step does not have.
        "warmup_steps": min(total - 1, to_steps(config["optimizer"]["warmup"], name="optimizer.warmup", **known)),
    }


def build_training(config, *, name, folder, stop_on_signal, started):
    """Put a run together: the arguments of `vitcross.training.run.train_and_close`.

    Args:
        config: dict, validated.
        name: str, what the run is called.
        folder: the run folder.
        stop_on_signal: `vitcross.training.guards.StopOnSignal`, entered.
        started: `time.perf_counter()` at the start of the process.
    """
    from vitcross.data.unreadable import TooManyUnreadable
    from vitcross.training import device
    from vitcross.training.checkpoint import Checkpoints
    from vitcross.training.optimizer import parameter_groups, parameter_table
    from vitcross.training.trainer import Trainer

    settings = config["trainer"]
    device_name, is_accelerator = device.describe_device()
    jit_compile = device.choose_jit_compile(settings["jit_compile"], is_accelerator)
    print(f"device      {device_name}, {settings['dtype_policy']}, XLA {'on' if jit_compile else 'off'}", flush=True)
    data = build_data(config)
    config = with_data(config, data)
    # After the data: preparing it for the first time draws from the global random state.
    device.set_up(seed=config["seed"], dtype_policy=settings["dtype_policy"])
    network = instantiate(config["model"])
    task = instantiate(config["task"], network=network, class_weights=data.class_weights)
    steps = lengths(config, num_examples=len(data.train))
    total_steps, warmup_steps = steps["total_steps"], steps.pop("warmup_steps")
    make_optimizer = instantiate({key: value for key, value in config["optimizer"].items() if key != "warmup"})
    optimizer = make_optimizer(model=network, total_steps=total_steps, warmup_steps=warmup_steps)
    print(parameter_table(parameter_groups(network)), flush=True)
    checkpoints = Checkpoints(Path(folder) / "checkpoints", monitor=task.monitor, mode=task.monitor_mode)
    sink, places = build_sinks(config, name=name, folder=folder, total_steps=total_steps)
    try:
        trainer = Trainer(
            task=task,
            optimizer=optimizer,
            batches=data.train_batches(seed=config["seed"]),
            validation_batches=lambda: data.evaluation_batches("validation"),
            **steps,
            batch_size=data.batch_size,
            num_examples=len(data.train),
            checkpoints=checkpoints,
            sink=sink,
            callbacks=build_attention_maps(config, network, data, sink, total_steps),
            stop_on_signal=stop_on_signal,
            jit_compile=jit_compile,
            class_names=data.class_names,
            started=started,
        )
    except BaseException as error:
        sink.close({"state": f"failed before training: {type(error).__name__}: {error}", **places}, 1)
        raise
    return {
        "trainer": trainer,
        "sink": sink,
        "places": places,
        "cause_of_failure": lambda: data.unreadable.error and TooManyUnreadable(data.unreadable.error),
    }


def build_sinks(config, *, name, folder, total_steps):
    """`(sink, places)`: where a run reports to, and for its last words where to look."""
    from vitcross.sinks.console import Console
    from vitcross.sinks.gallery import Gallery
    from vitcross.sinks.local_files import LocalFiles
    from vitcross.sinks.sink import FanOut
    from vitcross.sinks.weights_and_biases import WeightsAndBiases

    settings = config["sinks"]
    console = Console(total_steps=total_steps, **settings["console"])
    # The files come first, the gallery reads them; the console has the last word.
    files = LocalFiles(run_folder=folder, config_text=as_yaml(config))
    gallery = Gallery(folder, title=f"{name} {Path(folder).name}", colour_map=config["attention_maps"]["colour_map"])
    group = wandb_group(settings["wandb"]["group"], folder)
    wandb = WeightsAndBiases(
        run_folder=folder, config=config, report=console.line, **settings["wandb"] | {"group": group}
    )
    places = {"run_folder": str(folder), "gallery": str(gallery.path), "wandb_url": wandb.url}
    console.begin()
    return FanOut([files, gallery, wandb, console], report=console.line), places


def wandb_group(chosen, folder):
    """What a run and its evaluations have in common in W&B: the last parts of its folder where no group was chosen."""
    return chosen or os.environ.get("WANDB_RUN_GROUP") or "/".join(Path(folder).resolve().parts[-2:])


def with_data(config, data):
    """The configuration with what only the data knows, as `config.yaml` keeps it."""
    height, width, channels = data.image_shape
    found = {"num_classes": data.num_classes, "image_size": [height, width]}
    return config | {
        "data": config["data"] | found | {"channels": channels},
        "model": config["model"] | found | {"in_channels": channels},
    }


def build_attention_maps(config, network, data, sink, total_steps):
    """The callbacks that show attention: one, or none with `attention_maps=off`."""
    settings = config["attention_maps"]
    if not settings["enabled"]:
        return []
    import numpy as np

    from vitcross.attention_maps.callback import AttentionMaps
    from vitcross.attention_maps.schedule import capture_steps
    from vitcross.attention_maps.sheets import Style

    # Chosen once by the seed, from the validation split: pictures that the model does not train on.
    order = np.random.default_rng(config["seed"]).permutation(len(data.validation))
    probes = np.sort(order[: settings["num_probes"]])
    measured = np.sort(order[: settings["num_grounding"]])
    has_boxes = "box" in data.validation.optional_keys and len(measured) > 0
    return [
        AttentionMaps(
            network=network,
            probes=data.examples("validation", probes),
            sink=sink,
            steps=capture_steps(total_steps, settings["captures"], settings["every"]),
            class_names=data.class_names,
            grounding_batch=data.examples("validation", measured) if has_boxes else None,
            style=Style(**{key: settings[key] for key in ("opacity", "colour_map", "resampling", "panel_size")}),
        )
    ]


def as_yaml(config):
    """A configuration as the text of `config.yaml`."""
    return OmegaConf.to_yaml(OmegaConf.create(config))


def resolve(composed):
    """Hydra's configuration as plain Python, without Hydra's own keys."""
    return OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)


def open_run(folder):
    """The validated configuration of a run folder, as `config.yaml` keeps it.

    Raises:
        ConfigError: where it is not the folder of a run.
    """
    path = Path(folder) / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"run must be the folder of a run, with a config.yaml. Received: {folder}")
    try:
        config = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    validate(config)
    return config


def open_checkpoint(folder, which="best"):
    """`(path, header)` of a checkpoint of a run: its folder, and step, metrics and class names.

    Raises:
        ConfigError: where the run has none.
    """
    from vitcross.training.checkpoint import Checkpoints, read_header

    try:
        path = Checkpoints(Path(folder) / "checkpoints").path(which)
        return path, read_header(path)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from error


def load_task(config, checkpoint):
    """The task of a run, compiled for prediction, with the weights of a checkpoint folder."""
    from vitcross.training import device
    from vitcross.training.checkpoint import load_network

    device.set_up(seed=config["seed"], dtype_policy=config["trainer"]["dtype_policy"])
    jit_compile = device.choose_jit_compile(config["trainer"]["jit_compile"], device.describe_device()[1])
    task = instantiate(config["task"], network=instantiate(config["model"]))
    load_network(task.network, checkpoint)
    task.compile(jit_compile=jit_compile)
    return task


def preprocess_of(config):
    """A function from one own picture to what the network of this run expects: (H, W, C) float32 in [-1, 1]."""
    from vitcross.data.options import ImageOptions
    from vitcross.data.preprocess import preprocess

    known = {field.name for field in dataclasses.fields(ImageOptions)}
    options = ImageOptions(**{key: value for key, value in config["data"].items() if key in known})
    return functools.partial(preprocess, options=options)


def load_run(folder):
    """`vitcross.load`: `(model, preprocess, class_names)` of the best checkpoint of a run."""
    config = open_run(folder)
    path, header = open_checkpoint(folder)
    return load_task(config, path).network, preprocess_of(config), tuple(header["class_names"])


def evaluation_sink(config, run_config, folder):
    """Where an evaluation reports to besides its files: W&B, in the group of its run."""
    from vitcross.sinks.sink import FanOut
    from vitcross.sinks.weights_and_biases import WeightsAndBiases

    settings, of_run = config["sinks"]["wandb"], run_config["sinks"]["wandb"]
    # An evaluation belongs to its run: what is not typed is taken from there.
    group = wandb_group(settings["group"] or of_run["group"], folder)
    filled = {key: settings[key] or of_run[key] for key in ("entity", "base_url")}
    wandb = WeightsAndBiases(
        run_folder=folder,
        config={"evaluation": config, **run_config},
        job_type="evaluation",
        **settings | filled | {"group": group},
    )
    if config["images"] is not None and wandb.mode == "online":
        print(f"Weights & Biases: these pictures, with their maps, will be uploaded to {wandb.url}", flush=True)
    return FanOut([wandb])
