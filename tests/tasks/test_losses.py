import numpy as np
import pytest

from vitcross.tasks.losses import softmax_cross_entropy


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
