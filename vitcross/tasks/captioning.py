"""Implements the captioning task: teacher forcing in training, generated captions compared with the given ones.

Shape letters: B images, T token positions, V vocabulary.
"""

import keras
import numpy as np
from keras import ops

from vitcross.layers.configured import Configured
from vitcross.models.generation import generate
from vitcross.options.tasks import CaptioningTaskOptions
from vitcross.tasks.gradient_accumulation import GradientAccumulation
from vitcross.tasks.image_query import Answer, batch_of
from vitcross.tasks.losses import propagate_non_finite, softmax_cross_entropy, weighted_mean

INPUTS = ("images", "token_ids", "padding_mask")
KEPT = ("valid", "index", "image_id")


@keras.saving.register_keras_serializable(package="vitcross")
class Captioning(Configured, GradientAccumulation, keras.Model):
    """The next word of a caption, given the image and the words before it, by softmax cross-entropy.

    The loss is the mean over real target tokens: the end of the text counts, padding and rows with `valid` False do
    not.

    Args:
        network: `vitcross.models.CaptioningModel`: images and token ids to logits `(B, T, V)`.
        tokenizer: `vitcross.data.tokenizer.Tokenizer`.
        has_scenes: bool, whether the data knows what is in its images (rendered scenes): then the share of
            correct attributes decides which checkpoint is the best, else CIDEr.
        **options: those of `vitcross.options.tasks.CaptioningTaskOptions`.

    Call arguments:
        batch: dict of the batch contract (`vitcross.data.batch`) with a caption for each image.
        training: bool.

    Returns:
        `(B, T - 1, V)` logits of the tokens 1, ..., T - 1, each from the image and the tokens before it.
    """

    OPTIONS = CaptioningTaskOptions

    def __init__(self, *, network, tokenizer, has_scenes=False, name="captioning", **options):
        super().__init__(name=name, **options)
        self.network, self.tokenizer = network, tokenizer
        self.monitor = "attribute_accuracy" if has_scenes else "cider"
        self.token_accuracy = keras.metrics.Mean(name="token_accuracy")

    def build(self, input_shape=None):
        self.built = True  # the network built itself

    def call(self, batch, training=False):
        # The last token predicts nothing.
        return self.network(
            batch["images"],
            token_ids=batch["token_ids"][:, :-1],
            padding_mask=batch["padding_mask"][:, :-1],
            training=training,
        )

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean loss over the real target tokens of the valid rows: a scalar, float32."""
        targets_BT, weights_BT = _targets(x)
        return propagate_non_finite(
            weighted_mean(softmax_cross_entropy(y_pred, targets_BT, self.options.label_smoothing), weights_BT)
        )

    def loss_weight(self, batch):
        """Number of real target tokens of the valid rows, which the loss is the mean over."""
        return ops.sum(_targets(batch)[1])

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        targets_BT, weights_BT = _targets(x)
        correct_BT = ops.equal(ops.cast(ops.argmax(y_pred, axis=-1), "int32"), targets_BT)
        self.token_accuracy.update_state(ops.cast(correct_BT, "float32"), sample_weight=weights_BT)
        return self.get_metrics_result()

    def generate(self, images, max_length):
        """Captions of a batch of images: token ids `(B, max_length)` int32, NumPy, filled up with padding."""
        tokenizer = self.tokenizer
        token_ids, _ = generate(
            self.network,
            images,
            max_length=max_length,
            bos_id=tokenizer.bos_id,
            eos_id=tokenizer.eos_id,
            pad_id=tokenizer.pad_id,
            beam_size=self.options.beam_size,
        )
        missing = max_length - token_ids.shape[1]
        return np.pad(np.asarray(token_ids, np.int32), [(0, 0), (0, missing)], constant_values=tokenizer.pad_id)

    def caption(self, images):
        """Captions of a batch of images: list of B str."""
        token_ids = self.generate(images, self.network.text_decoder.max_length)
        return [self.tokenizer.decode(row) for row in token_ids]

    def predict_rows(self, batch):
        """Per-example predictions of one batch as NumPy: `generated` (B, T) token ids; `losses`, `correct`, `tokens`,
        the sums over the real target tokens of the given caption; `index`, ... The losses are without label smoothing.
        """
        logits_BTV = np.asarray(self.predict_on_batch({key: batch[key] for key in INPUTS}), np.float32)
        targets_BT = np.asarray(batch["token_ids"])[:, 1:]
        real_BT = np.asarray(batch["padding_mask"])[:, 1:]
        own_BT = np.take_along_axis(logits_BTV, targets_BT[..., None], axis=-1)[..., 0]
        top_BT = logits_BTV.max(axis=-1)
        losses_BT = top_BT + np.log(np.exp(logits_BTV - top_BT[..., None]).sum(axis=-1)) - own_BT
        return {
            **{key: np.asarray(batch[key]) for key in KEPT if key in batch},
            "losses": (losses_BT * real_BT).sum(axis=1),
            "correct": ((logits_BTV.argmax(axis=-1) == targets_BT) & real_BT).sum(axis=1),
            "tokens": real_BT.sum(axis=1),
            "generated": self.generate(batch["images"], np.asarray(batch["token_ids"]).shape[1]),
        }

    def summarize(self, rows, references=None):
        """Scalars of a set of predictions (`caption_summary.summarize`)."""
        from vitcross.tasks.caption_summary import summarize

        return summarize(rows, self.tokenizer, references)

    def report(self, rows, class_names=(), references=None):
        """The full record of a set of predictions: `summarize`, and how much was captioned."""
        images = rows.get("image_id", rows["index"])
        return {
            **self.summarize(rows, references),
            "examples": len(rows["index"]),
            "images": len(np.unique(images)),
        }

    def describe_predictions(self, rows, class_names=(), references=None):
        """Describes each prediction, `(text, truth, correct)`: the generated caption and the given one, if known."""
        _, lines = self.predictions(rows, class_names, references)
        return [(line[0], line[1] if len(line) > 1 else "", None) for line in lines]

    def predictions(self, rows, class_names=(), references=None):
        """`(columns, lines)`: the generated caption of each example and, where it is known, the given one."""
        captions = [self.tokenizer.decode(row) for row in rows["generated"]]
        if references is None:
            return ["caption"], [[caption] for caption in captions]
        texts = [references.text(int(index)) for index in rows["index"]]
        return ["caption", "text"], [list(line) for line in zip(captions, texts, strict=True)]

    def answer_images(self, images, query, first=0, choices=None):
        """A caption for each of the user's images, and the loss of a caption that the user gives (`Answer`)."""
        texts = [query.text] * len(images) if query.text else self.caption(images)
        batch = batch_of(images, query, first, texts)
        rows = self.predict_rows(batch)
        captions = [self.tokenizer.decode(row) for row in rows["generated"]]
        losses = rows["losses"] / np.maximum(rows["tokens"], 1)
        lines = [[c, t, float(loss)] for c, t, loss in zip(captions, texts, losses, strict=True)]
        columns = ["caption", "text", "loss_of_text"]
        return Answer(batch=batch, texts=texts, columns=columns, lines=lines, words=captions)


def _targets(batch):
    """Tokens to be predicted (B, T - 1) int32 and their weights, 1 where a real token of a valid row is."""
    real_BT = ops.logical_and(batch["padding_mask"][:, 1:], ops.cast(batch["valid"], "bool")[:, None])
    return ops.cast(batch["token_ids"][:, 1:], "int32"), ops.cast(real_BT, "float32")
