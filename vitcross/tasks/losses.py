"""Defines losses as pure functions of logits and labels. B batch, K classes."""

from keras import ops


def softmax_cross_entropy(logits_BK, labels_B, label_smoothing=0.0):
    """Cross-entropy of the softmax against integer labels, in nats.

    `loss_b = logsumexp(z_b) - sum_k q_bk z_bk` with `q = (1 - s) onehot(label) + s / K`.

    Args:
        logits_BK: `(B, K)`, or with more leading axes, of any float dtype; computed in float32.
        labels_B: `(B,)` integers in `[0, K)`; the leading axes of the logits.
        label_smoothing: s in `[0, 1)`, the share of the target spread evenly over all classes
            (Szegedy et al. 2016, section 7, arXiv 1512.00567).

    Returns:
        `(B,)` float32, at least 0; the leading axes of the logits.
    """
    logits_BK = ops.cast(logits_BK, "float32")
    return ops.logsumexp(logits_BK, axis=-1) - _target_logit(logits_BK, labels_B, label_smoothing)


def sigmoid_cross_entropy(logits_BK, labels_B, label_smoothing=0.0):
    """Binary cross-entropy of the sigmoid of each class against integer labels, summed over the classes, in nats.

    `loss_b = sum_k softplus(z_bk) - q_bk z_bk` with `q = (1 - s) onehot(label) + s / K`. The sum, as in Beyer et al.
    2020 (arXiv 2006.07159), is K times the mean that DeiT III takes.

    Args:
        logits_BK, labels_B, label_smoothing: as for `softmax_cross_entropy`.

    Returns:
        `(B,)` float32, at least 0; the leading axes of the logits.
    """
    logits_BK = ops.cast(logits_BK, "float32")
    return ops.sum(ops.softplus(logits_BK), axis=-1) - _target_logit(logits_BK, labels_B, label_smoothing)


def binary_cross_entropy(logits_BK, targets_BK, label_smoothing=0.0, positive_weights=None):
    """Binary cross-entropy of the sigmoid against targets, mean over the labels, in nats.

    `loss_b = mean_k w_k q_bk softplus(-z_bk) + (1 - q_bk) softplus(z_bk)` with `q = (1 - s) target + s / 2`.

    Args:
        logits_BK: `(B, K)` of any float dtype; computed in float32.
        targets_BK: `(B, K)` in [0, 1]: 1 for each label of the image; in between where images are mixed.
        label_smoothing: s in `[0, 1)`.
        positive_weights: w, K positive numbers, what the presence of each label weighs; None: 1.

    Returns:
        `(B,)` float32, at least 0.
    """
    logits_BK = ops.cast(logits_BK, "float32")
    targets_BK = (1.0 - label_smoothing) * ops.cast(targets_BK, "float32") + label_smoothing / 2
    weights_K = 1.0 if positive_weights is None else ops.array(positive_weights, "float32")
    positive_BK = weights_K * targets_BK * ops.softplus(-logits_BK)
    return ops.mean(positive_BK + (1.0 - targets_BK) * ops.softplus(logits_BK), axis=-1)


def _target_logit(logits_BK, labels_B, label_smoothing):
    """`sum_k q_bk z_bk`, (B,)."""
    own_logit_B = ops.squeeze(ops.take_along_axis(logits_BK, ops.cast(labels_B, "int32")[..., None], axis=-1), -1)
    target_logit_B = (1.0 - label_smoothing) * own_logit_B
    if label_smoothing:
        target_logit_B = target_logit_B + label_smoothing * ops.mean(logits_BK, axis=-1)
    return target_logit_B


def weighted_mean(values, weights):
    """Mean of the values by their weights, scalar float32; 0 where all weights are 0."""
    weights = ops.cast(weights, "float32")
    return ops.sum(values * weights) / ops.maximum(ops.sum(weights), 1.0)


def propagate_non_finite(loss):
    """The loss, such that a non-finite value never reaches the weights.

    The gradient of a non-finite loss may be finite; the factor makes it non-finite too, and the optimizer refuses that
    (`training/guards.py`).
    """
    return loss * ops.where(ops.isfinite(loss), 1.0, float("nan"))
