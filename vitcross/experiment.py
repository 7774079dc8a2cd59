"""From a validated configuration to an experiment: the one place that puts the rooms together, and imports them all.

TensorFlow is imported when something is built, not before. Nobody reaches forward: training receives its callbacks,
callbacks receive their sinks.
"""

import dataclasses
import functools
import os
from pathlib import Path

from vitcross.config import as_yaml, instantiate, open_run
from vitcross.config_checks import ConfigError, pair
from vitcross.training.lengths import to_steps


def build_data(config):
    """`vitcross.data.image_data.ImageData` of a validated configuration; prepares the data where that is needed."""
    return instantiate(config["data"])


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
        "warmup_steps": 0 if total == 1 else to_steps(config["optimizer"]["warmup"], name="optimizer.warmup", **known),
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
    import keras

    from vitcross.training import device
    from vitcross.training.checkpoint import Checkpoints
    from vitcross.training.guards import updates
    from vitcross.training.optimizer import parameter_groups, parameter_table
    from vitcross.training.trainer import Trainer

    settings = config["trainer"]
    device_name, is_accelerator = device.describe_device()
    jit_compile = device.choose_jit_compile(settings["jit_compile"], is_accelerator)
    print(f"device      {device_name}, {settings['dtype_policy']}, XLA {'on' if jit_compile else 'off'}", flush=True)
    data = build_data(config)
    config = with_data(config, data)
    check_first_batches(data, config["seed"])
    # After the data: preparing it for the first time draws from the global random state.
    keras.utils.set_random_seed(config["seed"])
    with device.precision(settings["dtype_policy"]):
        network = instantiate(config["model"])
        task = instantiate(config["task"], network=network, class_weights=data.class_weights)
    steps = lengths(config, num_examples=len(data.train))
    total_steps, warmup_steps = steps["total_steps"], steps.pop("warmup_steps")
    make_optimizer = instantiate({key: value for key, value in config["optimizer"].items() if key != "warmup"})
    optimizer = make_optimizer(model=network, total_steps=total_steps, warmup_steps=warmup_steps)
    print(parameter_table(parameter_groups(network)), flush=True)
    checkpoints = Checkpoints(Path(folder) / "checkpoints", monitor=task.monitor, mode=task.monitor_mode)
    sink, places = build_sinks(config, name=name, folder=folder, total_steps=total_steps, num_examples=len(data.train))
    try:
        trainer = Trainer(
            task=task,
            optimizer=optimizer,
            batches=data.train_batches(seed=config["seed"]),
            validation_batches=lambda: data.evaluation_batches("validation"),
            **steps,
            batch_size=data.batch_size,
            checkpoints=checkpoints,
            sink=sink,
            callbacks=build_attention_maps(config, network, data, sink, total_steps, lambda: updates(optimizer)),
            stop_on_signal=stop_on_signal,
            jit_compile=jit_compile,
            class_names=data.class_names,
            started=started,
        )
    except BaseException as error:
        sink.close({"state": f"failed before training: {type(error).__name__}: {error}", **places}, 1)
        raise
    return {"trainer": trainer, "sink": sink, "places": places, "unreadable": data.unreadable}


def build_sinks(config, *, name, folder, total_steps, num_examples):
    """`(sink, places)`: where a run reports to, and for its last words where to look."""
    from vitcross.sinks.console import Console
    from vitcross.sinks.gallery import Gallery
    from vitcross.sinks.local_files import LocalFiles
    from vitcross.sinks.sink import FanOut
    from vitcross.sinks.weights_and_biases import WeightsAndBiases

    settings = config["sinks"]
    console = Console(total_steps=total_steps, **settings["console"])
    # The files come first, the gallery reads them; the console has the last word.
    megabytes = config["attention_maps"]["record_megabytes"]
    files = LocalFiles(run_folder=folder, config_text=as_yaml(config), record_megabytes=megabytes)
    gallery = Gallery(folder, title=f"{name} {Path(folder).name}", colour_map=config["attention_maps"]["colour_map"])
    group = wandb_group(settings["wandb"]["group"], folder)
    wandb = WeightsAndBiases(
        run_folder=folder, config=config, report=console.line, **settings["wandb"] | {"group": group}
    )
    places = {"run_folder": str(folder), "gallery": str(gallery.path), "wandb_url": wandb.url}
    console.begin()
    steps_per_epoch = num_examples / config["data"]["batch_size"]
    return FanOut([files, gallery, wandb, console], report=console.line, steps_per_epoch=steps_per_epoch), places


def wandb_group(chosen, folder):
    """What a run and its evaluations have in common in W&B: the last parts of its folder where no group was chosen."""
    return chosen or os.environ.get("WANDB_RUN_GROUP") or "/".join(Path(folder).resolve().parts[-2:])


def check_first_batches(data, seed):
    """Raises ValueError unless the first batch of training and of validation keep the contract (`data/batch.py`)."""
    from vitcross.data.batch import check_batch

    for batches in (data.train_batches(seed=seed), data.evaluation_batches("validation")):
        try:
            first = next(iter(batches))
        except Exception as error:
            raise data.unreadable.behind(error) from None
        check_batch(first, image_shape=data.image_shape, num_classes=data.num_classes)


def with_data(config, data):
    """The configuration with what only the data knows, as `config.yaml` keeps it.

    Raises:
        ConfigError: a key of the model that the data decides was typed with another value.
    """
    height, width, channels = data.image_shape
    found = {"num_classes": data.num_classes, "image_size": [height, width]}
    for key, value in {**found, "in_channels": channels}.items():
        typed = config["model"][key]
        if typed is not None and (pair(typed) != pair(value) if key == "image_size" else typed != value):
            raise ConfigError(f"model.{key} must be that of the data, {value}. Received: {typed}")
    return config | {
        "data": config["data"] | found | {"channels": channels},
        "model": config["model"] | found | {"in_channels": channels},
    }


def build_attention_maps(config, network, data, sink, total_steps, step):
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
            step=step,
            class_names=data.class_names,
            grounding_batch=data.examples("validation", measured) if has_boxes else None,
            style=Style(**{key: settings[key] for key in ("opacity", "colour_map", "resampling", "panel_size")}),
        )
    ]


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

    jit_compile = device.choose_jit_compile(config["trainer"]["jit_compile"], device.describe_device()[1])
    with device.precision(config["trainer"]["dtype_policy"]):
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
    # An evaluation belongs to its run: what is not typed is taken from there, also that nothing is to be uploaded.
    settings = {key: of_run[key] if value is None or value == [] else value for key, value in settings.items()}
    what = "pictures" if config["images"] is not None else config["split"]
    filled = {
        "group": wandb_group(settings["group"], folder),
        "name": f"{'/'.join(Path(folder).resolve().parts[-2:])} {what}",
    }
    wandb = WeightsAndBiases(
        run_folder=folder,
        config={"evaluation": config, **run_config},
        job_type="evaluation",
        **settings | filled,
    )
    if config["images"] is not None and wandb.mode == "online":
        print(f"Weights & Biases: these pictures, with their maps, will be uploaded to {wandb.url}", flush=True)
    return FanOut([wandb])
