"""GELU and its written-out gradient, against the formula and finite differences."""

import keras
import numpy as np
import pytest

from tests import reference
from tests.backend import evaluated, gradient, to_numpy
from vitcross.layers.gelu import gelu

X = np.concatenate([np.linspace(-7, 7, 101), [0.0, 30.0, -30.0]]).astype("float32")


@pytest.mark.parametrize("form", ["erf", "tanh"])
def test_value(form):
    np.testing.assert_allclose(evaluated(lambda x: gelu(x, form), X), reference.gelu(X, form), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", ["erf", "tanh"])
def test_gradient(form):
    weights = np.linspace(-1, 2, X.size).astype("float32")
    actual = gradient(lambda x: keras.ops.sum(gelu(x, form) * weights), X)
    x, step = X.astype("float64"), 1e-5
    expected = weights * (reference.gelu(x + step, form) - reference.gelu(x - step, form)) / (2 * step)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", ["erf", "tanh"])
def test_bfloat16_stays_bfloat16(form):
    output = gelu(keras.ops.cast(X, "bfloat16"), form)
    assert keras.backend.standardize_dtype(output.dtype) == "bfloat16"
    np.testing.assert_allclose(to_numpy(output), reference.gelu(X, form), rtol=0.02, atol=0.02)


def test_unknown_form():
    with pytest.raises(ValueError, match="Received: gelu='swish'"):
        gelu(X, "swish")
