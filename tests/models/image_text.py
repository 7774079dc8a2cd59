"""Small image-text models and a batch for them, of distinct prime sizes."""

import numpy as np

from tests.backend import randomize
from vitcross.models import CaptioningModel, DualEncoder, QuestionAnsweringModel, TextTransformer, VisionTransformer

V, T, HEADS = 13, 7, 3
BOS, EOS, PAD = 1, 2, 0
RNG = np.random.default_rng(41)
IMAGES = RNG.uniform(-1, 1, size=(3, 24, 40, 3)).astype("float32")
IDS = np.array([[BOS, 5, 11, EOS, 0, 0, 0], [BOS, 7, 3, 12, 4, 6, EOS], [BOS, 9, EOS, 0, 0, 0, 0]], "int32")
REAL = np.arange(T) < np.array([4, 7, 3])[:, None]


def image_encoder(**options):
    sizes = {"image_size": (24, 40), "patch_size": 8, "embed_dim": 15, "depth": 1, "num_heads": HEADS, "mlp_ratio": 2.0}
    return VisionTransformer(**{"num_classes": None, "pooling": "gap", **sizes, **options})


def text_tower(**options):
    sizes = {"vocabulary_size": V, "max_length": T, "embed_dim": 21, "depth": 2, "num_heads": HEADS, "mlp_ratio": 2.0}
    return TextTransformer(**{**sizes, **options})


def decoder(**options):
    return text_tower(**{"causal": True, "cross_attention": True, "context_dim": 15, "pooling": None, **options})


def dual_encoder(image=None, text=None, **options):
    image, text = {"pooling": "map", **(image or {})}, {"pooling": "map", **(text or {})}
    towers = {"image_encoder": image_encoder(**image), "text_encoder": text_tower(**text)}
    return randomize(DualEncoder(**towers, **{"projection_dim": 11, **options}))


def captioner(image=None, text=None, **options):
    image = {"num_register_tokens": 2, **(image or {})}
    return randomize(
        CaptioningModel(image_encoder=image_encoder(**image), text_decoder=decoder(**(text or {})), **options)
    )


def question_answering(image=None, text=None, **options):
    text = {"cross_attention": True, "context_dim": 15, **(text or {})}
    towers = {"image_encoder": image_encoder(**(image or {})), "text_encoder": text_tower(**text)}
    return randomize(QuestionAnsweringModel(**towers, **{"num_answers": 17, **options}))
