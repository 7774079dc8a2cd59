"""Implements the dual encoder, which embeds images and texts in one space.

CLIP, "Learning Transferable Visual Models From Natural Language Supervision" (arXiv 2103.00020), section 2.3; the
bias of the sigmoid loss from SigLIP (arXiv 2303.15343), section 3.2.

Shapes: B batch, H W C pixels, P patches, T tokens, S image tokens, D embed_dim of an encoder, E projection_dim.
"""

import functools
import math

import keras
import numpy as np
from keras import ops

from vitcross.layers.initializers import projection_initializer
from vitcross.models import targets
from vitcross.models.compiled import compiled
from vitcross.models.explainable import Query, Reading, probability_of, query_target, unchanged
from vitcross.models.image_text_model import ImageTextModel, repeated
from vitcross.options.models import MAX_LOGIT_SCALE, DualEncoderOptions


@keras.saving.register_keras_serializable(package="vitcross")
class DualEncoder(ImageTextModel):
    """Maps images and texts to embeddings of length 1. It is built when constructed.

    Args:
        image_encoder: VisionTransformer with `num_classes=None`.
        text_encoder: TextTransformer with pooling "eos", "gap" or "map" and without cross-attention.
        **options: those of `vitcross.options.models.DualEncoderOptions`.

    Call arguments:
        images: (B, H, W, C) float32 in [-1, 1].
        token_ids: (B, T) int. With K texts for every image (images (B / K, H, W, C), static sizes), rows i K to
            i K + K - 1 belong to image i.
        padding_mask: bool (B, T), True = real token; None = all real.
        training: bool.
        return_attention_scores: bool.
        attention_controls: AttentionControls by the addresses of `attention_addresses`, split between the encoders.

    Returns:
        (image_embedding (B, E), text_embedding (B, E)), float32 also in mixed precision, of Euclidean length 1; with
        `return_attention_scores` also a dict from address to weights of both encoders, the image encoder's first.

    Raises:
        ValueError: encoders that do not fit, a scale out of its range, or controls that name an unknown address.
    """

    OPTIONS = DualEncoderOptions

    def __init__(self, *, image_encoder, text_encoder, name: str = "dual_encoder", **options):
        super().__init__(image_encoder=image_encoder, text_tower=text_encoder, name=name, **options)
        if text_encoder.pooling is None or text_encoder.cross_attention:
            raise ValueError(
                "expected a text encoder with a pooling and without cross-attention. "
                f"Received: pooling={text_encoder.pooling!r}, cross_attention={text_encoder.cross_attention}"
            )
        self.build()

    def build(self, input_shape=None):
        self.image_projection = self._projection("image_projection", self.image_encoder.embed_dim)
        self.text_projection = self._projection("text_projection", self.text_encoder.embed_dim)
        self.log_logit_scale = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(math.log(self.logit_scale_init)),
            constraint=_AtMost(math.log(MAX_LOGIT_SCALE)),
            autocast=False,
            name="log_logit_scale",
        )
        self.logit_bias_weight = None
        if self.logit_bias_init is not None:
            self.logit_bias_weight = self.add_weight(
                shape=(),
                initializer=keras.initializers.Constant(self.logit_bias_init),
                autocast=False,
                name="logit_bias",
            )

    def _projection(self, name: str, embed_dim: int):
        """A built projection without bias, in the variables' dtype: embeddings stay float32."""
        projection = keras.layers.Dense(
            self.projection_dim,
            use_bias=False,
            kernel_initializer=projection_initializer(embed_dim, self.projection_dim),
            dtype=self.dtype_policy.variable_dtype,
            name=name,
        )
        projection.build((None, embed_dim))
        return projection

    @property
    def logit_scale(self):
        """Scalar float32 tensor in (0, 100], what similarities are multiplied with; stored as its logarithm."""
        return ops.exp(self.log_logit_scale)

    @property
    def logit_bias(self):
        """Scalar float32 tensor that is added to the scaled similarities; 0 without `logit_bias_init`."""
        return ops.zeros(()) if self.logit_bias_weight is None else self.logit_bias_weight.value

    def call(
        self,
        images,
        token_ids=None,
        padding_mask=None,
        training=None,
        return_attention_scores=False,
        attention_controls=None,
    ):
        options = (training, return_attention_scores, attention_controls)
        image = self.encode_images(images, *options)
        text = self.encode_texts(token_ids, padding_mask, *options)
        if not return_attention_scores:
            return repeated(image, token_ids), text
        return repeated(image[0], token_ids), text[0], {**image[1], **text[1]}

    def encode_images(self, images, training=None, return_attention_scores=False, attention_controls=None):
        """images (B, H, W, C) -> embedding (B, E) [, weights of the image encoder by address]."""
        options = self._options_of(0, training, return_attention_scores, attention_controls)
        return _embedded(self.image_encoder(images, **options), self.image_projection)

    def encode_texts(
        self, token_ids, padding_mask=None, training=None, return_attention_scores=False, attention_controls=None
    ):
        """token_ids, padding_mask (B, T) -> embedding (B, E) [, weights of the text encoder by address]."""
        options = self._options_of(1, training, return_attention_scores, attention_controls)
        return _embedded(self.text_encoder(token_ids, padding_mask=padding_mask, **options), self.text_projection)

    def patch_embeddings(self, images):
        """images (B, H, W, C) -> (B, P, E) float32 of length 1: the embedding of each patch alone.

        Attention pooling is given that one token (its value alone, as in MaskCLIP, arXiv 2112.01071, section 3.2);
        after mean pooling or a class token the patch's own token is projected.
        """
        tokens = self.image_encoder.norm(self.image_encoder.encode(images, training=False))
        layout = self.token_layout_for(tuple(images.shape[1:3]))
        return _embed_each(self.image_encoder, layout.patches(tokens, axis=1), self.image_projection)

    def word_embeddings(self, token_ids, padding_mask=None):
        """token_ids (B, T) -> (B, T, E) float32 of length 1, as `patch_embeddings`; padding's are meaningless."""
        tokens = self.text_encoder.encode(token_ids, padding_mask, training=False)
        return _embed_each(self.text_encoder, tokens, self.text_projection)

    def read(self, tokens, inputs, attention_controls=None, averaged=unchanged) -> Reading:
        """Of `Explainable`: outputs are the embeddings (B, E) of image and text; None where `inputs` have no text."""
        image = self.image_encoder.read(tokens, inputs, self._controls_of(0, attention_controls), averaged)
        image = image._replace(outputs=(normalize(self.image_projection(image.outputs)), None))
        if "token_ids" not in inputs:
            return image
        controls = self._controls_of(1, attention_controls)
        text, weights = self.text_encoder.read(inputs, attention_controls=controls, averaged=averaged)
        outputs = image.outputs[0], normalize(self.text_projection(text))
        return image._replace(outputs=outputs, weights={**image.weights, **weights})

    def choose_target(self, wanted=None, *, logits=None, class_names=(), texts=None, size=None):
        size = targets.num_examples(wanted, logits, texts, size)
        if isinstance(wanted, str) or (wanted is not None and np.asarray(wanted).dtype.kind not in "iu"):
            raise ValueError(f"`target` of a dual encoder is the match of image and text. Received: {wanted!r}")
        return np.zeros(size, np.int32), ("match",) * size

    def logits_of(self, outputs):
        return None

    def similarities(self, inputs, outputs) -> dict:
        text = {key: inputs[key] for key in self.batch_keys[1:]}
        patches = ops.cast(self.patch_embeddings(inputs["images"]), "float32")
        words = ops.cast(self.word_embeddings(**text), "float32")
        return {
            "text_similarity": ops.einsum("bpe,be->bp", patches, ops.cast(outputs[1], "float32")),
            "word_similarity": ops.einsum("bpe,bte->btp", patches, words),
        }

    def score(self, outputs, inputs, target):
        """Of `Explainable`: the cosine *without* `logit_scale`, since relevance depends on the target's scale."""
        return ops.sum(outputs[0] * outputs[1], axis=-1)

    def make_query(self, batch, target=None, choices=None) -> Query:
        """Of `Explainable`: which text fits the image best, by `logit_scale` * cosine, also where the loss was a
        sigmoid, which never compares texts. `texts` (K, E) are those to choose from; with a single one there is no
        choice, and the number is its cosine."""
        target = query_target(target, len(batch["images"]))
        if choices is None:
            target, choices = self._distinct_texts(batch)
        choices = np.asarray(choices, np.float32)
        if len(choices) == 1:
            return Query(rows={"target": np.zeros_like(target)}, shared={"only_text": choices}, is_probability=False)
        return Query(rows={"target": query_target(target, len(target), len(choices))}, shared={"texts": choices})

    def _distinct_texts(self, batch):
        """(B,) int32, which of the distinct texts of a batch each image has, and their embeddings (U, E)."""
        text = self.text_of(batch)
        rows = np.where(text["padding_mask"], text["token_ids"], -1)
        _, first, own = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        embeddings = self._embed_texts({key: array[first] for key, array in text.items()})
        return own.reshape(-1).astype(np.int32), embeddings

    @functools.cached_property
    def _embed_texts(self):
        return compiled(self, lambda text: self.encode_texts(**text, training=False), any_length=True, as_numpy=True)

    def probability(self, outputs, query: dict):
        texts = query["only_text"] if "only_text" in query else query["texts"]
        cosines = ops.matmul(ops.cast(outputs[0], "float32"), ops.transpose(texts))
        if "only_text" in query:
            return cosines[:, 0], ops.ones_like(query["target"], dtype="bool"), ops.zeros_like(query["target"])
        return probability_of(cosines * ops.cast(self.logit_scale, "float32"), query["target"])


def normalize(vectors):
    """vectors (..., E) divided by their Euclidean length; a vector of zeros stays one."""
    return vectors * ops.rsqrt(ops.maximum(ops.sum(ops.square(vectors), axis=-1, keepdims=True), 1e-12))


def _embedded(features, projection):
    """features (B, D), or a tuple of them and weights -> their embedding [, the weights]."""
    if isinstance(features, tuple):
        return normalize(projection(features[0])), features[1]
    return normalize(projection(features))


def _embed_each(encoder, tokens, projection):
    """tokens (B, T, D) -> (B, T, E), each token embedded as if it were the only one."""
    if encoder.pooling == "map":
        tokens = encoder.attention_pooling.pool_each(tokens)
    return normalize(projection(tokens))


class _AtMost(keras.constraints.Constraint):
    """Keeps a variable below a limit after each update. Clipped on reading, it would be stuck beyond."""

    def __init__(self, limit: float):
        self.limit = limit

    def __call__(self, value):
        return ops.minimum(value, self.limit)

    def get_config(self):
        return {"limit": self.limit}
