"""Defines the interface through which the attention of any model is captured, explained and measured.

A model that implements `Explainable` lists its towers and what they read, computes its outputs from any subset of its
image tokens, and says which targets can be explained. The code of the maps never asks which class a model is.

Shapes: B batch, H W C pixels, P patches, S image tokens (prefix + P, or a subset), T text tokens, D features
of a token, K choices, N heads.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from vitcross.models import targets

PATCHES, WORDS = "patches", "words"


@dataclass(frozen=True, kw_only=True)
class Tower:
    """A stack of attention blocks over one sequence of tokens.

    Args:
        name: str, root of its addresses.
        tokens: "patches": those of the image, behind its prefix tokens (`token_layout_for`); or "words": the
            `token_ids` of the batch, of which `padding_mask` says which are real.
        attention_addresses: tuple of str in depth order: `<name>/block_00/self_attention`, where it reads another tower
            `<name>/block_00/cross_attention` behind it, ..., and with pooling "map" `<name>/pooling/cross_attention`.
        num_heads: int, N.
        embed_dim: int, D.
        pooling: how what is explained reads this tower: "cls" (its first token), "eos" (its last real token), "gap"
            (the mean of its patches or real tokens), "map" (attention pooling); None: not by a pooling.
        reads: str or None, name of an earlier tower, all tokens of which every block of this one reads.
        predicts_next: bool, row t predicts token t + 1, and what is explained is the prediction of one token.
    """

    name: str
    tokens: str
    attention_addresses: tuple[str, ...]
    num_heads: int
    embed_dim: int
    pooling: str | None
    reads: str | None = None
    predicts_next: bool = False

    @property
    def blocks(self) -> tuple[str, ...]:
        """The addresses without that of the pooling."""
        return tuple(address for address in self.attention_addresses if not address.endswith("pooling/cross_attention"))


class Reading(NamedTuple):
    """The result of running a model on some tokens.

    Fields:
        outputs: nest of tensors that the model's own `score`, `probability`, `logits_of` and `similarities` understand.
        weights: dict address -> (B, N, T, S) float32 of all towers that took part.
        tokens: (B, S, D), tokens of the first tower after its last block, before the final norm.
    """

    outputs: Any
    weights: dict[str, Any]
    tokens: Any


@dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """A question about every image, each answered by one number (`Explainable.probability`).

    Args:
        rows: dict of arrays with a row for each image: `target` (B,) int32, the right one among the choices, -1 for
            what the model says most of the whole image; and what else the model needs.
        shared: dict of arrays that are the same for all images.
        is_probability: bool, False where the number is a similarity.
    """

    rows: dict[str, np.ndarray]
    shared: dict[str, np.ndarray] = field(default_factory=dict)
    is_probability: bool = True

    def __len__(self):
        return len(self.rows["target"])

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name, as `Explainable.read` and `Explainable.probability` take them."""
        return {**self.rows, **self.shared}

    def take(self, rows) -> "Query":
        """The query for some of the images."""
        return replace(self, rows={key: array[rows] for key, array in self.rows.items()})

    def with_target(self, target) -> "Query":
        """The same query with another target."""
        return replace(self, rows={**self.rows, "target": np.asarray(target, np.int32)})


def unchanged(tower: str, tokens):
    """The default `averaged`, with respect to which nothing is differentiated."""
    return tokens


