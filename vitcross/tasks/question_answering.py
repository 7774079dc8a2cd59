"""Implements the question-answering task with answers as classes: loss and metrics. B questions, K answers."""

import keras
import numpy as np
from keras import ops
from scipy.special import log_softmax

from vitcross.layers.configured import Configured
from vitcross.options.tasks import QuestionAnsweringTaskOptions
from vitcross.pages.direction import in_line
from vitcross.tasks import question_metrics
from vitcross.tasks.gradient_accumulation import GradientAccumulation
from vitcross.tasks.image_query import Answer, batch_of
from vitcross.tasks.losses import propagate_non_finite, softmax_cross_entropy, weighted_mean

INPUTS = ("images", "token_ids", "padding_mask")
KEPT = ("valid", "index", "image_id", "labels", "question_type", "annotator_answers")


@keras.saving.register_keras_serializable(package="vitcross")
class QuestionAnswering(Configured, GradientAccumulation, keras.Model):
    """One of K answers to a question about an image, by softmax cross-entropy.

    Rows with `valid` False count nowhere; a question whose answer is no class (label -1) is not in the loss, and wrong.

    Args:
        network: `vitcross.models.QuestionAnsweringModel`: images and token ids to logits `(B, K)`.
        **options: those of `vitcross.options.tasks.QuestionAnsweringTaskOptions`.

    Call arguments:
        batch: dict of the batch contract (`vitcross.data.batch`) with a question for each image.
        training: bool.

    Returns:
        `(B, K)` logits.
    """

    monitor = "accuracy"

    OPTIONS = QuestionAnsweringTaskOptions

    def __init__(self, *, network, name="question_answering", **options):
        super().__init__(name=name, **options)
        self.network = network
        self.accuracy = keras.metrics.Mean(name="accuracy")

    def build(self, input_shape=None):
        self.built = True  # the network built itself

    def call(self, batch, training=False):
        return self.network(
            batch["images"], token_ids=batch["token_ids"], padding_mask=batch["padding_mask"], training=training
        )

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean loss over the valid questions with a known answer: a scalar, float32."""
        labels_B = ops.cast(x["labels"], "int32")
        losses_B = softmax_cross_entropy(y_pred, ops.maximum(labels_B, 0), self.options.label_smoothing)
        return propagate_non_finite(weighted_mean(losses_B, _has_answer(x)))

    def loss_weight(self, batch):
        """Number of valid questions with a known answer, which the loss is the mean over."""
        return ops.sum(ops.cast(_has_answer(batch), "float32"))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        # No class is -1: an unknown answer is wrong.
        correct_B = ops.equal(ops.cast(ops.argmax(y_pred, axis=-1), "int32"), ops.cast(x["labels"], "int32"))
        self.accuracy.update_state(ops.cast(correct_B, "float32"), sample_weight=ops.cast(x["valid"], "float32"))
        return self.get_metrics_result()

    def probabilities(self, images, token_ids, padding_mask):
        """Probabilities of the answers (B, K) float32 of a batch as NumPy; rows sum to 1."""
        return np.exp(self._log_probabilities({"images": images, "token_ids": token_ids, "padding_mask": padding_mask}))

    def _log_probabilities(self, batch):
        logits_BK = np.asarray(self.predict_on_batch({key: batch[key] for key in INPUTS}), np.float32)
        return log_softmax(logits_BK, axis=-1)

    def predict_rows(self, batch):
        """Per-example predictions of one batch as NumPy: `predictions`, `confidence`, `labels`, `losses`, `index`, ...

        The losses are without label smoothing, nan where the answer is unknown.
        """
        log_probabilities_BK = self._log_probabilities(batch)
        labels_B = np.asarray(batch["labels"])
        own_B = np.take_along_axis(log_probabilities_BK, np.maximum(labels_B, 0)[:, None], axis=-1)[:, 0]
        return {
            **{key: np.asarray(batch[key]) for key in KEPT if key in batch},
            "predictions": log_probabilities_BK.argmax(axis=-1),
            "confidence": np.exp(log_probabilities_BK.max(axis=-1)),
            "losses": np.where(labels_B >= 0, -own_B, np.nan),
        }

    def summarize(self, rows, references=None):
        """Scalars of a set of predictions (`question_metrics.summarize`)."""
        return question_metrics.summarize(rows, references)

    def report(self, rows, class_names, references=None):
        """The full record of a set of predictions (`question_metrics.report`)."""
        return question_metrics.report(rows, class_names, references)

    def predictions(self, rows, class_names, references=None):
        """`(columns, lines)` of `predictions.csv` (`question_metrics.predictions`)."""
        return question_metrics.predictions(rows, class_names, None if references is None else references.text)

    def describe_predictions(self, rows, class_names, references=None):
        """Describes each prediction, `(text, truth, correct)`: its answer with the probability."""
        found = []
        for predicted, confidence, label in zip(rows["predictions"], rows["confidence"], rows["labels"], strict=True):
            right = None if label == question_metrics.UNKNOWN else bool(predicted == label)
            truth = "" if right is None else "right" if right else f"true: {in_line(class_names[label])}"
            found.append((f"{in_line(class_names[predicted])} {confidence:.0%}", truth, right))
        return found

    def answer_images(self, images, query, first=0, choices=None):
        """The answer to a question about each of the user's images (`Answer`)."""
        texts = [query.text] * len(images)
        batch = batch_of(images, query, first, texts)
        rows = self.predict_rows(batch)
        answers = [query.class_names[k] for k in rows["predictions"]]
        lines = [list(line) for line in zip(texts, answers, rows["confidence"].astype(float), strict=True)]
        words = [text for text, _, _ in self.describe_predictions(rows, query.class_names)]
        columns = ["question", "answer", "probability"]
        return Answer(batch=batch, texts=texts, columns=columns, lines=lines, words=words)


def _has_answer(batch):
    """(B,) bool: valid questions whose answer is one of the classes."""
    return ops.logical_and(ops.cast(batch["valid"], "bool"), ops.cast(batch["labels"], "int32") >= 0)
