"""Compares two runs side by side in the viewer, from their captures alone: no model is loaded."""

from __future__ import annotations

import re
from pathlib import Path

from vitcross.attention_maps.records.run_captures import run_captures
from vitcross.attention_maps.viewer import write_viewer


def captures_of(run_folder) -> list:
    """The records of all captures of a run, oldest first.

    Raises:
        ValueError: where the run has none, or one cannot be read.
    """
    records = list(run_captures(Path(run_folder) / "attention", skip_unreadable=False))
    if not records:
        raise ValueError(
            f"a run to compare must have captures, attention/step_*/record.npz (attention_maps=off makes none). "
            f"Received: {run_folder}"
        )
    return records


def compare_runs(first, second, *, color_map: str = "viridis") -> Path:
    """Write `FIRST/attention/compare_<second>.html`, the captures of two runs side by side.

    Args:
        first, second: run folders whose captures show some images in common: the same data and `seed`.

    Returns:
        path of the page.

    Raises:
        ValueError: no captures, or no image in common.
    """
    names = run_names(first, second)
    path = Path(first) / "attention" / f"compare_{re.sub(r'[^A-Za-z0-9_.-]+', '_', names[1])}.html"
    write_viewer(captures_of(first), path, compare=captures_of(second), names=names, color_map=color_map)
    return path


def run_names(first, second) -> tuple[str, str]:
    """Names that distinguish two run folders: those of the folders, with as many parents as necessary."""
    parts = [Path(folder).resolve().parts for folder in (first, second)]
    for count in range(1, max(map(len, parts)) + 1):
        names = tuple("/".join(p[-count:]) for p in parts)
        if names[0] != names[1]:
            break
    return names
