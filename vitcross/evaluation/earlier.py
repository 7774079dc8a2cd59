"""Keeps earlier results of a split where new ones of another checkpoint or other settings take their place."""

import datetime
import json
import os
from pathlib import Path

from vitcross import atomic_files
from vitcross.experiment.run_folder import claim_folder

SETTINGS = "settings.json"


def make_room(folder, settings):
    """Make the folder of a split's results, with the settings that they are of.

    Results of equal settings are replaced: they would be the same. Others move to `earlier/<split>/<date>_<time>`,
    where the time is that of those results.

    Args:
        folder: path, `RUN_FOLDER/evaluation/<split>`.
        settings: dict, JSON-ready, what decides the results.

    Returns:
        path that the earlier results moved to, or None.
    """
    folder = Path(folder)
    text, moved = json.dumps(settings, indent=1), None
    if folder.is_dir() and _settings(folder) != text:
        written = datetime.datetime.fromtimestamp(folder.stat().st_mtime)
        moved = claim_folder(folder.parent / "earlier" / folder.name, now=written)
        os.replace(folder, moved)
    atomic_files.write_text(folder / SETTINGS, text)
    return moved


def _settings(folder):
    try:
        return (folder / SETTINGS).read_text()
    except (OSError, UnicodeDecodeError):  # results that were never finished, or of somebody else
        return None
