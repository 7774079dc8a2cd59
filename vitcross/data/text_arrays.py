"""Encodes the texts of a split as arrays, or, where there are very many, as they are read.

Shape letters: n pairs, B rows of a batch, T token positions, A annotators.
"""

import hashlib

import numpy as np

TOO_LONG = "text too long (cut)"
MOST_IN_MEMORY = 200_000  # the encoded texts of more pairs would fill the memory and delay the start
ON_DEMAND = "texts"  # the key of `TextsOnDemand` among the arrays


def text_arrays(source, *, tokenizer, max_length, question_types=(), num_annotators=0, problems):
    """The batch keys of texts (`batch.py`) and labels of a split: dict of arrays with one row per pair.

    Of more than `MOST_IN_MEMORY` pairs the tokens are left to a `TextsOnDemand`, the value of the key `ON_DEMAND`;
    `take_rows` and `spec_of_rows` read both.

    Args:
        source: `PairSource`.
        tokenizer: `Tokenizer`.
        max_length: int, T.
        question_types: tuple of str; () for captions.
        num_annotators: int, A; the key `annotator_answers` exists if it is > 1.
        problems: `TextProblems`, where truncated texts are recorded, those on demand excepted.
    """
    arrays = {
        "labels": source.labels().astype(np.int32),
        "image_id": source.image_ids.astype(np.int64, copy=False),
    }
    if len(source) > MOST_IN_MEMORY:
        arrays[ON_DEMAND] = TextsOnDemand(source, tokenizer=tokenizer, max_length=max_length)
    else:
        arrays |= _encoded(source, tokenizer, max_length, problems)
    if question_types:
        number = {kind: k for k, kind in enumerate(question_types)}
        arrays["question_type"] = np.array([number[source.question_type(k)] for k in range(len(source))], np.int32)
        if num_annotators > 1:
            arrays["annotator_answers"] = _answers(source, num_annotators)
    return arrays


class TextsOnDemand:
    """Encodes the texts of the pairs that are read; `text_id` is a hash of the text."""

    def __init__(self, source, *, tokenizer, max_length):
        self._source, self._tokenizer, self._max_length = source, tokenizer, max_length

    @property
    def spec(self):
        """dict of batch key to the shape and dtype of one row."""
        row = (self._max_length,)
        return {"token_ids": (row, np.int32), "padding_mask": (row, np.bool_), "text_id": ((), np.int64)}

    def read(self, indices):
        """dict of the keys of `spec` to their rows at `indices` (B,)."""
        texts = [self._source.text(int(index)) for index in indices]
        token_ids, padding_mask, _ = self._tokenizer.encode(texts, max_length=self._max_length)
        text_id = np.array([_hash(self._tokenizer.normalize(text)) for text in texts], np.int64)
        return {"token_ids": token_ids, "padding_mask": padding_mask, "text_id": text_id}


def take_rows(arrays, indices):
    """The rows at `indices` of what `text_arrays` returns."""
    taken = {key: rows[indices] for key, rows in arrays.items() if key != ON_DEMAND}
    return taken | arrays[ON_DEMAND].read(indices) if ON_DEMAND in arrays else taken


def spec_of_rows(arrays):
    """dict of batch key to the shape and dtype of one row of what `text_arrays` returns."""
    spec = {key: (rows.shape[1:], rows.dtype) for key, rows in arrays.items() if key != ON_DEMAND}
    return spec | arrays[ON_DEMAND].spec if ON_DEMAND in arrays else spec


def first_of_each_text(source, *, tokenizer):
    """Indices of the first pair of each text, in order; texts are equal if the tokenizer normalizes them equally."""
    texts = {}
    for index, text in enumerate(source.texts()):
        texts.setdefault(tokenizer.normalize(text), index)
    return list(texts.values())


def _encoded(source, tokenizer, max_length, problems):
    # Many pairs have the same question, so each distinct text is encoded once.
    unique, text_of_pair = np.unique(np.array(source.texts(), object), return_inverse=True)
    token_ids, padding_mask, truncated = tokenizer.encode(unique.tolist(), max_length=max_length)
    for index in np.flatnonzero(truncated[text_of_pair]):
        problems.add(TOO_LONG, source.text_name(index))
    same = np.unique([tokenizer.normalize(text) for text in unique], return_inverse=True)[1]
    return {
        "token_ids": token_ids[text_of_pair],
        "padding_mask": padding_mask[text_of_pair],
        "text_id": same[text_of_pair].astype(np.int64),
    }


def _hash(text):
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def _answers(source, num_annotators):
    number = {name: k for k, name in enumerate(source.class_names)}
    rows = np.full((len(source), num_annotators), -1, np.int32)
    for index, row in enumerate(rows):
        answers = source.answers(index)
        row[: len(answers)] = [number.get(answer, -1) for answer in answers]
    return rows
