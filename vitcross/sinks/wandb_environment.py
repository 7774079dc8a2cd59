"""What Weights & Biases reads from the environment, set for the time of one run and given back after it."""

import os


class RunEnvironment:
    """Keeps all that wandb writes below a run's own folder. Outside `enter` and `restore` nothing is changed."""

    def __init__(self):
        self._before = {}

    def enter(self, folder):
        """Set the variables; `folder`: path, the run folder's `wandb/`, made when needed."""
        folder.mkdir(parents=True, exist_ok=True)
        wanted = {
            # Tables, artifacts and the background process's log would go to the home folder, and be lost with it.
            "WANDB_DATA_DIR": str(folder / "data"),
            "WANDB_CACHE_DIR": str(folder / "cache"),
            "WANDB_ARTIFACT_DIR": str(folder / "artifacts"),
            # Crash reports to a third party are for the user to turn on.
            "WANDB_ERROR_REPORTING": os.environ.get("WANDB_ERROR_REPORTING", "false"),
        }
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
