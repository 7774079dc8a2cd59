"""The three image-text models in a few widths of nothing, and batches for them."""

import keras
import numpy as np

from tests.attention_maps.text_records import scene_texts, scenes, tokenizer
from vitcross.data.batch import normalize
from vitcross.models import CaptioningModel, DualEncoder, QuestionAnsweringModel, TextTransformer, VisionTransformer

SIZE, LENGTH = (32, 56), 37


def pairs(count, *, questions=False):
    """`(batch, texts)` of rendered scenes."""
    texts = [
        # Cut as the row is.
        type(text)(
            text=text.text,
            tokens=tokenizer().tokens(text.text, max_length=LENGTH),
            words=(words := tokenizer().words(text.text, max_length=LENGTH)),
            word_boxes=text.word_boxes[: len(words)],
        )
        for text in scene_texts(count, questions=questions)
    ]
    token_ids, padding_mask, _ = tokenizer().encode([text.text for text in texts], max_length=LENGTH)
    images = np.stack([np.asarray(scene.image) for scene in scenes(count)])
    return {
        "images": normalize(images),
        "token_ids": token_ids,
        "padding_mask": padding_mask,
        "labels": np.zeros(count, np.int32),
        "valid": np.ones(count, bool),
        "index": np.arange(count) + 100,
    }, texts


def tower(**changes):
    rates = {"dropout_rate": 0.3, "attention_dropout_rate": 0.3, "drop_path_rate": 0.3}
    fields = {"embed_dim": 14, "depth": 2, "num_heads": 2, **rates}
    return {**fields, **changes}


def text_tower(**changes):
    vocabulary = tokenizer().vocabulary_size
    return TextTransformer(vocabulary_size=vocabulary, max_length=LENGTH, **tower(embed_dim=6, **changes))


def tiny_text_model(kind, *, depth=2, pooling=None, seed=11):
    """`kind` is "dual", "captioner" or "questions"."""
    keras.utils.set_random_seed(seed)
    image_pooling = pooling if kind == "dual" and pooling in ("gap", "map") else "cls"
    image_encoder = VisionTransformer(
        num_classes=None,
        image_size=SIZE,
        patch_size=8,
        pooling=image_pooling,
        num_register_tokens=1,
        **tower(depth=depth),
    )
    if kind == "dual":
        text = text_tower(depth=depth, pooling=pooling or "eos")
        return DualEncoder(image_encoder=image_encoder, text_encoder=text, projection_dim=5)
    reading = {"cross_attention": True, "context_dim": 14, "depth": depth}
    if kind == "captioner":
        decoder = text_tower(causal=True, pooling=None, **reading)
        return CaptioningModel(image_encoder=image_encoder, text_decoder=decoder)
    encoder = text_tower(pooling=pooling or "eos", **reading)
    return QuestionAnsweringModel(image_encoder=image_encoder, text_encoder=encoder, num_answers=7)
