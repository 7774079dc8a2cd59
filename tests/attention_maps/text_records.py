"""Image-text records of known content: rendered scenes with their captions or questions, and planted attention."""

import dataclasses
import functools
import json

import numpy as np

from tests.attention_maps.records import random_weights, softmax
from vitcross.attention_maps import AttentionRecord, Prediction, ProbeText, TextPart
from vitcross.attention_maps.trust.grounding import boxes_to_patches
from vitcross.data.scenes.scene import SceneOptions, render_scene
from vitcross.data.scenes.word_boxes import scene_links
from vitcross.data.tokenizer import Tokenizer
from vitcross.layers.token_layout import TokenLayout

SIZE, PATCH = (32, 56), (8, 8)
N = 3
MAX_LENGTH = 53


@functools.cache
def scenes(count, size=SIZE):
    options = SceneOptions(image_size=size, max_objects=3)
    return [render_scene(options, split="train", index=index) for index in range(count)]


@functools.cache
def tokenizer():
    # Few merges, so that words have several sub-words.
    texts = [scene.caption for scene in scenes(11)] + [q["question"] for s in scenes(11) for q in s.questions]
    return Tokenizer.train(texts, vocabulary_size=300)


def with_boxes(text, links, max_length=MAX_LENGTH):
    """A `ProbeText` whose words have the boxes of the links (start, end, boxes, part) that lie in them."""
    words = tokenizer().words(text, max_length=max_length)
    boxes = [
        next((found for start, end, found, _ in links if word.start <= start and end <= word.end), None)
        for word in words
    ]
    tokens = tuple(tokenizer().tokens(text, max_length=max_length))
    return ProbeText(text=text, tokens=tokens, words=tuple(words), word_boxes=tuple(boxes))


def scene_texts(count, *, questions=False, size=SIZE):
    found = []
    for n, scene in enumerate(scenes(count, size)):
        content = json.loads(scene.to_json())
        text = scene.questions[n % len(scene.questions)]["question"] if questions else scene.caption
        found.append(with_boxes(text, scene_links(content, text, is_caption=not questions)))
    return found


def image_record(count, *, prefix=1, size=SIZE, patch=PATCH, depth=2, heads=N, seed=0, predictions=None, step=5):
    layout = TokenLayout(grid_height=size[0] // patch[0], grid_width=size[1] // patch[1], num_prefix_tokens=prefix)
    tokens = layout.num_tokens
    return AttentionRecord(
        step=step,
        images=np.stack([np.asarray(scene.image) for scene in scenes(count, size)]),
        probabilities=None,
        class_names=(),
        example_index=np.arange(count),
        weights={
            f"image_encoder/block_{layer:02d}/self_attention": random_weights(count, heads, tokens, tokens, seed=layer)
            for layer in range(depth)
        },
        token_layout=layout,
        pooling="gap",
        patch_size=patch,
        token_norms=np.random.default_rng(seed).uniform(5, 9, (count, tokens)).astype(np.float32),
        predictions=predictions or (Prediction("a red star", "text: a red star", True),) * count,
    )


def text_record(
    count=5,
    *,
    predicts_next=False,
    dual=False,
    planted=0.0,
    depth=2,
    heads=N,
    seed=0,
    texts=None,
    pooling="eos",
    **image,
):
    """An AttentionRecord of scenes and their texts.

    Args:
        count: pairs.
        predicts_next: a captioner, with the rows of a captioner.
        dual: a dual encoder: similarity instead of cross-attention.
        planted: logit that patches of a word's boxes have more than others in the rows of that word; grows with depth.
        texts: list of ProbeText; None: captions, or questions where every token has its own row.
    """
    texts = texts or scene_texts(count, questions=not (predicts_next or dual), size=image.get("size", SIZE))
    record = image_record(count, depth=depth, heads=heads, seed=seed, **image)
    length = max(len(text.tokens) for text in texts) + 3
    mask = np.arange(length) < np.array([len(text.tokens) for text in texts])[:, None]
    generator = np.random.default_rng(seed)
    tower = "text_decoder" if predicts_next else "text_encoder"
    logits = generator.normal(size=(count, length, length))
    logits = np.where(mask[:, None] & (not predicts_next or np.tri(length, dtype=bool)), logits, -np.inf)
    weights = {}
    fields = {"texts": tuple(texts), "padding_mask": mask, "predicts_next": predicts_next}
    for layer in range(depth):
        noise = generator.normal(scale=0.5, size=(count, heads, length, length))
        weights[f"{tower}/block_{layer:02d}/self_attention"] = softmax(logits[:, None] + noise).astype(np.float32)
        if not dual:
            cross = generator.normal(scale=0.7, size=(count, heads, length, record.token_layout.num_tokens))
            for b, text in enumerate(texts):
                for word, boxes in zip(text.words, text.word_boxes, strict=True):
                    if boxes is not None:
                        rows = np.array(word.tokens) - int(predicts_next)
                        patches = record.token_layout.patches(cross[b], axis=-1)
                        patches[:, rows] += planted * (layer + 1) * boxes_to_patches(record, boxes).ravel()
            weights[f"{tower}/block_{layer:02d}/cross_attention"] = softmax(cross).astype(np.float32)
    if dual:
        fields["word_similarity"] = _planted_cosines(record, texts, mask, generator, planted)
        fields["text_similarity"] = fields["word_similarity"].mean(axis=1)
    text = TextPart(weights=weights, pooling=None if predicts_next else pooling, **fields)
    return dataclasses.replace(record, text=text)


def with_text(record, **changes):
    """The record with other fields of its texts."""
    return dataclasses.replace(record, text=dataclasses.replace(record.text, **changes))


def _planted_cosines(record, texts, mask, generator, planted):
    cosines = generator.normal(scale=0.1, size=(*mask.shape, record.token_layout.num_patches))
    for b, text in enumerate(texts):
        for word, boxes in zip(text.words, text.word_boxes, strict=True):
            if boxes is not None:
                cosines[b, list(word.tokens)] += 0.1 * planted * boxes_to_patches(record, boxes).ravel()
    return np.clip(cosines, -1, 1).astype(np.float32)
