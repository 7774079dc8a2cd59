import pytest

from vitcross.training.callbacks import EarlyStopping
from vitcross.training.checkpoints import Checkpoints


class Model:
    """What a callback sees of Keras: a step, and the request to stop."""

    def __init__(self):
        self.stop_training, self.optimizer = False, self
        self.iterations, self.value = self, 0

    def at(self, step):
        self.value = step


class Validation:
    latest: dict = {}


def validated(callback, values, every=10, model=None):
    """The steps at which validations happened until the run was stopped."""
    model = model or Model()
    callback.set_model(model)
    callback.on_train_begin()
    steps = []
    for number, value in enumerate(values, 1):
        if model.stop_training:
            break
        model.at(number * every)
        callback.validation.latest = {"accuracy": value}
        callback.on_epoch_end(number)
        steps.append(number * every)
    return steps


@pytest.mark.parametrize(
    ("mode", "values", "last"),
    [
        ("max", [0.1, 0.3, 0.2, 0.3, 0.9, 1.0], 40),  # equal is not better
        ("max", [0.1, 0.2, 0.1, 0.3, 0.1, 0.4], 60),
        ("min", [0.9, 0.8, 0.85, 0.8, 0.1], 40),
        ("max", [float("nan"), 0.1, 0.0, 0.2, 0.0], 50),
    ],
)
def test_it_ends_after_patience_steps_without_a_better_value(tmp_path, mode, values, last, capsys):
    callback = EarlyStopping(checkpoints=Checkpoints(tmp_path, mode=mode), validation=Validation(), patience=20)
    assert validated(callback, values)[-1] == last
    assert ("early stopping at step 40" in capsys.readouterr().out) == (last == 40)


def test_early_stopping_keeps_its_state_when_resumed(tmp_path):
    def make():
        return EarlyStopping(checkpoints=Checkpoints(tmp_path), validation=Validation(), patience=20)

    first, second, third = make(), make(), make()
    assert validated(first, [0.3, 0.2]) == [10, 20]
    second.load_state(first.state())
    model = Model()
    model.at(20)
    second.set_model(model)
    model.at(30)
    second.validation.latest = {"accuracy": 0.1}
    second.on_epoch_end(3)
    assert model.stop_training
    # Killed after the last checkpoint: it has nothing more to do.
    third.load_state(second.state())
    model.stop_training = False
    third.set_model(model)
    third.on_train_begin()
    assert model.stop_training
