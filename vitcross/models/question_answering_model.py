"""Implements the question-answering model: the words of a question read the image in every block.

Answers as classes as in "VQA: Visual Question Answering" (arXiv 1505.00468), section 5; cross-attention from the
question to image tokens as in LXMERT (arXiv 1908.07490), section 2.2, in one direction.

Shapes: B batch, H W C pixels, S image tokens, T tokens, N heads, D embed_dim, K answers.
"""

import keras

from vitcross.models.explainable import Reading, unchanged
from vitcross.models.image_text_model import ContextModel
from vitcross.options.models import QuestionAnsweringOptions


@keras.saving.register_keras_serializable(package="vitcross")
class QuestionAnsweringModel(ContextModel):
    """Maps images and questions to logits of the answers. It is built when constructed.

    Args:
        image_encoder: VisionTransformer with `num_classes=None` and pooling "gap" or "cls".
        text_encoder: TextTransformer with `cross_attention=True` and pooling "eos", "gap" or "map".
        **options: those of `vitcross.options.models.QuestionAnsweringOptions`.

    Call arguments:
        images: (B, H, W, C) float32 in [-1, 1].
        token_ids: (B, T) int. With K texts for every image (images (B / K, H, W, C), static sizes), rows i K to
            i K + K - 1 belong to image i.
        padding_mask: bool (B, T), True = real token; None = all real.
        training: bool.
        return_attention_scores: bool.
        attention_controls: AttentionControls by the addresses of `attention_addresses`, split between the encoders.
            Patches that are not kept are masked in the cross-attention too.

    Returns:
        logits (B, K), float32 also in mixed precision; with `return_attention_scores` a tuple of them and a dict from
        address to weights of both encoders: `image_encoder/block_00/self_attention`, ...,
        `text_encoder/block_00/self_attention` (B, N, T, T), `text_encoder/block_00/cross_attention` (B, N, T, S), ...

    Raises:
        ValueError: encoders that do not fit, or controls that name an unknown address.
    """

    OPTIONS = QuestionAnsweringOptions

    def __init__(self, *, image_encoder, text_encoder, name: str = "question_answering_model", **options):
        super().__init__(image_encoder=image_encoder, text_tower=text_encoder, name=name, **options)
        if text_encoder.pooling is None:
            raise ValueError("expected a text encoder with a pooling. Received: pooling=None")
        self.build()

    def build(self, input_shape=None):
        self.head = self.built_head(self.num_answers, self.text_encoder.embed_dim)

    def logits(self, features):
        """features (B, D) of the question -> (B, K) float32."""
        return self.head(features)

    @property
    def num_choices(self) -> int:
        """Of `Explainable`: the answers."""
        return self.num_answers

    def read(self, tokens, inputs, attention_controls=None, averaged=unchanged) -> Reading:
        """Of `Explainable`: outputs are logits (B, K)."""
        reading = super().read(tokens, inputs, attention_controls, averaged)
        return reading._replace(outputs=self.logits(reading.outputs))
