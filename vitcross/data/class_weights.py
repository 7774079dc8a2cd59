"""Weights that make rare classes count as much as common ones. Shape letters: K classes."""

import numpy as np


def balanced_class_weights(labels, *, num_classes):
    """Inverse class frequency with mean 1 over the classes that occur: labels (n,) -> (K,) float32; 0 for absent
    classes.

    w_k = (1 / n_k) / mean_j(1 / n_j)
    """
    counts = np.bincount(np.asarray(labels), minlength=num_classes)
    present = counts > 0
    inverse = np.zeros(num_classes, np.float64)
    inverse[present] = 1 / counts[present]
    return (inverse / inverse[present].mean()).astype(np.float32)
