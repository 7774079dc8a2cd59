"""Computes the tables that the viewer shows from a record.

*Read-out rows* are what the pooling (or a word) reads; they are kept of every capture and image. *Matrices* have the
row of every token, for patches as queries; they are kept of the last capture as far as there is room.

Names: `layer/3/mean` (1 row), `layer/3/heads` (N rows), `pool/...` of an attention pooling, `map/<method>`,
`cross/1/mean` (W rows) and `cross/1/heads` (N x W rows), `words/<method>` (W), `similarity/text` (1) and
`similarity/words` (W), `labels/relevance` (a row for each label shown). The negative values of a signed
table are in a second one, whose name ends in `-`.

Shape legend: B batch, N heads, T image tokens, P patches, W words of one example, L blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vitcross.attention_maps.methods.rollout import layer_maps, methods_of, raw_maps, read_map, rollout
from vitcross.attention_maps.methods.words import pooled_text_rows, token_word_maps, word_maps, word_similarity_maps
from vitcross.attention_maps.viewer.rows import Rows, encode_rows, signed_rows

if TYPE_CHECKING:
    from vitcross.attention_maps.records.record import AttentionRecord

SIGNED = ("leave_one_out",)


def read_out_rows(record: AttentionRecord) -> list[dict[str, Rows]]:
    """For every example: name -> Rows of all its read-out tables, in the order in which they are stored."""
    tables = _image_tables(record)
    if record.text is not None:
        tables |= _word_tables(record)
    found = []
    for example in range(len(record.images)):
        rows: dict[str, Rows] = {}
        for name, (table, signed) in tables.items():
            if signed:
                rows[name], rows[f"{name}-"] = signed_rows(table[example])
            else:
                rows[name] = encode_rows(table[example])
        if record.label_part is not None and record.label_part.maps is not None:
            count = len(record.label_part.labels_shown(example))
            rows["labels/relevance"] = encode_rows(record.label_part.maps[example, :count])
        found.append(rows)
    return found


def _image_tables(record: AttentionRecord) -> dict[str, tuple]:
    """name -> `(tables, signed)`, tables (R, P) for every example."""
    tables = {}
    for layer, maps_BNP in enumerate(layer_maps(record)):
        tables |= _mean_and_heads(f"layer/{layer}", maps_BNP)
    if record.pooling == "map":
        tables |= _mean_and_heads("pool", raw_maps(record))
    for method in methods_of(record):
        tables[f"map/{method}"] = read_map(record, method)[:, None], method in SIGNED
    return tables


def _mean_and_heads(name: str, maps_BNP) -> dict[str, tuple]:
    return {f"{name}/mean": (maps_BNP.mean(axis=1, keepdims=True), False), f"{name}/heads": (maps_BNP, False)}


def _word_tables(record: AttentionRecord) -> dict[str, tuple]:
    tables = {}
    for layer, address in enumerate(record.cross_attention):
        maps_WNP = word_maps(record, address)
        tables[f"cross/{layer}/mean"] = [m.mean(axis=1) for m in maps_WNP], False
        tables[f"cross/{layer}/heads"] = [m.transpose(1, 0, 2).reshape(-1, m.shape[-1]) for m in maps_WNP], False
    for method in record.text.token_maps:
        tables[f"words/{method}"] = token_word_maps(record, method), False
    if record.text.text_similarity is not None:
        tables["similarity/text"] = record.text.text_similarity[:, None], True
    if record.text.word_similarity is not None:
        tables["similarity/words"] = word_similarity_maps(record), True
    return tables


def word_shares(record: AttentionRecord) -> dict[str, list[list[float]]]:
    """name -> for every example one number per word, summed over sub-words: `pooling`, the share that the pooling of
    the text reads (mean over heads), and for every method the word's relevance for the target."""
    tables = {} if record.text.pooling is None else {"pooling": pooled_text_rows(record).mean(axis=1)}
    tables |= record.text.text_maps
    return {
        name: [
            [float(f"{row[list(word.tokens)].sum(dtype=np.float64):.4g}") for word in text.words]
            for text, row in zip(record.text.texts, table_BT, strict=True)
        ]
        for name, table_BT in tables.items()
    }


def matrix_names(record: AttentionRecord) -> list[list[str]]:
    """Names of the matrices in groups, the most useful group first, within a group the last layer first."""
    depth = len(record.self_attention)
    layers = range(depth - 1, -1, -1)
    return [
        ["rollout"],
        [f"layer/{depth - 1}/mean"],
        [f"layer/{depth - 1}/heads"],
        [f"layer/{layer}/mean" for layer in layers[1:]],
        [f"layer/{layer}/heads" for layer in layers[1:]],
    ]


def matrix_rows(record: AttentionRecord, example: int, name: str) -> Rows:
    """The rows of every token of one example: (N (T + prefix), P), N = 1 except for `.../heads`.

    The first T rows are what each token reads from the patches, the others what patches read from each prefix token.
    """
    layers = [w[example : example + 1] for w in record.self_attention.values()]
    if name == "rollout":
        weights_NTT = rollout(layers)
    else:
        _, layer, part = name.split("/")
        weights_NTT = layers[int(layer)][0].astype(np.float64)
        weights_NTT = weights_NTT.mean(axis=0, keepdims=True) if part == "mean" else weights_NTT
    layout = record.token_layout
    reads = layout.patches(weights_NTT)
    read_by = layout.patches(layout.prefix(weights_NTT).transpose(0, 2, 1))
    return encode_rows(np.concatenate([reads, read_by], axis=1).reshape(-1, layout.num_patches))
