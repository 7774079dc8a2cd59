"""Classifies images zero-shot: a class is the mean embedding of sentences that name it.

Reference: CLIP, arXiv 2103.00020, section 3.1.4 (prompt ensembling).
Shape letters: n images, K classes, D embedding dimension.
"""

import numpy as np
from keras import ops

from vitcross.tasks.classification_metrics import top_k_accuracy

TEMPLATES = ("a photo of a {}.",)
TEXTS_PER_BATCH = 128


def class_embeddings(network, tokenizer, class_names, templates=TEMPLATES):
    """Embeddings of classes from their names: the normalized mean over templates of the normalized text embeddings.

    Args:
        network: `vitcross.models.DualEncoder`.
        tokenizer: `vitcross.data.tokenizer.Tokenizer` that the network was trained with.
        class_names: sequence of str.
        templates: sequence of str, each with one `{}` for the name.

    Returns:
        `(K, D)` float32, L2-normalized.

    Raises:
        ValueError: no class, no template, or one without `{}`.
    """
    if not class_names or not templates or any("{}" not in template for template in templates):
        raise ValueError(
            "zero-shot classification needs class names and templates with {} for the name. Received: "
            f"class_names={list(class_names)[:3]}, templates={list(templates)[:3]}"
        )
    # `replace`, not `format`: class names may hold braces.
    texts = [template.replace("{}", name) for name in class_names for template in templates]
    token_ids, padding_mask, _ = tokenizer.encode(texts, max_length=network.text_encoder.max_length)
    pieces = []
    for start in range(0, len(texts), TEXTS_PER_BATCH):
        part = slice(start, start + TEXTS_PER_BATCH)
        pieces.append(ops.convert_to_numpy(network.encode_texts(token_ids[part], padding_mask[part])))
    return mean_embeddings(np.concatenate(pieces).reshape(len(class_names), len(templates), -1))


def mean_embeddings(text_embeddings_KtD):
    """Normalized mean over t sentences of their normalized embeddings: `(K, D)` float32."""
    return _normalized(_normalized(np.asarray(text_embeddings_KtD, np.float32)).mean(axis=1))


def zero_shot_logits(image_embeddings_nD, class_embeddings_KD):
    """Cosine of each image with each class: `(n, K)` float32 in [-1, 1]."""
    return _normalized(np.asarray(image_embeddings_nD, np.float32)) @ np.asarray(class_embeddings_KD, np.float32).T


def zero_shot_accuracy(image_embeddings_nD, class_embeddings_KD, labels_n):
    """Share of images whose class is the nearest: `zero_shot_accuracy`, and `zero_shot_top5_accuracy` where K > 5.

    Ties count against the model; images without a class (label -1) are left out.

    Raises:
        ValueError: where no image has a class.
    """
    labels_n = np.asarray(labels_n)
    known_n = labels_n >= 0
    if not known_n.any():
        raise ValueError("zero-shot accuracy needs images whose class is known. Received: none")
    cosines_nK = zero_shot_logits(np.asarray(image_embeddings_nD)[known_n], class_embeddings_KD)
    values = {"zero_shot_accuracy": top_k_accuracy(cosines_nK, labels_n[known_n], 1)}
    if len(class_embeddings_KD) > 5:
        values["zero_shot_top5_accuracy"] = top_k_accuracy(cosines_nK, labels_n[known_n], 5)
    return values


def _normalized(x):
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
