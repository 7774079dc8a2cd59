"""Encodes the texts of a split as arrays. Shape letters: n pairs, T token positions, A annotators."""

import numpy as np

TOO_LONG = "text too long (cut)"


def text_arrays(source, *, tokenizer, max_length, question_types=(), num_annotators=0, problems):
    """The batch keys of texts (`batch.py`) and labels of a split: dict of arrays with one row per pair.

    Args:
        source: `PairSource`.
        tokenizer: `Tokenizer`.
        max_length: int, T.
        question_types: tuple of str; () for captions.
        num_annotators: int, A; the key `annotator_answers` exists if it is > 1.
        problems: `TextProblems`, where truncated texts are recorded.
    """
    texts = source.texts()
    # Many pairs have the same question, so each distinct text is encoded once.
    unique, text_of_pair = np.unique(np.array(texts, object), return_inverse=True)
    token_ids, padding_mask, truncated = tokenizer.encode(unique.tolist(), max_length=max_length)
    for index in np.flatnonzero(truncated[text_of_pair]):
        problems.add(TOO_LONG, source.text_name(index))
    same = np.unique([tokenizer.normalize(text) for text in unique], return_inverse=True)[1]
    arrays = {
        "labels": source.labels().astype(np.int32),
        "token_ids": token_ids[text_of_pair],
        "padding_mask": padding_mask[text_of_pair],
        "text_id": same[text_of_pair].astype(np.int64),
        "image_id": source.image_ids.astype(np.int64),
    }
    if question_types:
        number = {kind: k for k, kind in enumerate(question_types)}
        arrays["question_type"] = np.array([number[pair.question_type] for pair in source.pairs], np.int32)
        if num_annotators > 1:
            arrays["annotator_answers"] = _answers(source, num_annotators)
    return arrays


def first_of_each_text(source, *, tokenizer):
    """Indices of the first pair of each text, in order; texts are equal if the tokenizer normalizes them equally."""
    texts = {}
    for index, text in enumerate(source.texts()):
        texts.setdefault(tokenizer.normalize(text), index)
    return list(texts.values())


def _answers(source, num_annotators):
    number = {name: k for k, name in enumerate(source.class_names)}
    rows = np.full((len(source), num_annotators), -1, np.int32)
    for row, pair in zip(rows, source.pairs, strict=True):
        row[: len(pair.answers)] = [number.get(answer, -1) for answer in pair.answers]
    return rows
