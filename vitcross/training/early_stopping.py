"""Ends a run whose validation no longer improves."""

import keras

from vitcross import metric_keys
from vitcross.training.guards import optimizer_step


class EarlyStopping(keras.callbacks.Callback):
    """Ends `fit` after a validation if the monitored metric has not improved for `patience` steps.

    It comes after validation and before the checkpoint is written.

    Args:
        checkpoints: has `monitor` and `is_better(value, than)` (`vitcross.training.checkpoints.Checkpoints`).
        validation: `vitcross.training.callbacks.Validation`.
        patience: int, steps.
        report: callable of one str.
    """

    state_name = "early_stopping"

    def __init__(self, *, checkpoints, validation, patience, report=print):
        super().__init__()
        self.checkpoints, self.validation, self.patience = checkpoints, validation, patience
        self._report = report
        self._best, self._best_step, self._stopped = None, 0, False

    def state(self):
        return {"best": self._best, "best_step": self._best_step, "stopped": self._stopped}

    def load_state(self, state):
        self._best, self._best_step, self._stopped = state["best"], state["best_step"], state["stopped"]

    def on_train_begin(self, logs=None):
        # The run may have been killed after it had stopped and written its last checkpoint.
        self.model.stop_training = self.model.stop_training or self._stopped

    def on_epoch_end(self, epoch, logs=None):
        value, step = self.validation.latest[self.checkpoints.monitor], optimizer_step(self.model.optimizer)
        if self.checkpoints.is_better(value, self._best):
            self._best, self._best_step = value, step
        if self._best is None or step - self._best_step < self.patience or self.model.stop_training:
            return
        self._stopped = self.model.stop_training = True
        self._report(
            f"early stopping at step {step}: {metric_keys.val(self.checkpoints.monitor)} has not been better than "
            f"{self._best:.4g} since step {self._best_step}"
        )
