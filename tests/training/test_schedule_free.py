"""Schedule-free AdamW against algorithm 1 of arXiv 2405.15682 in NumPy, float64."""

import keras
import numpy as np
import pytest

from tests.training.tiny import tiny_task
from vitcross.training.optimizer import schedule_free_adamw


def algorithm_1(y0, gradients, *, rate, warmup, beta_1, beta_2, epsilon, weight_decay):
    z = x = y0.astype("d")
    v, total = np.zeros_like(z), 0.0
    for t, g in enumerate(gradients, 1):
        y = (1 - beta_1) * z + beta_1 * x
        v = beta_2 * v + (1 - beta_2) * g**2
        gamma = rate * min(1.0, (t - 1) / warmup) * np.sqrt(1 - beta_2**t)
        z = z - gamma * (g / (np.sqrt(v) + epsilon) + weight_decay * y)
        total += gamma**2
        c = gamma**2 / total if total else 1.0
        x = (1 - c) * x + c * z
    return (1 - beta_1) * z + beta_1 * x, x


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_schedule_free_equals_the_algorithm_of_the_paper(weight_decay):
    network = tiny_task().network
    kernel, bias = network.weights
    start = kernel.numpy(), bias.numpy()
    options = {"beta_1": 0.85, "beta_2": 0.97, "epsilon": 1e-6}
    optimizer = schedule_free_adamw(
        model=network,
        total_steps=40,
        learning_rate=0.05,
        warmup_steps=5,
        weight_decay=weight_decay,
        max_gradient_norm=None,
        **options,
    )
    random = np.random.default_rng(3)
    gradients = [[random.normal(size=v.shape).astype("f") for v in (kernel, bias)] for _ in range(31)]
    for pair in gradients:
        optimizer.apply([keras.ops.array(g) for g in pair], [kernel, bias])
    averages = {id(v): np.asarray(x) for v, x in optimizer.averaged_weights()}
    for i, (variable, decay) in enumerate(((kernel, weight_decay), (bias, 0.0))):
        y, x = algorithm_1(
            start[i], [pair[i] for pair in gradients], rate=0.05, warmup=5, weight_decay=decay, **options
        )
        np.testing.assert_allclose(variable.numpy(), y, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(averages[id(variable)], x, rtol=1e-4, atol=1e-5)
    assert optimizer.metric_suffix == ""


def test_beta_1_must_be_less_than_1():
    with pytest.raises(ValueError, match="expected a number less than 1. Received: beta_1=1.0"):
        schedule_free_adamw(model=tiny_task().network, total_steps=9, learning_rate=0.1, warmup_steps=0, beta_1=1.0)
