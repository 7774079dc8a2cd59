"""Checks the durations of a run as they are typed, and converts them into steps once the size of the data is known."""

import dataclasses
import re

from vitcross.config.compatibility import ConfigError

TRAINER_DURATIONS = ("evaluate_every", "log_every", "checkpoint_every", "early_stopping")
OPTIMIZER_DURATIONS = ("warmup", "cooldown", "timescale", "ema")
AUTO = "auto"  # of trainer.epochs
_LENGTH = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(steps?|epochs?|examples?|percent|%)?\s*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Durations:
    """All durations of a run in steps; None where there is no such duration.

    Args:
        total_steps: int, of the run.
        steps_per_epoch: float.
        trainer: dict with each of `TRAINER_DURATIONS`.
        optimizer: dict with `<duration>_steps` of each of `OPTIMIZER_DURATIONS` that the optimizer has.
    """

    total_steps: int
    steps_per_epoch: float
    trainer: dict
    optimizer: dict

    @classmethod
    def in_steps(cls, config, num_examples):
        """Those of a validated configuration, for a training split of `num_examples`."""
        trainer, optimizer, batch_size = config["trainer"], config["optimizer"], config["data"]["batch_size"]
        known = {"batch_size": batch_size, "num_examples": num_examples}
        unit = "steps" if trainer["steps"] is not None else "epochs"
        total = to_steps(trainer[unit], unit=unit, name=f"trainer.{unit}", **known)
        known["total_steps"] = total
        of_trainer = {key: _steps("trainer", trainer, key, known) for key in TRAINER_DURATIONS}
        of_trainer["evaluate_every"] = min(total, of_trainer["evaluate_every"])
        keys = [key for key in OPTIMIZER_DURATIONS if key in optimizer]
        of_optimizer = {f"{key}_steps": _steps("optimizer", optimizer, key, known) for key in keys}
        if total == 1:  # a share is rounded up to one step, which a run of one step does not have
            of_optimizer["warmup_steps"] = 0
        epoch = num_examples / batch_size
        return cls(total_steps=total, steps_per_epoch=epoch, trainer=of_trainer, optimizer=of_optimizer)


def with_epochs(config, num_examples):
    """The configuration with the number of epochs where `trainer.epochs` is `auto`, for a training split of
    `num_examples`: as many as make 1,200 steps, but 10 at least (much data) and 300 at most (little)."""
    if config["trainer"]["epochs"] != AUTO:
        return config
    epochs = min(300, max(10, round(1200 * config["data"]["batch_size"] / num_examples)))
    return config | {"trainer": config["trainer"] | {"epochs": epochs}}


def _steps(group, section, key, known):
    return None if section[key] is None else to_steps(section[key], name=f"{group}.{key}", **known)


def check_lengths(config):
    """Every length can be read and is positive, and those of the schedule fit into the run where its length is known.

    Raises:
        ConfigError
    """
    trainer, optimizer = config["trainer"], config["optimizer"]
    lengths = {key: trainer[key] for key in ("steps", "epochs")}
    if (lengths["steps"] is None) == (lengths["epochs"] is None):
        raise ConfigError(f"exactly one of trainer.steps and trainer.epochs must be set. Received: {lengths}")
    for key, value in lengths.items():
        if (key, value) != ("epochs", AUTO):
            _check(f"trainer.{key}", value, total_steps=None)
    for key in TRAINER_DURATIONS:
        _check(f"trainer.{key}", trainer[key])
    for key in OPTIMIZER_DURATIONS:
        _check(f"optimizer.{key}", optimizer.get(key), minimum=0 if key == "warmup" else 1)
    _check_schedule(config)


def _check(key, value, total_steps=1000, minimum=1):
    if value is None:
        return
    try:
        steps = to_steps(value, batch_size=1, num_examples=1000, total_steps=total_steps, name=key)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if steps < minimum:
        raise ConfigError(f"{key} must be positive. Received: {value}")


def _check_schedule(config):
    """Checks the schedule; what needs the size of the data is checked later (`vitcross.training.schedules`)."""
    optimizer, steps = config["optimizer"], config["trainer"]["steps"]
    schedule = optimizer.get("schedule")
    for key, owners in (("cooldown", ("wsd", "rsqrt")), ("timescale", ("rsqrt",))):
        if optimizer.get(key) is not None and schedule not in owners:
            raise ConfigError(
                f"optimizer.{key} belongs to optimizer.schedule={' or '.join(owners)}. "
                f"Received: optimizer.{key}={optimizer[key]}, optimizer.schedule={schedule}"
            )
    if schedule == "constant" and optimizer["final_share"]:
        raise ConfigError(
            f"optimizer.final_share must be 0 with optimizer.schedule=constant. Received: {optimizer['final_share']}"
        )
    warmup, cooldown = optimizer["warmup"], optimizer.get("cooldown")
    if steps is None or "epoch" in f"{warmup} {cooldown} {steps}":
        return
    known = {"batch_size": config["data"]["batch_size"], "num_examples": None}
    total = to_steps(steps, **known)
    parts = [0 if length is None else to_steps(length, total_steps=total, **known) for length in (warmup, cooldown)]
    if total > 1 and parts[0] >= total:
        raise ConfigError(f"optimizer.warmup must be shorter than the run. Received: {warmup} of {total} steps")
    if total > 1 and sum(parts) > total:
        raise ConfigError(
            f"optimizer.warmup and optimizer.cooldown must fit into the run. Received: {warmup} and {cooldown} "
            f"of {total} steps"
        )


def to_steps(length, *, batch_size, num_examples, total_steps=None, name="length", unit="steps"):
    """Number of optimizer steps of a length.

    Args:
        length: int or float in `unit`, or str with a unit: steps, epochs, examples, percent (of `total_steps`).
        batch_size: examples per step.
        num_examples: examples per epoch; None where it is not known, then "epochs" cannot be converted.
        total_steps: what percent refers to; None refuses it.
        name: the key, for the message.
        unit: what a bare number means.

    Returns:
        int, rounded to the nearest step; at least 1 for a positive length.

    Raises:
        ValueError: names the key, the rule and what was received.
    """
    match = _LENGTH.fullmatch(str(length))
    if match is None:
        raise ValueError(
            f'{name} must be a number, or a number with a unit (steps, epochs, examples, percent), e.g. "20 epochs". '
            f"Received: {name}={length}"
        )
    number, unit = float(match[1]), (match[2] or unit).rstrip("s")
    if unit in ("percent", "%"):
        if total_steps is None:
            raise ValueError(f"{name} cannot be in percent: it is what percent would refer to. Received: {length}")
        steps = number / 100 * total_steps
    elif unit == "step":
        steps = number
    else:
        examples = number if unit == "example" else number * num_examples
        steps = examples / batch_size
    return 0 if number == 0 else max(1, round(steps))
