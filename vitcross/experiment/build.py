"""From a validated configuration to an experiment: the one place that puts the rooms together, and imports them all.

TensorFlow is imported when something is built, not before. Nobody reaches forward: training receives its callbacks,
callbacks receive their sinks.
"""

import functools
from pathlib import Path

from vitcross import metric_keys
from vitcross.config.compatibility import fill_from_dataset
from vitcross.config.compose import TOKENIZER, as_yaml
from vitcross.config.durations import durations
from vitcross.experiment.attention_maps import build_attention_maps, steps_of_captures
from vitcross.experiment.init_from import initialize_from
from vitcross.experiment.parts import (
    build_data,
    build_optimizer,
    build_task,
    check_first_batches,
    dataset_properties,
    set_up_device,
    task_arguments,
    validation_splits,
)
from vitcross.experiment.resume import find_checkpoint, with_own_tokenizer
from vitcross.sinks.weights_and_biases.environment import wandb_group


def build_training(config, *, name, folder, stop_on_signal, started, resume=False):
    """Put a run together: the arguments of `vitcross.training.run.train_and_close`.

    Args:
        config: dict, validated.
        name: str, what the run is called.
        folder: the run folder.
        stop_on_signal: `vitcross.training.guards.StopOnSignal`, entered.
        started: `time.perf_counter()` at the start of the process.
        resume: whether the run in `folder` goes on from its newest checkpoint.
    """
    import keras

    from vitcross.training.checkpoint import check_fits
    from vitcross.training.checkpoints import Checkpoints
    from vitcross.training.guards import optimizer_step
    from vitcross.training.trainer import Trainer

    settings = config["trainer"]
    jit_compile = set_up_device(settings, folder)
    data, config = open_data(config, folder, resume)
    # After the data: preparing it for the first time draws from the global random state.
    keras.utils.set_random_seed(config["seed"])
    task = build_task(config, **task_arguments(data))
    steps, optimizer_steps = durations(config, num_examples=len(data.train))
    total_steps = steps["total_steps"]
    optimizer = build_optimizer(config, task.network, total_steps=total_steps, **optimizer_steps)
    checkpoints = Checkpoints(
        Path(folder) / "checkpoints",
        monitor=task.monitor + (optimizer.metric_suffix or ""),
        mode=metric_keys.mode(metric_keys.val(task.monitor)),
        keep=settings["keep_checkpoints"],
    )
    found, resume_from = find_checkpoint(checkpoints, folder) if resume else (None, None)
    if found is not None:
        check_fits(task.network, optimizer, found)  # before anything of the folder changes
    elif config.get("init_from") is not None:
        initialize_from(config["init_from"], task.network, data.class_names)
        optimizer.start_average()
    sink, output_locations = build_sinks(
        config,
        name=name,
        folder=folder,
        total_steps=total_steps,
        num_examples=len(data.train),
        resume_from=resume_from,
    )
    try:
        trainer = Trainer(
            task=task,
            optimizer=optimizer,
            batches=functools.partial(data.train_batches, seed=config["seed"]),
            validation_splits=validation_splits(data),
            patience=steps.pop("early_stopping"),
            **steps,
            accumulate_steps=settings["accumulate_steps"],
            batch_size=data.batch_size,
            checkpoints=checkpoints,
            sink=sink,
            checkpoint_minutes=settings["checkpoint_minutes"],
            callbacks=build_attention_maps(
                config, task, data, sink, total_steps, lambda: optimizer_step(optimizer), name, folder=folder
            ),
            stop_on_signal=stop_on_signal,
            jit_compile=jit_compile,
            class_names=data.class_names,
            started=started,
        )
        if found is not None:
            trainer.load(found)
    except BaseException as error:
        sink.close({"state": f"failed before training: {type(error).__name__}: {error}", **output_locations}, 1)
        raise
    return {"trainer": trainer, "sink": sink, "output_locations": output_locations, "unreadable": data.unreadable}


def open_data(config, folder, resume):
    """`(data, config)`: the data of a run, and its configuration with what only the data knows; its words are kept in
    the run folder, and those of a run that goes on are taken from there."""
    data = build_data(config if not resume else with_own_tokenizer(config, Path(folder) / TOKENIZER))
    config = fill_from_dataset(config, dataset_properties(data))
    if data.tokenizer is not None:
        data.tokenizer.save(Path(folder) / TOKENIZER)
    check_first_batches(data, config["seed"])
    return data, config


def build_sinks(config, *, name, folder, total_steps, num_examples, resume_from=None):
    """`(sink, output_locations)`: where a run reports to, and where its results can be found; `resume_from`:
    `(step, rows)` of a run that is resumed."""
    from vitcross.sinks.console import Console
    from vitcross.sinks.gallery.sink import Gallery
    from vitcross.sinks.local_files import LocalFiles
    from vitcross.sinks.sink import FanOut
    from vitcross.sinks.weights_and_biases.sink import WeightsAndBiases

    settings = config["sinks"]
    console = Console(total_steps=total_steps, **settings["console"])
    # The files come first, the gallery reads them; the console has the last word.
    megabytes = config["attention_maps"]["record_megabytes"]
    files = LocalFiles(
        run_folder=folder, config_text=as_yaml(config), record_megabytes=megabytes, resume_from=resume_from
    )
    gallery = Gallery(folder, title=f"{name} {Path(folder).name}", color_map=config["attention_maps"]["color_map"])
    group = wandb_group(settings["wandb"]["group"], folder)
    wandb = WeightsAndBiases(
        run_folder=folder,
        config=config,
        report=console.line,
        resume=resume_from is not None,
        captures=len(steps_of_captures(config, total_steps)),
        **settings["wandb"] | {"group": group},
    )
    output_locations = {"run_folder": str(folder), "gallery": str(gallery.path), "wandb_url": wandb.url}
    console.begin()
    steps_per_epoch = num_examples / config["data"]["batch_size"]
    sinks = [files, gallery, wandb, console]
    rows = resume_from[1] if resume_from else 0
    return FanOut(sinks, report=console.line, steps_per_epoch=steps_per_epoch, rows=rows), output_locations
