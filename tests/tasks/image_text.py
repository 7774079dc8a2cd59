"""Sixteen scenes with captions and questions, and networks small enough to learn them by heart in a blink."""

import functools
import json
import types

import keras
import numpy as np

from vitcross.data.batch import normalize
from vitcross.data.scenes.scene import SceneOptions, render_scene
from vitcross.data.tokenizer import Tokenizer
from vitcross.models import CaptioningModel, DualEncoder, QuestionAnsweringModel, TextTransformer, VisionTransformer

SIZE = 16
IMAGE_SIZE = (32, 40)
LENGTH = 29


@functools.cache
def scenes():
    options = SceneOptions(image_size=IMAGE_SIZE, max_objects=2)
    return tuple(render_scene(options, split="train", index=index) for index in range(SIZE))


def captions():
    return [scene.caption for scene in scenes()]


def asked():
    """One question a scene: dicts with `type`, `question`, `answer`."""
    return [scene.questions[index % len(scene.questions)] for index, scene in enumerate(scenes())]


def answers():
    return sorted({question["answer"] for question in asked()})


def question_types():
    return tuple(sorted({question["type"] for question in asked()}))


@functools.cache
def tokenizer():
    texts = captions() + [question["question"] for question in asked()]
    return Tokenizer.train(texts, vocabulary_size=211, kind="wordpiece")


def batch_of(texts, **more):
    token_ids, padding_mask, truncated = tokenizer().encode(texts, max_length=LENGTH)
    assert not truncated.any()
    return {
        "images": np.stack([normalize(np.asarray(scene.image)) for scene in scenes()]),
        "token_ids": token_ids,
        "padding_mask": padding_mask,
        "text_id": np.unique(texts, return_inverse=True)[1].astype("int64"),
        "image_id": np.arange(SIZE),
        "index": np.arange(SIZE),
        "valid": np.ones(SIZE, bool),
        "labels": np.full(SIZE, -1, "int32"),
        **more,
    }


def caption_batch():
    return batch_of(captions())


def question_batch():
    questions = asked()
    labels = np.array([answers().index(question["answer"]) for question in questions], "int32")
    kinds = np.array([question_types().index(question["type"]) for question in questions], "int32")
    return batch_of([question["question"] for question in questions], labels=labels, question_type=kinds)


class References:
    """What the tasks ask of `ImageTextData.references`."""

    tokenizer = property(lambda self: tokenizer())
    question_types = property(lambda self: question_types())

    def text(self, index):
        return captions()[index]

    def texts(self, index):
        return [captions()[index]]

    def scene(self, index):
        return {**json.loads(scenes()[index].to_json()), "image_size": IMAGE_SIZE}

    def answers(self, index):
        return (asked()[index]["answer"],)


def image_encoder(seed=3):
    keras.utils.set_random_seed(seed)
    return VisionTransformer(
        num_classes=None, image_size=IMAGE_SIZE, patch_size=8, embed_dim=16, depth=1, num_heads=2, pooling="gap"
    )


def text_tower(**options):
    sizes = {"vocabulary_size": tokenizer().vocabulary_size, "max_length": LENGTH, "embed_dim": 16, "num_heads": 2}
    return TextTransformer(**sizes, depth=1, **options)


def dual_encoder(**options):
    return DualEncoder(image_encoder=image_encoder(), text_encoder=text_tower(), projection_dim=13, **options)


def captioner():
    decoder = text_tower(causal=True, cross_attention=True, pooling=None)
    return CaptioningModel(image_encoder=image_encoder(), text_decoder=decoder)


def question_answerer():
    encoder = text_tower(cross_attention=True)
    return QuestionAnsweringModel(image_encoder=image_encoder(), text_encoder=encoder, num_answers=len(answers()))


def train(task, batch, *, steps, learning_rate=3e-3):
    """`fit` on one batch again and again; returns the metrics of the last interval."""
    import tensorflow as tf

    task.compile(optimizer=keras.optimizers.Adam(learning_rate), jit_compile=False)
    batches = tf.data.Dataset.from_tensors(batch).repeat()
    history = task.fit(batches, steps_per_epoch=steps // 2, epochs=2, verbose=0, shuffle=False).history
    return types.SimpleNamespace(**{name: values[-1] for name, values in history.items()})


def pieces(batch, sizes=(5, 8, 3)):
    """The batch cut into several, the last padded with rows that are not valid to the size of the largest."""
    start = 0
    for size in sizes:
        piece = {key: value[start : start + size] for key, value in batch.items()}
        missing = max(sizes) - size
        padded = {key: np.concatenate([value, np.repeat(value[:1], missing, 0)]) for key, value in piece.items()}
        yield {**padded, "valid": np.arange(max(sizes)) < size}
        start += size
