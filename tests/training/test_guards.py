import os
import signal

import keras
import numpy as np
import pytest

from tests.training.tiny import endless, tiny_batch, tiny_task
from vitcross.training.guards import Interrupted, NonFiniteError, StopOnNonFinite, StopOnSignal
from vitcross.training.optimizer import AdamW, adamw


def compiled(task, jit_compile=False, **kwargs):
    optimizer = adamw(model=task.network, total_steps=100, learning_rate=0.01, warmup_steps=0, **kwargs)
    task.compile(optimizer=optimizer, jit_compile=jit_compile)
    return task


def poisoned(batch):
    return {**batch, "images": np.where(np.arange(11)[:, None, None, None] == 4, np.nan, batch["images"]).astype("f")}


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_nan_at_step_k_stops_the_run_and_leaves_the_weights_of_step_k_minus_one(jit_compile):
    good, bad = tiny_batch(), poisoned(tiny_batch())
    reference = compiled(tiny_task(), jit_compile)
    reference.fit(endless(good), steps_per_epoch=3, verbose=0)
    task = compiled(tiny_task(), jit_compile)
    with pytest.raises(NonFiniteError, match="at step 4"):
        task.fit(endless([good, good, good, bad]), steps_per_epoch=10, verbose=0, callbacks=[StopOnNonFinite()])
    for expected, actual in zip(reference.network.weights, task.network.weights, strict=True):
        np.testing.assert_array_equal(expected.numpy(), actual.numpy())


def test_weights_stay_unchanged_without_a_callback_that_stops():
    good, bad = tiny_batch(), poisoned(tiny_batch())
    reference = compiled(tiny_task())
    reference.fit(endless(good), steps_per_epoch=1, verbose=0)
    task = compiled(tiny_task())
    task.fit(endless([good, bad, good, good]), steps_per_epoch=4, verbose=0)
    np.testing.assert_array_equal(reference.network.weights[0].numpy(), task.network.weights[0].numpy())
    assert int(task.optimizer.refused_at.value) == 1


def test_a_loss_that_is_infinite_with_a_finite_gradient_is_refused_too():
    task = tiny_task(class_weights=[1.0, 1.0, float("inf")])
    compiled(task)
    before = task.network.weights[0].numpy()
    with pytest.raises(NonFiniteError, match="the loss is not finite at step 1"):
        task.fit(endless(tiny_batch()), steps_per_epoch=2, verbose=0, callbacks=[StopOnNonFinite()])
    np.testing.assert_array_equal(before, task.network.weights[0].numpy())


def test_clipping_scales_by_the_global_norm_and_records_the_norm_before_it():
    variables = [keras.Variable(np.zeros(3, "f"), name="a"), keras.Variable(np.zeros((2, 2), "f"), name="b")]
    gradients = [np.array([3.0, 0, 0], "f"), np.array([[0, 4.0], [0, 0]], "f")]

    class Descent(AdamW.__mro__[1], keras.optimizers.SGD):
        pass

    optimizer = Descent(learning_rate=1.0, max_gradient_norm=2.0)
    optimizer.build(variables)
    optimizer.apply([keras.ops.array(g) for g in gradients], variables)
    assert float(optimizer.gradient_norm.value) == pytest.approx(5.0)
    np.testing.assert_allclose(variables[0].numpy(), [-3 * 2 / 5, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(variables[1].numpy(), [[0, -4 * 2 / 5], [0, 0]], rtol=1e-6)


def test_max_gradient_norm_must_be_positive():
    with pytest.raises(ValueError, match="max_gradient_norm must be positive.*-1"):
        AdamW(max_gradient_norm=-1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_inside_a_step_waits_for_its_end(number):
    class Kill(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 2:
                os.kill(os.getpid(), number)

    task = compiled(tiny_task())
    with StopOnSignal() as stop, pytest.raises(Interrupted) as caught:
        task.fit(endless(tiny_batch()), steps_per_epoch=10, verbose=0, callbacks=[stop, Kill()])
    assert caught.value.signal_number == number
    assert int(task.optimizer.iterations.value) == 3


def test_a_signal_outside_a_step_ends_at_once_and_handlers_are_restored():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted), StopOnSignal():
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("not interrupted")  # pragma: no cover
    assert signal.getsignal(signal.SIGTERM) is before
