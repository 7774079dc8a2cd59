"""What wandb's background process says of its uploads: the only place where it tells that one was refused for good.

`run.finish()` returns as if all were well where the server answers 401, 403 or a page that is no JSON (wandb 0.31). It
imports no wandb.
"""

import json
from pathlib import Path

LOG = Path("logs") / "debug-internal.log"
# Who writes that a part of a run is lost to the server; what is tried again is no error there.
UPLOADERS = ("filestream: ", "file transfer: ", "runfiles: ", "runupserter: ")
# What the JSON decoder of Go says of a web page, for people.
NO_JSON = "invalid character '<'"


def upload_problem(folder):
    """Why the server has not got all of a run so far, str; None where nothing is known to be missing.

    Args:
        folder: path, the run's own files below `wandb/`.
    """
    try:
        lines = (Path(folder) / LOG).read_text(errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        entry = _entry(line)
        if str(entry.get("level", "")).startswith("ERROR") and str(entry.get("msg", "")).startswith(UPLOADERS):
            said = entry["msg"].partition(": ")[2]
            return readable(f"{said}: {entry['error']}" if "error" in entry else said)
    return None


def readable(text):
    """An error of wandb's background process in words for people."""
    return "its answers are not those of W&B" if NO_JSON in text else text.strip()


def _entry(line):
    try:
        entry = json.loads(line)
    except ValueError:  # the last line, half written
        return {}
    return entry if isinstance(entry, dict) else {}
