"""Prepares and inspects what wandb depends on: environment variables, mode, upload command, its log and its errors.

It does not import wandb.
"""

import contextlib
import json
import os
import shlex
from pathlib import Path

LOG = Path("logs") / "debug-internal.log"
# The components of wandb whose errors mean that the server lacks a part of the run; a retry is not logged as an error.
UPLOADERS = ("filestream: ", "file transfer: ", "runfiles: ", "runupserter: ")
# The error of Go's JSON decoder for an HTML page.
NO_JSON = "invalid character '<'"


@contextlib.contextmanager
def files_in(folder, base_url=None):
    """Context manager whose environment variables keep all files of wandb in a folder.

    Args:
        folder: path, e.g. the run folder's `wandb/`, created when needed.
        base_url: str or None, address of a server for tools that read it only from the environment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {
        # Tables, artifacts and the background process's log would go to the home folder.
        "WANDB_DATA_DIR": str(folder / "data"),
        "WANDB_CACHE_DIR": str(folder / "cache"),
        "WANDB_ARTIFACT_DIR": str(folder / "artifacts"),
        # The user decides whether crash reports go to a third party.
        "WANDB_ERROR_REPORTING": os.environ.get("WANDB_ERROR_REPORTING", "false"),
    }
    wanted |= {"WANDB_BASE_URL": base_url} if base_url else {}
    before = {key: os.environ[key] for key in wanted if key in os.environ}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for key in wanted:
            os.environ.pop(key, None)
        os.environ.update(before)


def effective_mode(mode, settings, has_credentials):
    """The mode to use and the reason: ("online" | "offline" | "disabled", str).

    Args:
        mode: str, the configured one: one of these, or "auto".
        settings: wandb's own settings, with `mode` and `base_url`.
        has_credentials: callable of a server's address, returns bool; it may raise for an invalid key.
    """
    if mode == "offline":
        return "offline", "as configured"
    if mode == "auto" and settings.mode in ("disabled", "offline", "dryrun"):
        return ("disabled" if settings.mode == "disabled" else "offline"), f"W&B's own settings say {settings.mode}"
    try:
        if has_credentials(settings.base_url):
            return "online", ""
        return "offline", "no API key is configured for " + settings.base_url + " (`wandb login` stores one)"
    except Exception as error:
        return "offline", f"the configured API key cannot be used ({one_line(error)})"


def sync_command(folders, *, online, base_url=None):
    """The shell command that uploads a run.

    Args:
        folders: list of path, the run's folders below `wandb/`: one, and one more for each time it was resumed.
        online: bool, whether one of them was started online.
        base_url: str or None, address of the user's own server.
    """
    near = [os.path.relpath(folder) for folder in folders]
    places = [str(folder) if n.startswith("..") else n for folder, n in zip(folders, near, strict=True)]
    server = f"WANDB_BASE_URL={shlex.quote(base_url)} " if base_url else ""
    # Without the option wandb skips runs that were started online, even if they are named.
    option = "--include-online " if online else ""
    return f"{server}wandb sync {option}{shlex.join(places)}"


def one_line(error):
    """The message of a wandb error in one line."""
    # wandb recommends a call that users of this program do not make.
    text = str(error).split("Consider increasing the init_timeout")[0]
    text = " ".join(text.split()).rstrip(".")
    if text in ("", "<no message>"):  # the message of wandb for a 401, 403 or 404
        return f"{type(error).__name__} without a message: does the API key belong to this server?"
    return _readable(text)


def wandb_group(chosen, folder):
    """The W&B group of a run and its evaluations: the chosen one or the last two parts of the run folder."""
    return chosen or os.environ.get("WANDB_RUN_GROUP") or "/".join(Path(folder).resolve().parts[-2:])


def upload_problem(folder):
    """Why the server lacks a part of a run, str; None if nothing is known to be missing.

    The log of wandb's background process is the only source: `run.finish()` reports no error if the server answers 401,
    403 or something that is not JSON (wandb 0.31).

    Args:
        folder: path, the run's own folder below `wandb/`.
    """
    try:
        lines = (Path(folder) / LOG).read_text(errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        entry = _entry(line)
        if str(entry.get("level", "")).startswith("ERROR") and str(entry.get("msg", "")).startswith(UPLOADERS):
            message = entry["msg"].partition(": ")[2]
            return _readable(f"{message}: {entry['error']}" if "error" in entry else message)
    return None


def _readable(text):
    return "its answers are not those of W&B" if NO_JSON in text else text.strip()


def _entry(line):
    try:
        entry = json.loads(line)
    except ValueError:  # the last line may be incomplete
        return {}
    return entry if isinstance(entry, dict) else {}
