"""Implements the contrastive task, measured by retrieval. B pairs, D embedding dimension."""

import keras
import numpy as np
from keras import ops
from scipy.special import softmax

from vitcross.layers.configured import Configured
from vitcross.options.tasks import ContrastiveOptions
from vitcross.tasks.classification_metrics import predictions
from vitcross.tasks.contrastive_chunks import in_batch_accuracy
from vitcross.tasks.contrastive_losses import sigmoid_contrastive_loss, softmax_contrastive_loss
from vitcross.tasks.contrastive_pairs import pairs_of
from vitcross.tasks.image_query import Answer, batch_of, two_most_probable
from vitcross.tasks.losses import propagate_non_finite
from vitcross.tasks.retrieval_metrics import chance_recall, retrieval_metrics
from vitcross.tasks.zero_shot import class_embeddings, zero_shot_accuracy, zero_shot_logits

EVALUATION_CHUNK = 256  # images compared at a time with all texts of a split
INPUTS = ("images", "token_ids", "padding_mask")


@keras.saving.register_keras_serializable(package="vitcross")
class Contrastive(Configured, keras.Model):
    """Pulls matching images and texts together and pushes others apart.

    Rows with `valid` False count neither in the loss nor in a metric; pairs that share an image or a text are no
    negatives of one another (`contrastive_losses.py`).

    Args:
        network: `vitcross.models.DualEncoder`: images and token ids to two L2-normalized embeddings `(B, D)`; has
            `logit_scale` and, for the sigmoid loss, `logit_bias`.
        **options: those of `vitcross.options.tasks.ContrastiveOptions`.

    Call arguments:
        batch: dict of the batch contract (`vitcross.data.batch`) with a text for each image.
        training: bool.

    Returns:
        `(image_embeddings, text_embeddings)`, each `(B, D)` float32, L2-normalized.
    """

    monitor = "mean_r1"

    OPTIONS = ContrastiveOptions

    def __init__(self, *, network, name="contrastive", **options):
        super().__init__(name=name, **options)
        if self.options.loss == "sigmoid" and network.logit_bias_init is None:
            raise ValueError(
                "loss='sigmoid' needs a network with a logit_bias (logit_bias_init, -10 in the paper). "
                "Received: logit_bias_init=None"
            )
        self.network = network
        self.accuracy = keras.metrics.Mean(name="accuracy")

    def build(self, input_shape=None):
        self.built = True  # the network built itself

    def call(self, batch, training=False):
        return self.network(
            batch["images"], token_ids=batch["token_ids"], padding_mask=batch["padding_mask"], training=training
        )

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Loss of the batch: a scalar, float32."""
        return propagate_non_finite(self._loss(*y_pred, x, self.options.chunk_size))

    def _loss(self, image_BD, text_BD, rows, chunk_size):
        known = {key: rows[key] for key in ("image_id", "text_id", "valid") if key in rows}
        if self.options.loss == "softmax":
            return softmax_contrastive_loss(image_BD, text_BD, self.network.logit_scale, **known, chunk_size=chunk_size)
        scale, bias = self.network.logit_scale, self.network.logit_bias
        return sigmoid_contrastive_loss(image_BD, text_BD, scale, bias, **known, chunk_size=chunk_size)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """`accuracy`: share of images and texts whose own partner is the nearest of the batch."""
        pairs = pairs_of(
            ops.shape(y_pred[0])[0], **{key: x[key] for key in ("image_id", "text_id", "valid") if key in x}
        )
        hits = in_batch_accuracy(*y_pred, pairs, self.options.chunk_size)
        self.accuracy.update_state(hits, sample_weight=ops.sum(pairs.weight))
        return self.get_metrics_result()

    def predict_rows(self, batch):
        """Per-example predictions of a batch as NumPy: `image_embeddings`, `text_embeddings` (B, D), `image_id`, ..."""
        images, texts = self.predict_on_batch({key: batch[key] for key in INPUTS})
        return {
            **{
                key: np.asarray(batch[key])
                for key in ("valid", "index", "image_id", "text_id", "labels")
                if key in batch
            },
            "image_embeddings": np.asarray(images, np.float32),
            "text_embeddings": np.asarray(texts, np.float32),
        }

    def summarize(self, rows, references=None):
        """Scalars of a set of predictions: `retrieval_metrics`, and `loss`.

        The loss treats the split as one batch, so that it does not depend on how the split was cut into batches. It is
        larger than the training loss, since there are more negatives: chance is `log n` for the softmax.
        """
        embeddings = rows["image_embeddings"], rows["text_embeddings"]
        loss = self._loss(*embeddings, {key: rows[key] for key in ("image_id", "text_id")}, EVALUATION_CHUNK)
        metrics = retrieval_metrics(*embeddings, rows["image_id"], rows["text_id"])
        return {"loss": float(ops.convert_to_numpy(loss)), **metrics}

    def report(self, rows, class_names=(), references=None):
        """The full record of a set of predictions: `summarize`, how much was searched, and what chance would reach."""
        return {
            **self.summarize(rows, references),
            **chance_recall(rows["image_id"], rows["text_id"]),
            "examples": len(rows["index"]),
            "images": len(np.unique(rows["image_id"])),
            "texts": len(np.unique(rows["text_id"])),
        }

    def zero_shot(self, rows, tokenizer, class_names, templates):
        """Accuracy of choosing the class whose sentences are nearest (`zero_shot.py`); {} where no label is known."""
        if not (rows["labels"] >= 0).any():
            return {}
        classes_KD = class_embeddings(self.network, tokenizer, class_names, templates)
        return zero_shot_accuracy(rows["image_embeddings"], classes_KD, rows["labels"])

    def predictions(self, rows, class_names=(), references=None):
        """`(columns, lines)`: for each example the text nearest to its image, its cosine, that of the own text."""
        images_nD, texts_nD = rows["image_embeddings"], rows["text_embeddings"]
        starts = range(0, len(images_nD), EVALUATION_CHUNK)
        nearest = [(images_nD[start : start + EVALUATION_CHUNK] @ texts_nD.T).argmax(axis=1) for start in starts]
        lines = []
        for n, best in enumerate(np.concatenate(nearest)):
            right = rows["text_id"][best] == rows["text_id"][n] or rows["image_id"][best] == rows["image_id"][n]
            own, found = float(images_nD[n] @ texts_nD[n]), float(images_nD[n] @ texts_nD[best])
            text = int(rows["index"][best]) if references is None else references.text(int(rows["index"][best]))
            lines.append([text, found, own, int(right)])
        return ["nearest_text", "cosine", "cosine_of_own_text", "correct"], lines

    def describe_predictions(self, rows, class_names=(), references=None):
        """Describes each prediction, `(text, truth, correct)`: the rank of its text among those of `rows`."""
        images_nD, texts_nD = rows["image_embeddings"], rows["text_embeddings"]
        _, first = np.unique(rows.get("text_id", np.arange(len(texts_nD))), return_index=True)
        found = []
        for image_D, text_D in zip(images_nD, texts_nD, strict=True):
            own = float(image_D @ text_D)
            rank = 1 + int((texts_nD[first] @ image_D > own + 1e-6).sum())
            found.append((f"rank {rank} of {len(first)}, cosine {own:.2f}", "", rank == 1 if len(first) > 1 else None))
        return found

    def answer_images(self, images, query, first=0, choices=None):
        """How well a text fits each of the user's images, or which class fits best (`Answer`)."""
        if query.classes:
            return self._choose(images, query, first, choices)
        texts = [query.text] * len(images)
        batch = batch_of(images, query, first, texts)
        rows = self.predict_rows(batch)
        cosines = np.sum(rows["image_embeddings"] * rows["text_embeddings"], axis=-1)
        lines = [[text, float(cosine)] for text, cosine in zip(texts, cosines, strict=True)]
        words = [f"cosine {cosine:.3f}" for cosine in cosines]
        return Answer(batch=batch, texts=texts, columns=["text", "cosine"], lines=lines, words=words)

    def _choose(self, images, query, first, classes_KD):
        """Zero-shot: the class whose sentences are nearest; probabilities by the network's own scale."""
        if classes_KD is None:
            classes_KD = class_embeddings(self.network, query.tokenizer, query.classes, query.templates)
        any_text = batch_of(images, query, first, list(query.classes[:1]) * len(images))
        logits_BK = zero_shot_logits(self.predict_rows(any_text)["image_embeddings"], classes_KD)
        shares_BK = softmax(logits_BK * float(np.asarray(self.network.logit_scale)), axis=-1)
        columns, lines = predictions({"probabilities": shares_BK}, query.classes)
        texts = [query.templates[0].replace("{}", line[0]) for line in lines]
        return Answer(
            batch=batch_of(images, query, first, texts),
            texts=texts,
            columns=columns,
            lines=lines,
            words=two_most_probable(shares_BK, query.classes),
            choices=classes_KD,
        )
