import numpy as np

from vitcross.data.image_data import balanced_class_weights


def test_inverse_frequency_with_mean_one():
    weights = balanced_class_weights([0, 0, 0, 0, 1, 1, 2], num_classes=3)
    np.testing.assert_allclose(weights / weights[0], [1, 2, 4])
    np.testing.assert_allclose(weights.mean(), 1)
    assert weights.dtype == np.float32


def test_absent_classes_weigh_nothing_and_do_not_count():
    weights = balanced_class_weights([0, 0, 2], num_classes=4)
    np.testing.assert_allclose(weights, [2 / 3, 0, 4 / 3, 0])
