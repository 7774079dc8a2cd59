"""The moving average against NumPy, and weights that come back to the bit."""

import functools

import keras
import numpy as np
import pytest

from tests.training.tiny import tiny_task
from vitcross.training.averages import averaged_weights_in_use
from vitcross.training.optimizer import adamw, lion, muon, schedule_free_adamw
from vitcross.training.parameter_groups import parameter_groups

SHORT = {"total_steps": 50, "warmup_steps": 0, "learning_rate": 0.05, "schedule": "constant"}


def gradients_of(variables, seed):
    random = np.random.default_rng(seed)
    return [keras.ops.array(random.normal(size=v.shape).astype("f")) for v in variables]


@pytest.mark.parametrize("make", [adamw, lion, muon])
def test_the_average_equals_numpy_and_does_not_change_training(make):
    trained, alone = tiny_task().network, tiny_task().network
    optimizer = make(model=trained, ema_steps=5, **SHORT)
    other = make(model=alone, **SHORT)
    expected = [v.numpy().astype("d") for v in trained.trainable_variables]
    for t in range(13):
        gradients = gradients_of(trained.trainable_variables, t)
        optimizer.apply(gradients, trained.trainable_variables)
        other.apply(gradients, alone.trainable_variables)
        decay = min(1 - 1 / 5, (1 + t) / (10 + t))
        expected = [
            e + (1 - decay) * (v.numpy() - e) for e, v in zip(expected, trained.trainable_variables, strict=True)
        ]
    for (variable, average), own, value in zip(
        optimizer.averaged_weights(), alone.trainable_variables, expected, strict=True
    ):
        np.testing.assert_allclose(np.asarray(average), value, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(variable.numpy(), own.numpy())
    assert (optimizer.metric_suffix, other.metric_suffix) == ("_ema", None)


def test_moving_statistics_are_averaged_too():
    network = keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(7), keras.layers.BatchNormalization()])
    optimizer = adamw(model=network, ema_steps=3, **SHORT)
    averaged = {variable.path for variable, _ in optimizer.stored_averages}
    assert averaged == {v.path for group in parameter_groups(network) for v in group.variables}


@pytest.mark.parametrize("make", [functools.partial(adamw, ema_steps=3), schedule_free_adamw])
def test_the_state_of_the_optimizer_holds_no_weights_of_the_model(make):
    network = keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(7), keras.layers.BatchNormalization()])
    optimizer = make(model=network, total_steps=50, warmup_steps=0, learning_rate=0.05)
    optimizer.apply(gradients_of(network.trainable_variables, 0))
    assert not {id(v) for v in optimizer.variables} & {id(v) for v in network.weights}
    assert len({v.path for v in optimizer.variables}) == len(optimizer.variables)


def test_a_refused_update_does_not_change_the_average():
    network = tiny_task().network
    optimizer = adamw(model=network, ema_steps=3, **SHORT)
    before = [np.asarray(average) for _, average in optimizer.averaged_weights()]
    optimizer.apply([g * float("nan") for g in gradients_of(network.trainable_variables, 0)])
    after = [np.asarray(average) for _, average in optimizer.averaged_weights()]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


class Interruption(BaseException):
    pass


def test_trained_weights_are_restored_exactly_after_any_interruption(monkeypatch):
    network = tiny_task().network
    optimizer = adamw(model=network, ema_steps=3, **SHORT)
    optimizer.apply(gradients_of(network.trainable_variables, 0))
    trained = [v.numpy() for v in network.weights]
    average = [np.asarray(value) for _, value in optimizer.averaged_weights()]
    swap = averaged_weights_in_use(optimizer)
    with pytest.raises(Interruption), swap:
        assert all(np.array_equal(v.numpy(), a) for v, a in zip(network.trainable_variables, average, strict=True))
        raise Interruption
    assert all(np.array_equal(v.numpy(), t) for v, t in zip(network.weights, trained, strict=True))

    assign, left = type(network.weights[0]).assign, [5]

    def interrupted(variable, value):
        left[0] -= 1
        if left[0] == 0:
            raise Interruption
        return assign(variable, value)

    # In the exchange there are 2 assignments in, 2 out: the signal comes at each of them.
    for moment in (1, 2, 3, 4):
        left[0] = moment
        monkeypatch.setattr(type(network.weights[0]), "assign", interrupted)
        with pytest.raises(Interruption), swap:
            pass
        monkeypatch.setattr(type(network.weights[0]), "assign", assign)
        swap.restore()
        assert all(np.array_equal(v.numpy(), t) for v, t in zip(network.weights, trained, strict=True)), moment


def test_start_average_sets_it_to_the_current_weights():
    network = tiny_task().network
    optimizer = adamw(model=network, ema_steps=3, **SHORT)
    network.weights[0].assign(network.weights[0] + 1.0)
    optimizer.start_average()
    np.testing.assert_array_equal(np.asarray(optimizer.averaged_weights()[0][1]), network.weights[0].numpy())
    with pytest.raises(ValueError, match="ema must be at least one step"):
        adamw(model=network, ema_steps=0.5, **SHORT)
