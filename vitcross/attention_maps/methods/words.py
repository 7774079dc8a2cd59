"""Reduces the rows of text tokens to words: which patches a word attends to, and which words attend to a patch.

The sub-words of one word are averaged. Which row belongs to a token depends on the model: its own row (question
answering), or in a captioner, which under teacher forcing predicts token t from the text up to t - 1, the row t - 1
*that predicts it*: what the model attended to in order to generate the word.

Everything is float64 and in patch space; maps leave out the prefix tokens of the image, whose share is
`word_prefix_mass`.

Shape legend: B batch, N heads, T text tokens, S image tokens, P patches, W words of one example.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps.methods.rollout import divide

if TYPE_CHECKING:
    from vitcross.attention_maps.records.probe_text import ProbeText
    from vitcross.attention_maps.records.record import AttentionRecord


def token_rows(record: AttentionRecord) -> np.ndarray:
    """(T,) row of the cross-attention that belongs to each token; -1 for the first token of a captioner, which no row
    predicts."""
    return np.arange(record.text.padding_mask.shape[1]) - int(record.text.predicts_next)


def query_mask(record: AttentionRecord) -> np.ndarray:
    """(B, T) bool, the rows that belong to a real token."""
    mask = record.text.padding_mask
    if not record.text.predicts_next:
        return mask
    rows = np.zeros_like(mask)
    rows[:, :-1] = mask[:, 1:]
    return rows


def _layer(record: AttentionRecord, address: str | None) -> np.ndarray:
    layers = record.cross_attention
    if address is None and layers:
        return list(layers.values())[-1]
    if address not in layers:
        raise ValueError(f"`address` must be one of the cross-attention layers {list(layers)}. Received: {address!r}")
    return layers[address]


def _mean_of_words(text: ProbeText, rows_NTS: np.ndarray) -> np.ndarray:
    """(W, N, S) mean of the rows of each word's tokens."""
    found = [rows_NTS[:, list(word.tokens)].mean(axis=1, dtype=np.float64) for word in text.words]
    return np.stack(found) if found else np.zeros((0, len(rows_NTS), rows_NTS.shape[-1]))


def word_rows(record: AttentionRecord, address: str | None = None) -> list[np.ndarray]:
    """For every example (W, N, S): what each word attends to, in each head, prefix tokens of the image included.

    Args:
        record: AttentionRecord with cross-attention.
        address: of one cross-attention layer; None: the last one.
    """
    rows = token_rows(record)
    # Row -1 would be the last one, but it belongs to BOS, which no word contains.
    return [
        _mean_of_words(text, layer_NTS[:, rows])
        for text, layer_NTS in zip(record.text.texts, _layer(record, address), strict=True)
    ]


def word_maps(record: AttentionRecord, address: str | None = None) -> list[np.ndarray]:
    """For every example (W, N, P): the patches that each word attends to. Sums to 1 minus the prefix mass."""
    return [record.token_layout.patches(rows) for rows in word_rows(record, address)]


def word_prefix_mass(record: AttentionRecord, address: str | None = None) -> list[np.ndarray]:
    """For every example (W, N): the share of each word's attention that goes to prefix tokens of the image."""
    return [record.token_layout.prefix(rows).sum(axis=-1) for rows in word_rows(record, address)]


def patch_words(record: AttentionRecord, address: str | None = None) -> list[np.ndarray]:
    """For every example (P, N, W): the share of each word in the attention that a patch receives from words; zeros
    where it receives none."""
    maps = [m.transpose(2, 1, 0) for m in word_maps(record, address)]
    return [divide(m, m.sum(axis=-1, keepdims=True)) for m in maps]


def word_similarity_maps(record: AttentionRecord) -> list[np.ndarray]:
    """For every example (W, P): cosine of each word and each patch of a dual encoder, mean over the word's tokens."""
    if record.text.word_similarity is None:
        raise ValueError("`record` must hold the similarity of words and patches. Received: word_similarity=None")
    return [
        _mean_of_words(text, cosines_TP[None])[:, 0]
        for text, cosines_TP in zip(record.text.texts, record.text.word_similarity, strict=True)
    ]


def token_word_maps(record: AttentionRecord, method: str) -> list[np.ndarray]:
    """For every example (W, P): a method of `record.text.token_maps`, mean over the word's own tokens."""
    if method not in record.text.token_maps:
        raise ValueError(f"`method` must be one of {list(record.text.token_maps)}. Received: method={method!r}")
    return [
        _mean_of_words(text, maps_TP[None])[:, 0]
        for text, maps_TP in zip(record.text.texts, record.text.token_maps[method], strict=True)
    ]


def pooled_text_rows(record: AttentionRecord) -> np.ndarray:
    """(B, N, T) what the pooling of the text reads: the EOS token's row of the last layer, the mean over the rows of
    all real tokens, or the weights of the attention pooling."""
    text, mask = record.text, record.text.padding_mask
    if text.pooling == "map":
        return text.pooling_weights[:, :, 0].astype(np.float64)
    if text.pooling is None:
        raise ValueError("`record` must be of a text tower that pools. Received: text.pooling=None")
    last = list(text.self_attention.values())[-1].astype(np.float64)
    if text.pooling == "eos":
        ends = mask.sum(axis=1) - 1
        return last[np.arange(len(last)), :, ends]
    shares = divide(mask.astype(np.float64), mask.sum(axis=1, keepdims=True))
    return np.einsum("bt,bnts->bns", shares, last)
