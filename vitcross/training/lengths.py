"""Lengths of a run in one place: `1000`, `"1000 steps"`, `"20 epochs"`, `"50000 examples"`, `"5 percent"` to steps."""

import re

_LENGTH = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(steps?|epochs?|examples?|percent|%)?\s*")


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
