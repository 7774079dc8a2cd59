"""Implements the classification task: forward pass, loss and metrics. B batch, K classes."""

import keras
import numpy as np
from keras import ops
from scipy.special import log_softmax

from vitcross.layers.configured import Configured
from vitcross.options.tasks import ClassificationOptions
from vitcross.tasks.classification_metrics import predictions, report, summarize
from vitcross.tasks.gradient_accumulation import GradientAccumulation
from vitcross.tasks.image_query import Answer, batch_of, two_most_probable
from vitcross.tasks.losses import (
    propagate_non_finite,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    weighted_mean,
)

LOSSES = {"softmax": softmax_cross_entropy, "sigmoid": sigmoid_cross_entropy}


@keras.saving.register_keras_serializable(package="vitcross")
class Classification(Configured, GradientAccumulation, keras.Model):
    """One of K classes per image, by softmax or sigmoid cross-entropy.

    Rows with `valid` False count neither in the loss nor in a metric. In a mix of two images each label counts by its
    share in the loss; the accuracy is that of the label with the larger share.

    Args:
        network: `keras.Model`, images `(B, H, W, C)` to logits `(B, K)`.
        class_weights: None, or K positive numbers of mean 1 that multiply each example's loss by its class.
        **options: those of `vitcross.options.tasks.ClassificationOptions`.

    Call arguments:
        batch: dict of the batch contract (`vitcross.data.batch`).
        training: bool.

    Returns:
        `(B, K)` logits.
    """

    monitor = "accuracy"

    OPTIONS = ClassificationOptions

    def __init__(self, *, network, class_weights=None, name="classification", **options):
        super().__init__(name=name, **options)
        self.network = network
        self.class_weights = None if class_weights is None else tuple(float(w) for w in class_weights)
        self.accuracy = keras.metrics.Mean(name="accuracy")

    def build(self, input_shape=None):
        self.built = True  # the network built itself

    def call(self, batch, training=False):
        return self.network(batch["images"], training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean loss over the valid rows: a scalar, float32."""
        losses_B = self._class_losses(y_pred, x["labels"])
        if "mixing" in x:
            share_B = x["mixing"]
            losses_B = share_B * losses_B + (1.0 - share_B) * self._class_losses(y_pred, x["mixed_labels"])
        return propagate_non_finite(weighted_mean(losses_B, x["valid"]))

    def loss_weight(self, batch):
        """Number of valid rows, which the loss is the mean over."""
        return ops.sum(ops.cast(batch["valid"], "float32"))

    def _class_losses(self, logits_BK, labels_B):
        losses_B = LOSSES[self.options.loss](logits_BK, labels_B, self.options.label_smoothing)
        if self.class_weights is None:
            return losses_B
        return losses_B * ops.take(ops.array(self.class_weights, "float32"), labels_B)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        labels_B = x["labels"]
        if "mixing" in x:
            labels_B = ops.where(x["mixing"] >= 0.5, labels_B, x["mixed_labels"])
        correct_B = ops.equal(ops.argmax(y_pred, axis=-1), ops.cast(labels_B, "int32"))
        self.accuracy.update_state(ops.cast(correct_B, "float32"), sample_weight=ops.cast(x["valid"], "float32"))
        return self.get_metrics_result()

    def probabilities(self, images):
        """Class probabilities (B, K) float32 of a batch of images as NumPy; rows sum to 1."""
        return np.exp(log_softmax(self._logits(images), axis=-1))

    def _logits(self, images):
        return np.asarray(self.predict_on_batch({"images": images}), np.float32)

    def predict_rows(self, batch):
        """Per-example predictions of one batch as NumPy: `probabilities` (B, K), `labels`, `losses`, `index`, ...

        The losses are without label smoothing and class weights: validation measures the model, not the recipe.
        """
        logits_BK, labels_B = self._logits(batch["images"]), np.asarray(batch["labels"])
        log_probabilities_BK = log_softmax(logits_BK, axis=-1)
        return {
            **{key: np.asarray(batch[key]) for key in ("valid", "index", "num_objects") if key in batch},
            "labels": labels_B,
            "losses": _row_losses(logits_BK, log_probabilities_BK, labels_B, self.options.loss),
            "probabilities": np.exp(log_probabilities_BK),
        }

    def summarize(self, rows, references=None):
        """Scalars of a set of predictions (`classification_metrics.summarize`); the references are not used."""
        return summarize(rows, rows["probabilities"].shape[-1])

    def report(self, rows, class_names, references=None):
        """The full record of a set of predictions (`classification_metrics.report`)."""
        return report(rows, class_names)

    def predictions(self, rows, class_names, references=None):
        """`(columns, lines)` of `predictions.csv` (`classification_metrics.predictions`)."""
        return predictions(rows, class_names)

    def answer_images(self, images, query, first=0, choices=None):
        """The class of each of the user's images (`Answer`)."""
        probabilities = self.probabilities(images)
        columns, lines = predictions({"probabilities": probabilities}, query.class_names)
        words = two_most_probable(probabilities, query.class_names)
        return Answer(batch=batch_of(images, query, first), texts=None, columns=columns, lines=lines, words=words)


def _row_losses(logits_BK, log_probabilities_BK, labels_B, kind):
    own = np.s_[np.arange(len(labels_B)), labels_B]
    if kind == "softmax":
        return -log_probabilities_BK[own]
    return np.logaddexp(0, logits_BK).sum(axis=-1) - logits_BK[own]
