"""Ends a run that no longer gets better."""

import keras

from vitcross.training.guards import updates


class EarlyStopping(keras.callbacks.Callback):
    """Ends `fit` after a validation, when the metric that chooses the best checkpoint has had no better value for
    `patience` steps.

    Comes after validation, and before what keeps the last state.

    Args:
        checkpoints: has `monitor` and `is_better(value, than)` (`vitcross.training.checkpoint.Checkpoints`).
        validation: `vitcross.training.callbacks.Validation`.
        patience: int, steps.
        report: callable of one str.
    """

    state_name = "early_stopping"

    def __init__(self, *, checkpoints, validation, patience, report=print):
        super().__init__()
        self.checkpoints, self.validation, self.patience = checkpoints, validation, patience
        self._report = report
        self._best, self._best_step = None, 0

    def state(self):
        return {"best": self._best, "best_step": self._best_step}

    def load_state(self, state):
        self._best, self._best_step = state["best"], state["best_step"]

    def on_train_begin(self, logs=None):
        # A run that was killed after its last checkpoint has nothing more to learn.
        self._stop_where_due()

    def on_epoch_end(self, epoch, logs=None):
        value = self.validation.latest[self.checkpoints.monitor]
        if self.checkpoints.is_better(value, self._best):
            self._best, self._best_step = value, updates(self.model.optimizer)
        self._stop_where_due()

    def _stop_where_due(self):
        step = updates(self.model.optimizer)
        if self._best is None or step - self._best_step < self.patience:
            return
        self.model.stop_training = True
        self._report(
            f"early stopping at step {step}: val/{self.checkpoints.monitor} has not been better than {self._best:.4g} "
            f"since step {self._best_step}"
        )
