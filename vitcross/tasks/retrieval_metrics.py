"""Computes recall at k and median rank of retrieval among all images and texts of a split, in both directions.

Each image (`image_id`) and each text (`text_id`) of the split is searched once. A text belongs to an image where any
example of the split pairs the two: an image with five captions is found by each, and a caption that two images share is
correct for both. The rank of a query is that of its best match; other matches are not ahead of it. Ties count
against the model: a model that gives the same embedding to everything has the last rank, not the first.

Shape letters: n examples, Q queries, G the images or texts searched, D embedding dimension, c the queries of one
chunk.
"""

import math

import numpy as np

RECALL_AT = (1, 5, 10)
NEARLY_EQUAL = 1e-6  # cosines closer than float32 rounding are ties


def retrieval_metrics(image_embeddings_nD, text_embeddings_nD, image_id, text_id, chunk_size=256):
    """Recall and median rank of both directions, exact over all n examples.

    Args:
        image_embeddings_nD, text_embeddings_nD: `(n, D)` float, L2-normalized; row i of one matches row i of the other.
        image_id, text_id: `(n,)` integers, equal for the same image, for equal texts.
        chunk_size: int, queries compared at a time: memory is `chunk_size x max(images, texts)`.

    Returns:
        dict of float: `image_to_text_r1`, `_r5`, `_r10` in [0, 1], `image_to_text_median_rank` from 1, and the same for
        `text_to_image`; `mean_r1`, the mean of both `_r1`.
    """
    directions = _directions(image_embeddings_nD, text_embeddings_nD, image_id, text_id)
    values = {}
    for name, (queries_QD, candidates_GD, query_of, candidate_of) in directions.items():
        ranks_Q = best_ranks(queries_QD, candidates_GD, query_of, candidate_of, chunk_size)
        values |= {f"{name}_r{k}": float(np.mean(ranks_Q <= k)) for k in RECALL_AT}
        values[f"{name}_median_rank"] = float(np.median(ranks_Q))
    return values | {"mean_r1": (values["image_to_text_r1"] + values["text_to_image_r1"]) / 2}


def chance_recall(image_id, text_id):
    """What a random order reaches, as `retrieval_metrics`: dict of float, `image_to_text_r1_chance`, ..."""
    empty_n0 = np.zeros((len(image_id), 0))
    values = {}
    for name, (_, candidates_GD, query_of, _) in _directions(empty_n0, empty_n0, image_id, text_id).items():
        total, matches_Q = len(candidates_GD), np.bincount(query_of)
        for k in RECALL_AT:
            # None of the m matches among the first k: C(G - m, k) / C(G, k).
            missed = [math.comb(total - m, min(k, total)) / math.comb(total, min(k, total)) for m in matches_Q.tolist()]
            values[f"{name}_r{k}_chance"] = 1.0 - float(np.mean(missed))
    return values


def _directions(image_embeddings_nD, text_embeddings_nD, image_id, text_id):
    """Per direction: distinct queries, distinct candidates, and the matching pairs of them (each once, by query)."""
    _, first_image, image_of = np.unique(image_id, return_index=True, return_inverse=True)
    _, first_text, text_of = np.unique(text_id, return_index=True, return_inverse=True)
    images_QD, texts_GD = np.asarray(image_embeddings_nD)[first_image], np.asarray(text_embeddings_nD)[first_text]
    matches = np.unique(np.stack([image_of, text_of], axis=1), axis=0)
    by_text = matches[np.argsort(matches[:, 1], kind="stable")]
    return {
        "image_to_text": (images_QD, texts_GD, matches[:, 0], matches[:, 1]),
        "text_to_image": (texts_GD, images_QD, by_text[:, 1], by_text[:, 0]),
    }


def best_ranks(queries_QD, candidates_GD, query_of, candidate_of, chunk_size):
    """Rank, from 1, of the best match of each query: `(Q,)` int64.

    Args:
        query_of, candidate_of: `(m,)` int, the matching pairs, sorted by query; each query has at least one.
    """
    ranks_Q = np.empty(len(queries_QD), np.int64)
    for start in range(0, len(queries_QD), chunk_size):
        scores_cG = np.asarray(queries_QD[start : start + chunk_size] @ candidates_GD.T, np.float32)
        first, last = np.searchsorted(query_of, [start, start + len(scores_cG)])
        match_cG = np.zeros(scores_cG.shape, bool)
        match_cG[query_of[first:last] - start, candidate_of[first:last]] = True
        best_c1 = np.where(match_cG, scores_cG, -np.inf).max(axis=1, keepdims=True)
        # Not "at least as large": a score that is NaN is ahead too.
        ahead_cG = ~(scores_cG < best_c1 - NEARLY_EQUAL) & ~match_cG
        ranks_Q[start : start + len(scores_cG)] = 1 + ahead_cG.sum(axis=1)
    return ranks_Q
