"""Classification: a network's forward pass, its loss and its metrics. B batch, K classes.

The task is the `keras.Model` that `fit` trains; the network inside it knows nothing of losses.
"""

import keras
import numpy as np
from keras import ops

from vitcross.tasks.classification_metrics import predictions, report, summarize
from vitcross.tasks.losses import check_label_smoothing, refusable, softmax_cross_entropy, weighted_mean


@keras.saving.register_keras_serializable(package="vitcross")
class Classification(keras.Model):
    """One of K classes per picture, by softmax cross-entropy.

    Rows with `valid` False count neither in the loss nor in a metric.

    Args:
        network: `keras.Model`, images `(B, H, W, C)` to logits `(B, K)`.
        label_smoothing: share of the target spread over all classes, in `[0, 1)`.
        class_weights: None, or K positive numbers of mean 1 that multiply each example's loss by its class.

    Call arguments:
        batch: dict of the batch contract (`vitcross.data.batch`).
        training: bool.

    Returns:
        `(B, K)` logits.
    """

    monitor, monitor_mode = "accuracy", "max"

    def __init__(self, *, network, label_smoothing=0.0, class_weights=None, name="classification"):
        check_label_smoothing(label_smoothing)
        super().__init__(name=name)
        self.network = network
        self.label_smoothing = label_smoothing
        self.class_weights = None if class_weights is None else tuple(float(w) for w in class_weights)
        self.accuracy = keras.metrics.Mean(name="accuracy")

    def build(self, input_shape=None):
        self.built = True  # the network built itself

    def call(self, batch, training=False):
        return self.network(batch["images"], training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean loss over the valid rows: a scalar, float32."""
        losses_B = softmax_cross_entropy(y_pred, x["labels"], self.label_smoothing)
        if self.class_weights is not None:
            losses_B = losses_B * ops.take(ops.array(self.class_weights, "float32"), x["labels"])
        return refusable(weighted_mean(losses_B, x["valid"]))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        correct_B = ops.equal(ops.argmax(y_pred, axis=-1), ops.cast(x["labels"], "int32"))
        self.accuracy.update_state(ops.cast(correct_B, "float32"), sample_weight=ops.cast(x["valid"], "float32"))
        return self.get_metrics_result()

    def probabilities(self, images):
        """Class probabilities (B, K) float32 of a batch of images as NumPy; rows sum to 1."""
        return np.exp(self._log_probabilities(images))

    def _log_probabilities(self, images):
        logits_BK = np.asarray(self.predict_on_batch({"images": images}), np.float32)
        shifted_BK = logits_BK - logits_BK.max(axis=-1, keepdims=True)
        return shifted_BK - np.log(np.exp(shifted_BK).sum(axis=-1, keepdims=True))

    def predict_rows(self, batch):
        """Per-example predictions of one batch as NumPy: `probabilities` (B, K), `labels`, `losses`, `index`, ...

        The losses are without label smoothing and class weights: validation measures the model, not the recipe.
        """
        log_probabilities_BK = self._log_probabilities(batch["images"])
        labels_B = np.asarray(batch["labels"])
        return {
            **{key: np.asarray(batch[key]) for key in ("valid", "index", "num_objects") if key in batch},
            "labels": labels_B,
            "losses": -np.take_along_axis(log_probabilities_BK, labels_B[:, None], axis=-1)[:, 0],
            "probabilities": np.exp(log_probabilities_BK),
        }

    def summarize(self, rows, references=None):
        """Scalars of a set of predictions (`classification_metrics.summarize`); the references are of no use here."""
        return summarize(rows, rows["probabilities"].shape[-1])

    def report(self, rows, class_names, references=None):
        """The full record of a set of predictions (`classification_metrics.report`)."""
        return report(rows, class_names)

    def predictions(self, rows, class_names, references=None):
        """`(columns, lines)` of `predictions.csv` (`classification_metrics.predictions`)."""
        return predictions(rows, class_names)
