import numpy as np
import pytest

from vitcross.tasks.losses import sigmoid_cross_entropy, softmax_cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_equals_numpy_in_float64(smoothing):
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(7, 5)) * 30, random.integers(0, 5, 7)
    log_probabilities = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
    log_probabilities -= logits.max(1, keepdims=True)
    target = np.eye(5)[labels] * (1 - smoothing) + smoothing / 5
    actual = softmax_cross_entropy(logits.astype("f"), labels.astype("int32"), smoothing)
    np.testing.assert_allclose(np.asarray(actual), -(target * log_probabilities).sum(1), rtol=1e-5, atol=1e-5)


def test_cross_entropy_is_float32_whatever_comes_in():
    from keras import ops

    assert softmax_cross_entropy(ops.cast(np.zeros((2, 3)), "bfloat16"), np.zeros(2, "int32")).dtype == "float32"


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_sigmoid_cross_entropy_equals_numpy_in_float64(smoothing):
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(7, 5)) * 9, random.integers(0, 5, 7)
    target = np.eye(5)[labels] * (1 - smoothing) + smoothing / 5
    yes = 1 / (1 + np.exp(-logits))
    expected = -(target * np.log(yes) + (1 - target) * np.log(1 - yes)).sum(1)
    actual = sigmoid_cross_entropy(logits.astype("f"), labels.astype("int32"), smoothing)
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-4, atol=1e-4)


def test_sigmoid_cross_entropy_stays_finite():
    logits = np.array([[1e4, -1e4, 0.0]], "f")
    assert float(sigmoid_cross_entropy(logits, np.array([0], "int32"))[0]) == pytest.approx(np.log(2), abs=1e-3)
    assert float(sigmoid_cross_entropy(logits, np.array([1], "int32"))[0]) == pytest.approx(2e4 + np.log(2))