class Explainable:
    """Mixin of models that explain themselves. A model must implement what is not implemented here.

    The default implementations fit a model that chooses among K: `outputs` of `read` are logits (B, K).

    Attributes:
        batch_keys: tuple of str, what the model reads of a batch, the images (B, H, W, C) first; further keys are
            `token_ids` and `padding_mask` of a tower of words.
        towers: tuple of `Tower`; the first one is that of the image.
        num_choices: int, K; None where there is no list to choose from.
        multilabel: bool, whether each choice is a yes or no of its own, of which several may be right: the probability
            of a target is the sigmoid of its logit, otherwise the softmax.
        patch_size: (height, width) in pixels.
        token_layout_for: callable, (height, width) of an image -> `TokenLayout` of its tokens.
        embed: callable, images (B, H, W, C), training -> tokens (B, S, D) as they enter the first block.
    """

    batch_keys = ("images",)
    num_choices = None
    multilabel = False

    def read(self, tokens, inputs, attention_controls=None, averaged: Callable = unchanged) -> Reading:
        """Runs the model in inference mode from its embedded image tokens.

        Args:
            tokens: (B, S, D) of `embed`: all prefix tokens, and any of the patches.
            inputs: dict of tensors, what else the model reads of a batch. A text that only is compared with the image
                may be missing, and is then left out of the outputs.
            attention_controls: AttentionControls by the addresses of all towers.
            averaged: callable, (name of a tower, its tokens after the final norm) -> tokens. To be called on the tokens
                that a mean pooling averages, so that relevance can be differentiated by them.
        """
        raise NotImplementedError

    @property
    def attention_addresses(self) -> tuple[str, ...]:
        """The address of every attention layer, in depth order, tower by tower."""
        return tuple(address for tower in self.towers for address in tower.attention_addresses)

    @property
    def words(self) -> Tower | None:
        """The tower over words; None for a model of images alone."""
        return next((tower for tower in self.towers if tower.tokens == WORDS), None)

    @property
    def predicts_next(self) -> bool:
        """Whether a target is the position of a token that is predicted."""
        return any(tower.predicts_next for tower in self.towers)

    def inputs_of(self, batch) -> dict[str, np.ndarray]:
        """What the model reads of a batch: images as float32, token ids as int32, a mask as bool."""
        dtypes = {"token_ids": np.int32, "padding_mask": bool}
        return {key: np.asarray(batch[key], dtypes.get(key, np.float32)) for key in self.batch_keys}

    def text_of(self, batch) -> dict[str, np.ndarray]:
        """What the model reads of a batch besides the images."""
        return {key: array for key, array in self.inputs_of(batch).items() if key != self.batch_keys[0]}

    def check_explainable(self):
        """Raises ValueError where there is nothing to explain."""

    def choose_target(self, wanted=None, *, logits=None, class_names=(), texts=None, size=None):
        """`(target, names)` of a batch: (B,) int32, what is explained, and a tuple of B str that says it in words.

        The target is the number of a choice (a class, an answer), or for a model that predicts tokens the position of
        one in its text; where image and text are only compared there is nothing to choose (zeros).

        Args:
            wanted: None: the most probable choice (also as one of a sequence); of a text that is predicted the word for
                the first object with a box, or the longest word where none has one. A str, or a sequence of B str: a
                choice or a word of the text (upper and lower case do not matter; a choice also by its number). (B,)
                int: the target itself.
            logits: (B, K) of the choices, where `wanted` is None.
            class_names: tuple of K str; the numbers of the choices stand for them where unknown.
            texts: list of B `ProbeText`, for a model that predicts tokens.
            size: int, B, where neither `logits` nor `texts` nor `wanted` tells.

        Raises:
            ValueError: a choice or a word that is not there (the message names the nearest ones), a number out of
                range, or an argument that this model needs.
        """
        self.check_explainable()
        each = targets.one_each(wanted, targets.num_examples(wanted, logits, texts, size))
        if None in each:
            if logits is None:
                raise ValueError("`logits` must be given to choose what is most probable. Received: None")
            most = np.argmax(np.asarray(logits), axis=-1)
            each = [k if one is None else one for one, k in zip(each, most, strict=True)]
        names = tuple(class_names)
        target = np.array([targets.choice(one, self.num_choices, names) for one in each], np.int32)
        return target, tuple(names[k] if k < len(names) else str(k) for k in target)

    def possible_targets(self, wanted: str, texts) -> list[str | None]:
        """`wanted` for each of `texts`; None where this example has no such target, but another one has."""
        return [wanted] * len(texts)

    def logits_of(self, outputs):
        """(B, K) of the choices, or None where there is no list to choose from."""
        return outputs

    def similarities(self, inputs, outputs) -> dict:
        """Cosines of patches with the text, `text_similarity` (B, P), and with each of its tokens, `word_similarity`
        (B, T, P); `inputs` are all `batch_keys`. Empty where image and text share no space."""
        return {}

    def score(self, outputs, inputs, target):
        """(B,) what is explained, differentiable: a logit, not a probability, whose gradient vanishes where the model
        is sure.

        Args:
            outputs: of `read`.
            inputs: dict of tensors as of `read`.
            target: (B,) int32 of `choose_target`.
        """
        return pick(outputs, target)

    def make_query(self, batch, target=None, choices=None) -> Query:
        """The query for every image of a batch, to be answered again when some of its patches are missing.

        Args:
            batch: dict of arrays, the batch contract.
            target: (B,) int of `choose_target`. None: what the model says most of the whole image; of a text that is
                predicted its last token before the end.
            choices: (K, E) float32, where image and text are compared: L2-normalized embeddings of all texts to choose
                from, of which `target` is the index. None: the distinct texts of the batch, `target` is the own one.

        Raises:
            ValueError: another number of targets than images; a choice or a position that does not exist.
        """
        target = query_target(target, len(batch[self.batch_keys[0]]), self.num_choices)
        text = self.text_of(batch)
        longest = text["padding_mask"].sum(axis=1).max() if text else 0
        return Query(rows={"target": target, **{key: array[:, :longest] for key, array in text.items()}})

    def probability(self, outputs, query: dict):
        """`(number, correct, most)`, each (B,): the probability of the target among all choices, whether it is the most
        probable one, and which one that is. Of several labels its own probability, and whether that is at least 1/2.

        Args:
            outputs: of `read`.
            query: dict of tensors, `Query.arrays`.
        """
        return probability_of(outputs, query["target"], self.multilabel)


def query_target(target, size: int, count: int | None = None) -> np.ndarray:
    """(B,) int32, -1 where `target` is None. Raises ValueError unless there is one per image, and below `count`."""
    if target is not None and np.shape(target) != (size,):
        raise ValueError(f"`target` must be one per image ({size}). Received: shape {np.shape(target)}")
    target = np.full(size, -1, np.int32) if target is None else np.asarray(target, np.int32)
    if count is not None and ((target >= count).any() or (target < -1).any()):
        raise ValueError(f"`target` must be in [0, {count}). Received: {target.tolist()}")
    return target


def probability_of(logits, target, multilabel=False):
    """What `Explainable.probability` gives, from logits (B, K); `target` (B,), -1 for the most probable choice."""
    logits = ops.cast(logits, "float32")
    most = ops.cast(ops.argmax(logits, axis=-1), "int32")
    target = ops.where(target < 0, most, target)
    if multilabel:
        probability = ops.sigmoid(pick(logits, target))
        return probability, probability >= 0.5, most
    return pick(ops.softmax(logits, axis=-1), target), ops.equal(most, target), most


def pick(rows, places):
    """rows (B, K, ...), places (B,) int -> (B, ...): of every row the entry at its place."""
    # One flat gather: several times faster on a CPU than indexing every number.
    flat = ops.arange(ops.shape(rows)[0], dtype="int32") * ops.shape(rows)[1] + places
    return ops.take(ops.reshape(rows, (-1, *rows.shape[2:])), flat, axis=0)
