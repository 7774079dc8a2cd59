"""Finds the target that a map explains, by name or number: one of K choices (a class, an answer) or a word of a text.

Pure NumPy. A text is what `vitcross.attention_maps.ProbeText` holds: its tokens, its words with the positions of their
tokens, and the boxes of what the words name.

Shape legend: B batch, K choices, T text tokens.
"""

from __future__ import annotations

import numpy as np

from vitcross.typos import offer


def num_examples(wanted, logits, texts, size) -> int:
    """B, from the first of `logits`, `texts`, a sequence `wanted` and `size` that is known."""
    for known in (logits, texts, None if wanted is None or isinstance(wanted, str) else wanted):
        if known is not None:
            return len(known)
    if size is None:
        raise ValueError("`size` must say how many examples there are. Received: None")
    return size


def one_each(wanted, size: int) -> list:
    """`wanted` for each of `size` examples, of which it may be a sequence already."""
    each = [wanted] * size if wanted is None or isinstance(wanted, str) else list(wanted)
    if len(each) != size:
        raise ValueError(f"`target` must be one per example ({size}). Received: {len(each)}")
    return each


def choice(wanted, count: int, names: tuple[str, ...]) -> int:
    """The number of one of `count` choices, given by name (upper and lower case do not matter) or by number."""
    if not isinstance(wanted, str):
        number = wanted = int(wanted)
    elif wanted in names:
        return names.index(wanted)
    else:
        lowered = [name.casefold() for name in names]
        if wanted.casefold() in lowered:
            return lowered.index(wanted.casefold())
        if not wanted.strip().isdecimal():
            known = offer(wanted, names) or "the numbers of the classes"
            raise ValueError(f"`target` must be one of {known}. Received: target={wanted!r}")
        number = int(wanted)
    if not 0 <= number < count:
        raise ValueError(f"`target` must be a name, or a number in [0, {count}). Received: target={wanted!r}")
    return number


def word(text, wanted) -> tuple[int, str]:
    """Position of the first token of a word of a text, and the word; of a text without words its end.

    Args:
        wanted: the word; the position of a token; None: the word for the first object with a box, or the longest word
            where none has one.
    """
    if wanted is None:
        # The first of the longest, where nothing is known to be there.
        longest = max(text.words, key=lambda word: len(word.text), default=None)
        chosen = _first_object(text) or longest
        return (len(text.tokens) - 1, text.tokens[-1].text) if chosen is None else (chosen.tokens[0], chosen.text)
    if isinstance(wanted, str):
        for one in text.words:
            if one.text.casefold() == wanted.casefold():
                return one.tokens[0], one.text
        raise ValueError(
            f"`target` must be a word of the caption {text.text!r}: {offer(wanted, _words_of([text]))}. "
            f"Received: target={wanted!r}"
        )
    position = int(wanted)
    if not 1 <= position < len(text.tokens):
        raise ValueError(
            f"`target` must be the position of a token that is predicted, in [1, {len(text.tokens)}). "
            f"Received: target={position}"
        )
    return position, next((one.text for one in text.words if position in one.tokens), text.tokens[position].text)


def where_written(texts, wanted: str) -> list[str | None]:
    """For every text `wanted` where it has this word (upper and lower case do not matter), else None.

    Raises:
        ValueError: no text has the word (the message names the nearest ones).
    """
    has = [any(one.text.casefold() == wanted.casefold() for one in text.words) for text in texts]
    if not any(has):
        raise ValueError(
            f"`target` must be a word of one of the {len(texts)} captions: {offer(wanted, _words_of(texts))}. "
            f"Received: target={wanted!r}"
        )
    return [wanted if here else None for here in has]


def _words_of(texts) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.text for text in texts for one in text.words))


def _first_object(text):
    """The word for the first object with boxes: of neighbors with the same boxes ("small red star") the last."""
    chosen = boxes = None
    for one, found in zip(text.words, text.word_boxes, strict=True):
        if chosen is not None and (found is None or not np.array_equal(found, boxes)):
            break
        if found is not None:
            chosen, boxes = one, found
    return chosen
