"""What a map explains: a class, an answer, one word of a caption, or that an image and its text match.

Target by model, (B,) int: `VisionTransformer` the class, `QuestionAnsweringModel` the answer, `CaptioningModel` the
position in the text of the token whose prediction is explained, `DualEncoder` nothing to choose (zeros).

Shape legend: B batch, K classes or answers, T text tokens.
"""

from __future__ import annotations

import numpy as np

from vitcross.typos import offer

MATCH = "match"


def kind_of(model) -> str:
    """`"classifier"`, `"dual_encoder"`, `"captioner"` or `"questions"`: what a built model is.

    Raises:
        ValueError: for a vision transformer without classes, of which there is nothing to explain.
    """
    if not hasattr(model, "image_encoder"):
        if model.num_classes is None:
            raise ValueError("`model` must have classes to explain one. Received: num_classes=None")
        return "classifier"
    if hasattr(model, "text_decoder"):
        return "captioner"
    return "dual_encoder" if hasattr(model, "projection_dim") else "questions"


def choose_target(model, wanted=None, *, logits=None, class_names=(), texts=None, size=None):
    """`(target, names)` of a batch: (B,) int32 as above, and a tuple of B str that says it in words.

    Args:
        model: built model.
        wanted: None: the most probable class or answer; of a caption the word for the first object with a box, or the
            longest word where none has one. A str, or a sequence of B str: a class, an answer or a word of the caption
            (upper and lower case do not matter; a class also by its number). (B,) int: the target itself.
        logits: (B, K) what the model says, for a class or an answer where `wanted` is None.
        class_names: tuple of K str, classes or answers; their numbers stand for them where unknown.
        texts: list of B `ProbeText`, for a captioner.
        size: int, B; needed for a dual encoder, else known from `logits`, `texts` or `wanted`.

    Raises:
        ValueError: a class, an answer or a word that is not there (the message names the nearest ones), a number out of
            range, or an argument that this model needs.
    """
    kind = kind_of(model)
    size = _size(wanted, logits, texts, size)
    if kind == "dual_encoder":
        if isinstance(wanted, str) or (wanted is not None and np.asarray(wanted).dtype.kind not in "iu"):
            raise ValueError(f"`target` of a dual encoder is the match of image and text. Received: {wanted!r}")
        return np.zeros(size, np.int32), (MATCH,) * size
    each = [wanted] * size if wanted is None or isinstance(wanted, str) else list(wanted)
    if len(each) != size:
        raise ValueError(f"`target` must be one per example ({size}). Received: {len(each)}")
    if kind == "captioner":
        if texts is None:
            raise ValueError("`texts` must be one `ProbeText` per image to choose a word. Received: None")
        found = [_word(text, one) for text, one in zip(texts, each, strict=True)]
        return np.array([position for position, _ in found], np.int32), tuple(name for _, name in found)
    if wanted is None:
        if logits is None:
            raise ValueError("`logits` must be given to choose what is most probable. Received: None")
        each = np.argmax(np.asarray(logits), axis=-1)
    count = model.num_classes if kind == "classifier" else model.num_answers
    target = np.array([_number(one, count, tuple(class_names)) for one in each], np.int32)
    return target, tuple(class_names[k] if k < len(class_names) else str(k) for k in target)


def where_written(texts, wanted: str) -> list[str | None]:
    """For every caption `wanted` where it has this word (upper and lower case do not matter), else None: a target that
    `choose_target` takes, for captions of which not all have the word.

    Args:
        texts: list of B `ProbeText`.
        wanted: str.

    Raises:
        ValueError: no caption has the word (the message names the nearest ones).
    """
    has = [any(word.text.casefold() == wanted.casefold() for word in text.words) for text in texts]
    if not any(has):
        known = tuple(dict.fromkeys(word.text for text in texts for word in text.words))
        raise ValueError(
            f"`target` must be a word of one of the {len(texts)} captions: {offer(wanted, known)}. "
            f"Received: target={wanted!r}"
        )
    return [wanted if here else None for here in has]


def _size(wanted, logits, texts, size) -> int:
    for known in (logits, texts, None if wanted is None or isinstance(wanted, str) else wanted):
        if known is not None:
            return len(known)
    if size is None:
        raise ValueError("`size` must say how many examples there are. Received: None")
    return size


def _number(wanted, count: int, class_names: tuple[str, ...]) -> int:
    """The number of a class or answer, given by name or number."""
    if not isinstance(wanted, str):
        number = wanted = int(wanted)
    elif wanted in class_names:
        return class_names.index(wanted)
    else:
        lowered = [name.casefold() for name in class_names]
        if wanted.casefold() in lowered:
            return lowered.index(wanted.casefold())
        if not wanted.strip().isdecimal():
            known = offer(wanted, class_names) or "the numbers of the classes"
            raise ValueError(f"`target` must be one of {known}. Received: target={wanted!r}")
        number = int(wanted)
    if not 0 <= number < count:
        raise ValueError(f"`target` must be a name, or a number in [0, {count}). Received: target={wanted!r}")
    return number


def _word(text, wanted) -> tuple[int, str]:
    """Position of the first token of a word of a caption, and the word; of a caption without words its end."""
    if wanted is None:
        # The first of the longest, where nothing is known to be there.
        longest = max(text.words, key=lambda word: len(word.text), default=None)
        chosen = _first_object(text) or longest
        return (len(text.tokens) - 1, text.tokens[-1].text) if chosen is None else (chosen.tokens[0], chosen.text)
    if isinstance(wanted, str):
        for word in text.words:
            if word.text.casefold() == wanted.casefold():
                return word.tokens[0], word.text
        known = tuple(dict.fromkeys(word.text for word in text.words))
        raise ValueError(
            f"`target` must be a word of the caption {text.text!r}: {offer(wanted, known)}. Received: target={wanted!r}"
        )
    position = int(wanted)
    if not 1 <= position < len(text.tokens):
        raise ValueError(
            f"`target` must be the position of a token that is predicted, in [1, {len(text.tokens)}). "
            f"Received: target={position}"
        )
    return position, next((word.text for word in text.words if position in word.tokens), text.tokens[position].text)


def _first_object(text):
    """The word for the first object with boxes: of neighbors with the same boxes ("small red star") the last."""
    chosen = boxes = None
    for word, found in zip(text.words, text.word_boxes, strict=True):
        if chosen is not None and (found is None or not np.array_equal(found, boxes)):
            break
        if found is not None:
            chosen, boxes = word, found
    return chosen
