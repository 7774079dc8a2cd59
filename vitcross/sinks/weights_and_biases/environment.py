"""What stands between a run and Weights & Biases: environment variables, mode, the command that uploads, messages.

It imports no wandb.
"""

import os
import shlex
from pathlib import Path

from vitcross.sinks.weights_and_biases.upload_log import readable


class RunEnvironment:
    """Keeps all that wandb writes below a run's own folder. Outside `enter` and `restore` nothing is changed."""

    def __init__(self):
        self._before = {}

    def enter(self, folder, base_url=None):
        """Set the variables.

        Args:
            folder: path, e.g. the run folder's `wandb/`, made when needed.
            base_url: str or None, address of a server for tools that take it from the environment alone.
        """
        folder.mkdir(parents=True, exist_ok=True)
        wanted = {
            # Tables, artifacts and the background process's log would go to the home folder, and be lost with it.
            "WANDB_DATA_DIR": str(folder / "data"),
            "WANDB_CACHE_DIR": str(folder / "cache"),
            "WANDB_ARTIFACT_DIR": str(folder / "artifacts"),
            # Crash reports to a third party are for the user to turn on.
            "WANDB_ERROR_REPORTING": os.environ.get("WANDB_ERROR_REPORTING", "false"),
        }
        wanted |= {"WANDB_BASE_URL": base_url} if base_url else {}
        self._before = {key: os.environ.get(key) for key in wanted}
        os.environ.update(wanted)

    def restore(self):
        """Give everything back. A second call does nothing."""
        for key, value in self._before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
        self._before = {}


def effective_mode(mode, settings, has_credentials):
    """What to do and why: ("online" | "offline" | "disabled", reason).

    Args:
        mode: str, what was asked for: one of these, or "auto".
        settings: wandb's own, with `mode` and `base_url`.
        has_credentials: callable of a server's address -> bool; it may raise for a key that cannot be one.
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
    """The command that uploads a run, ready for a shell.

    Args:
        folders: list of path, the run's own files below `wandb/`: one, and one more for each time it was resumed.
        online: bool, whether one of them was begun online.
        base_url: str or None, address of an own server.
    """
    near = [os.path.relpath(folder) for folder in folders]
    places = [str(folder) if n.startswith("..") else n for folder, n in zip(folders, near, strict=True)]
    server = f"WANDB_BASE_URL={shlex.quote(base_url)} " if base_url else ""
    # Without the option wandb skips a run that was begun online, even one that is named.
    option = "--include-online " if online else ""
    return f"{server}wandb sync {option}{shlex.join(places)}"


def one_line(error):
    """What an error of wandb says, in one line."""
    # wandb's own advice names a call that the user of this program does not make.
    text = str(error).split("Consider increasing the init_timeout")[0]
    text = " ".join(text.split()).rstrip(".")
    if text in ("", "<no message>"):  # what wandb makes of a 401, 403 or 404
        return f"{type(error).__name__} without a message: does the API key belong to this server?"
    return readable(text)


def wandb_group(chosen, folder):
    """What a run and its evaluations have in common in W&B: the last parts of its folder where no group was chosen."""
    return chosen or os.environ.get("WANDB_RUN_GROUP") or "/".join(Path(folder).resolve().parts[-2:])
