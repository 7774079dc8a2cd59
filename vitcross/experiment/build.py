"""Builds an experiment from a validated configuration: the one place that connects all packages.

TensorFlow is imported only when something is built. Training receives its callbacks, and callbacks receive their sinks.
"""

import functools

from vitcross import metric_keys
from vitcross.config.compatibility import fill_from_dataset
from vitcross.config.compose import TOKENIZER
from vitcross.config.durations import Durations, with_epochs
from vitcross.data.summary import data_rows
from vitcross.experiment import data_contents
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
from vitcross.experiment.run_folder import config_text
from vitcross.sinks.weights_and_biases.environment import wandb_group
from vitcross.terminal import printable_rows


def build_training(command, *, stop_on_signal, started):
    """Put a run together: the arguments of `vitcross.training.run.train_and_close`.

    Args:
        command: `vitcross.experiment.run_folder.Command`.
        stop_on_signal: `vitcross.training.guards.StopOnSignal`, entered.
        started: `time.perf_counter()` at the start of the process.
    """
    import keras

    from vitcross.training.trainer import Trainer

    jit_compile = set_up_device(command.settings["trainer"], command.folder)
    data, settings = open_data(command)
    durations = Durations.in_steps(settings, num_examples=len(data.train))
    print(printable_rows(data_rows(data, total_steps=durations.total_steps)), flush=True)
    # After the data: preparing it for the first time draws from the global random state.
    keras.utils.set_random_seed(settings["seed"])
    task = build_task(settings, **task_arguments(data))
    optimizer = build_optimizer(settings, task.network, durations)
    checkpoints = build_checkpoints(settings, command.folder, task, optimizer)
    found, resume_from = find_checkpoint(checkpoints, command.folder) if command.resume else (None, None)
    check_or_initialize(settings, task.network, optimizer, found, data.class_names)
    sink, output_locations = build_sinks(settings, command, durations, resume_from)
    try:
        trainer = Trainer(
            trainer_settings(settings, durations, data, jit_compile=jit_compile, started=started),
            task=task,
            optimizer=optimizer,
            batches=functools.partial(data.train_batches, seed=settings["seed"]),
            validation_splits=validation_splits(data),
            checkpoints=checkpoints,
            sink=sink,
            callbacks=build_attention_maps(settings, command, durations.total_steps, task, optimizer, data, sink),
            stop_on_signal=stop_on_signal,
        )
        if found is not None:
            trainer.load(found)
    except BaseException as error:
        sink.close({"state": f"failed before training: {type(error).__name__}: {error}", **output_locations}, 1)
        raise
    return {"trainer": trainer, "sink": sink, "output_locations": output_locations, "unreadable": data.unreadable}


def open_data(command):
    """`(data, settings)`: the data of a run, and its configuration with what only the data knows. Its tokenizer is kept
    in the run folder, and a resumed run takes it from there."""
    settings, tokenizer = command.settings, command.folder / TOKENIZER
    if command.resume:
        settings = settings | {"data": settings["data"] | {"num_classes": None}}  # the classes themselves are compared
    data = build_data(with_own_tokenizer(settings, tokenizer) if command.resume else settings)
    contents = data_contents.check(command.folder, data, allow_changes=settings["allow_changes"])
    settings = with_epochs(fill_from_dataset(settings, dataset_properties(data)), num_examples=len(data.train))
    data_contents.keep(command.folder, contents)
    if data.tokenizer is not None:
        data.tokenizer.save(tokenizer)
    check_first_batches(data, settings["seed"])
    return data, settings


def build_checkpoints(settings, folder, task, optimizer):
    """The checkpoints of a run, the best of which the task's metric decides."""
    from vitcross.training.checkpoints import Checkpoints

    return Checkpoints(
        folder / "checkpoints",
        monitor=task.monitor + (optimizer.metric_suffix or ""),
        mode=metric_keys.mode(metric_keys.val(task.monitor)),
        keep=settings["trainer"]["keep_checkpoints"],
    )


def check_or_initialize(settings, network, optimizer, found, class_names):
    """Check that the checkpoint `found` fits, before anything of the run folder changes; without one take the weights
    of `init_from`, where it was typed."""
    from vitcross.training.checkpoint import check_fits

    if found is not None:
        check_fits(network, optimizer, found)
    elif settings["init_from"] is not None:
        initialize_from(settings["init_from"], network, class_names)
        optimizer.start_average()


def trainer_settings(settings, durations, data, *, jit_compile, started):
    """`vitcross.training.trainer.TrainerSettings` of a configuration whose durations are known in steps."""
    from vitcross.training.trainer import TrainerSettings

    return TrainerSettings(
        total_steps=durations.total_steps,
        **durations.trainer,
        checkpoint_minutes=settings["trainer"]["checkpoint_minutes"],
        accumulate_steps=settings["trainer"]["accumulate_steps"],
        batch_size=data.batch_size,
        class_names=data.class_names,
        jit_compile=jit_compile,
        started=started,
    )


def build_sinks(settings, command, durations, resume_from=None):
    """`(sink, output_locations)`: where a run reports to, and where its results can be found.

    Args:
        settings: dict, the configuration, filled in by the data.
        command: `vitcross.experiment.run_folder.Command`.
        durations: `vitcross.config.durations.Durations`.
        resume_from: `(step, rows)` of a run that is resumed, else None.
    """
    from vitcross.sinks.console import Console
    from vitcross.sinks.gallery.sink import Gallery
    from vitcross.sinks.local_files import LocalFiles
    from vitcross.sinks.sink import FanOut
    from vitcross.sinks.weights_and_biases.sink import WeightsAndBiases

    folder, of_wandb = command.folder, settings["sinks"]["wandb"]
    console = Console(total_steps=durations.total_steps, **settings["sinks"]["console"])
    # Local files come first since the gallery reads them; the console comes last.
    files = LocalFiles(
        run_folder=folder,
        config_text=config_text(folder, settings),
        record_megabytes=settings["attention_maps"]["record_megabytes"],
        resume_from=resume_from,
    )
    gallery = Gallery(folder, title=f"{command.name} {folder.name}")
    wandb = WeightsAndBiases(
        run_folder=folder,
        config=settings,
        report=console.line,
        resume=resume_from is not None,
        captures=len(steps_of_captures(settings, durations.total_steps)),
        **of_wandb | {"group": wandb_group(of_wandb["group"], folder)},
    )
    console.begin()
    sink = FanOut(
        [files, gallery, wandb, console],
        report=console.line,
        steps_per_epoch=durations.steps_per_epoch,
        rows=resume_from[1] if resume_from else 0,
    )
    return sink, {"run_folder": str(folder), "gallery": str(gallery.path), "wandb_url": wandb.url}
