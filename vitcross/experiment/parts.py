"""Builds the parts of an experiment from its configuration: data, task, optimizer, device. TensorFlow is imported when
something is built.
"""

import functools

from vitcross.config.compose import accepted_arguments, instantiate
from vitcross.config.durations import OPTIMIZER_DURATIONS
from vitcross.experiment import run_folder


def build_data(config):
    """`vitcross.data.image_data.ImageData` of a validated configuration; prepares the data where that is needed."""
    return instantiate(config["data"])


def task_arguments(data):
    """What the data gives to tasks that take it."""
    references = data.references("validation")
    return {
        "tokenizer": data.tokenizer,
        "class_weights": data.class_weights,
        "has_scenes": references is not None and references.scene(0) is not None,
    }


def set_up_device(settings, folder):
    """Choose how the device computes, and say it; returns whether XLA compiles the step. Comes before anything is
    computed."""
    from vitcross.training import device

    name, is_accelerator = device.describe_device()
    deterministic = device.choose_deterministic(settings["deterministic"], is_accelerator)
    jit_compile = device.choose_jit_compile(settings["jit_compile"], is_accelerator, deterministic)
    if deterministic:
        device.make_deterministic(is_accelerator, run_folder.num_threads(folder))
    bits = "the same bits in every run" if deterministic else "bits may differ from run to run"
    xla = "on" if jit_compile else "off"
    print(f"device      {name}, {settings['dtype_policy']}, XLA {xla}, {bits}", flush=True)
    return jit_compile


def build_optimizer(config, network, durations):
    """The optimizer of a network, and on the console the rule that covers each of its parameters.

    Args:
        config: dict, the configuration.
        network: built `keras.Model`.
        durations: `vitcross.config.durations.Durations`.
    """
    from vitcross.training.parameter_groups import parameter_groups, parameter_table

    settings = config["optimizer"]
    make_optimizer = instantiate({key: value for key, value in settings.items() if key not in OPTIMIZER_DURATIONS})
    optimizer = make_optimizer(model=network, total_steps=durations.total_steps, **durations.optimizer)
    print(parameter_table(parameter_groups(network, settings["layer_decay"])), flush=True)
    return optimizer


def check_first_batches(data, seed):
    """Raises ValueError unless the first batch of training and of validation keep the contract (`data/batch.py`)."""
    from vitcross.data.batch import check_batch

    for batches in (data.train_batches(seed=seed), data.evaluation_batches("validation")):
        try:
            first = next(iter(batches))
        except Exception as error:
            raise data.unreadable.root_cause(error) from None
        check_batch(first, image_shape=data.image_shape, num_classes=data.num_classes, multilabel=data.multilabel)


def dataset_properties(data):
    """What only the data knows of a model and of itself, by the key under which it is configured."""
    height, width, channels = data.image_shape
    facts = {"image_size": [height, width], "channels": channels, "in_channels": channels}
    if data.options.value_range is not None:
        facts["value_range"] = list(data.options.value_range)
    facts["multilabel"] = data.multilabel
    if data.num_classes:
        facts |= {"num_classes": data.num_classes, "num_answers": data.num_classes}
    if data.tokenizer is not None:
        facts |= {"vocabulary_size": data.tokenizer.vocabulary_size, "max_length": data.max_text_length}
    return facts


def build_task(config, **offered):
    """The task with a new network, in the precision of the configuration.

    Args:
        config: dict, validated, filled in by the data (`dataset_properties`).
        **offered: what the data gives to tasks that take it: `tokenizer`, `class_weights`, `has_scenes`.
    """
    from vitcross.training import device

    with device.precision(config["trainer"]["dtype_policy"]):
        network = instantiate(config["model"])
        return instantiate(config["task"], network=network, **accepted_arguments(config["task"], offered))


def validation_splits(data):
    """The splits that are evaluated while a model trains, `validation` first."""
    from vitcross.training.callbacks import EvaluationSplit

    return [
        EvaluationSplit(
            name=split, batches=functools.partial(data.evaluation_batches, split), references=data.references(split)
        )
        for split in data.evaluation_splits
    ]
