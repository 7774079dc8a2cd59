"""Chooses the steps of captures: denser early in training, when attention changes most."""

from __future__ import annotations

# Captures lie at total * (i / n) ** POWER: with 10 captures in 1000 steps 0, 11, 45, 102, 181, ... 1000.
POWER = 2.0


def capture_steps(total_steps: int, captures: int = 10, every: int | None = None) -> tuple[int, ...]:
    """The optimizer steps at which attention is captured.

    Args:
        total_steps: int >= 0, length of the run.
        captures: int >= 1, how many; they include step 0 (before training) and the last step, which a single capture
            is at. Fewer where the run has fewer steps.
        every: int >= 1 or None; a fixed distance in steps instead of `captures`, first and last step included.

    Returns:
        tuple of distinct ints, ascending.
    """
    for name, value, least in (("total_steps", total_steps, 0), ("captures", captures, 1), ("every", every, 1)):
        if value is not None and value < least:
            raise ValueError(f"`{name}` must be >= {least}. Received: {name}={value}")
    if every is not None:
        return tuple(sorted({*range(0, total_steps, every), total_steps}))
    if captures == 1:
        return (total_steps,)
    gaps = captures - 1
    return tuple(sorted({round(total_steps * (i / gaps) ** POWER) for i in range(captures)}))


def trust_steps(steps, trust_captures: int) -> tuple[int, ...]:
    """The steps of captures at which trust is measured: `trust_captures` of them, evenly chosen, including the first
    and the last (only the last where it is one)."""
    if trust_captures < 0:
        raise ValueError(f"`trust_captures` must be >= 0. Received: trust_captures={trust_captures}")
    steps = sorted(steps)
    if trust_captures >= len(steps):
        return tuple(steps)
    if trust_captures <= 1:
        return tuple(steps[len(steps) - trust_captures :])
    gaps = trust_captures - 1
    return tuple(steps[round(i * (len(steps) - 1) / gaps)] for i in range(trust_captures))
