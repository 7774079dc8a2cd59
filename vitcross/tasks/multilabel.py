"""Implements the multilabel task, any number of labels per image: forward pass, loss and metrics. B batch, K labels."""

import keras
import numpy as np
from keras import ops
from scipy.special import expit

from vitcross.layers.configured import Configured
from vitcross.options.tasks import MultilabelOptions
from vitcross.tasks.gradient_accumulation import GradientAccumulation
from vitcross.tasks.image_query import Answer, batch_of
from vitcross.tasks.losses import binary_cross_entropy, propagate_non_finite, weighted_mean
from vitcross.tasks.multilabel_metrics import DEFAULT_THRESHOLD, predicted_labels, predictions, report, summarize


@keras.saving.register_keras_serializable(package="vitcross")
class Multilabel(Configured, GradientAccumulation, keras.Model):
    """A yes or no for each of K labels of an image, by binary cross-entropy of the sigmoid.

    Rows with `valid` False count neither in the loss nor in a metric. In a mix of two images the labels of each count
    by its share.

    Args:
        network: `keras.Model` with `multilabel=True`, images `(B, H, W, C)` to logits `(B, K)`.
        class_weights: None, or K positive numbers that multiply the loss of a label where it is present.
        **options: those of `vitcross.options.tasks.MultilabelOptions`.

    Call arguments:
        batch: dict of the batch contract (`vitcross.data.batch`), `labels` `(B, K)`.
        training: bool.

    Returns:
        `(B, K)` logits.

    Attributes:
        threshold: float, probability from which on a label counts as predicted: the best on validation
            (`use_validation`).
    """

    monitor = "mean_average_precision"

    OPTIONS = MultilabelOptions

    def __init__(self, *, network, class_weights=None, name="multilabel", **options):
        super().__init__(name=name, **options)
        if not network.multilabel:
            raise ValueError("expected a network with multilabel=True. Received: multilabel=False")
        self.network = network
        self.class_weights = None if class_weights is None else tuple(float(w) for w in class_weights)
        self.threshold = DEFAULT_THRESHOLD

    def build(self, input_shape=None):
        self.built = True  # the network built itself

    def call(self, batch, training=False):
        return self.network(batch["images"], training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean loss over the valid rows: a scalar, float32."""
        labels_BK = ops.cast(x["labels"], "float32")
        if "mixing" in x:
            share_B1 = ops.cast(x["mixing"], "float32")[:, None]
            labels_BK = share_B1 * labels_BK + (1.0 - share_B1) * ops.cast(x["mixed_labels"], "float32")
        losses_B = binary_cross_entropy(y_pred, labels_BK, self.options.label_smoothing, self.class_weights)
        return propagate_non_finite(weighted_mean(losses_B, x["valid"]))

    def loss_weight(self, batch):
        """Number of valid rows, which the loss is the mean over."""
        return ops.sum(ops.cast(batch["valid"], "float32"))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return self.get_metrics_result()

    def use_validation(self, metrics):
        """Take the threshold from the metrics of a validation: that of the averaged weights, where there are any."""
        self.threshold = metrics.get("threshold_ema", metrics.get("threshold", DEFAULT_THRESHOLD))

    def probabilities(self, images):
        """Probability of each label, (B, K) float64, of a batch of images as NumPy."""
        return expit(self._logits(images))

    def _logits(self, images):
        # In float32 probabilities near 1 would become equal, and their order is what average precision measures.
        return np.asarray(self.predict_on_batch({"images": images}), np.float64)

    def predict_rows(self, batch):
        """Per-example predictions of one batch as NumPy: `probabilities` (B, K), `labels` (B, K), `losses`, `index`.

        The losses are without label smoothing and class weights: validation measures the model, not the recipe.
        """
        logits_BK, labels_BK = self._logits(batch["images"]), np.asarray(batch["labels"])
        return {
            **{key: np.asarray(batch[key]) for key in ("valid", "index")},
            "labels": labels_BK,
            "losses": (np.logaddexp(0, logits_BK) - labels_BK * logits_BK).mean(axis=-1),
            "probabilities": expit(logits_BK),
        }

    def summarize(self, rows, references=None):
        """Scalars of a set of predictions (`multilabel_metrics.summarize`); the references are not used."""
        return summarize(rows)

    def report(self, rows, class_names, references=None):
        """The full record of a set of predictions (`multilabel_metrics.report`)."""
        return report(rows, class_names, self.threshold)

    def predictions(self, rows, class_names, references=None):
        """`(columns, lines)` of `predictions.csv` (`multilabel_metrics.predictions`)."""
        return predictions(rows, class_names, self.threshold)

    def answer_images(self, images, query, first=0, choices=None):
        """The labels of each of the user's images (`Answer`)."""
        probabilities = self.probabilities(images)
        columns, lines = predictions({"probabilities": probabilities}, query.class_names, self.threshold)
        words = [self._in_words(row, query.class_names) for row in probabilities]
        return Answer(batch=batch_of(images, query, first), texts=None, columns=columns, lines=lines, words=words)

    def _in_words(self, probabilities_K, class_names):
        chosen = predicted_labels(probabilities_K, self.threshold)
        if chosen:
            return ", ".join(f"{class_names[k]} {probabilities_K[k]:.1%}" for k in chosen)
        most = int(probabilities_K.argmax())
        return f"none above {self.threshold:.0%}  (most: {class_names[most]} {probabilities_K[most]:.1%})"
