"""Generates texts about images, token by token: greedily or with beam search.

Each step computes one token: keys and values of earlier tokens are kept, those of the image are projected once. Beam
search as in "Google's Neural Machine Translation System" (arXiv 1609.08144), section 7, with one pool of finished and
unfinished beams, ranked by log-probability / length ** length_penalty; one beam is greedy decoding.

Shapes: B batch, K beams, R = B K rows, M positions of a text, S image tokens, N heads, Dh head_dim, V vocabulary.
"""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from vitcross.models.compiled import compiled


def generate(
    model, images, *, max_length: int, bos_id: int, eos_id: int, pad_id: int, beam_size: int = 1, length_penalty=1.0
):
    """The most probable text that was found for each image. Compiled at a model's first call, and for other shapes.

    Args:
        model: CaptioningModel.
        images: (B, H, W, C) float32 in [-1, 1].
        max_length: int, M, tokens of a text with its first and its last, at most the decoder's `max_length`.
        bos_id, eos_id, pad_id: int, first token, last token, and what fills up behind it. First and filling are never
            written inside a text.
        beam_size: int, K. Default 1: greedy.
        length_penalty: float; 0 ranks beams by log-probability, 1 by the mean over the tokens. Default 1.

    Returns:
        token_ids (B, T) int32 NumPy, T <= M: `bos_id`, the text, `eos_id` unless M came first, then `pad_id`; and
        scores (B,) float32 NumPy: log-probability / length ** length_penalty, where the length counts `eos_id` but not
        `bos_id`.

    Raises:
        ValueError: a length that the decoder does not have, no beam, or token ids that are equal or outside of V.
    """
    decoder = model.text_decoder
    if not 2 <= max_length <= decoder.max_length:
        raise ValueError(f"expected a length in [2, {decoder.max_length}]. Received: max_length={max_length}")
    if beam_size <= 0:
        raise ValueError(f"expected a positive integer. Received: beam_size={beam_size}")
    special = {"bos_id": bos_id, "eos_id": eos_id, "pad_id": pad_id}
    if len(set(special.values())) < 3 or not all(0 <= i < decoder.vocabulary_size for i in special.values()):
        raise ValueError(f"expected three different tokens in [0, {decoder.vocabulary_size}). Received: {special}")
    beams = Beams.start(len(images), beam_size, max_length, bos_id=bos_id, pad_id=pad_id)
    context = model.generation_steps.read(images)
    context = keras.tree.map_structure(lambda x: ops.repeat(x, beam_size, axis=0), context)
    keys_values = decoder.empty_keys_values(len(images) * beam_size, max_length)
    parents = None
    for position in range(max_length - 1):
        log_probabilities, keys_values = model.generation_steps.step(
            beams.token_ids[:, :, position].reshape(-1), parents, np.int32(position), keys_values, context
        )
        parents = beams.extend(
            ops.convert_to_numpy(log_probabilities), position, special=special, length_penalty=length_penalty
        )
        if beams.finished.all():
            break
    length = int(beams.lengths[:, 0].max()) + 1
    return beams.token_ids[:, 0, :length], beams.ranking(length_penalty)[:, 0].astype(np.float32)


class GenerationSteps:
    """The two compiled functions of a captioning model; it keeps one of these, so that it compiles once.

    Attributes:
        read: images (B, H, W, C) -> keys and values (B, N, S, Dh) of the image in every block of the decoder.
        step: token ids (R,), previous rows (R,) that they continue, or None for the same, position (), keys and
            values (R, N, M, Dh) and those of the image -> log-probabilities (R, V) float32 of the next token, and the
            new keys and values.
    """

    def __init__(self, model):
        def read(images):
            return model.text_decoder.encoder.project_context(model.encode_images(images, training=False)[0])

        def step(token_ids, parents, position, keys_values, context_keys_values):
            if parents is not None:
                keys_values = keras.tree.map_structure(lambda x: ops.take(x, parents, axis=0), keys_values)
            tokens, keys_values = model.text_decoder.decode(token_ids, position, keys_values, context_keys_values)
            return ops.log_softmax(model.logits(tokens), axis=-1), keys_values

        self.read, self.step = compiled(model, read), compiled(model, step)


@dataclass
class Beams:
    """Texts in progress, the best beam of each example first.

    Attributes:
        token_ids: (B, K, M) int32.
        log_probabilities: (B, K) float64, of the text so far; -inf for a beam that does not exist.
        lengths: (B, K) int, tokens written so far, `eos_id` included.
        finished: (B, K) bool, `eos_id` was written, or the beam does not exist.
    """

    token_ids: np.ndarray
    log_probabilities: np.ndarray
    lengths: np.ndarray
    finished: np.ndarray

    @classmethod
    def start(cls, batch_size: int, beam_size: int, max_length: int, *, bos_id: int, pad_id: int) -> "Beams":
        """One beam per example that holds `bos_id`; the others branch off at the first step."""
        token_ids = np.full((batch_size, beam_size, max_length), pad_id, np.int32)
        token_ids[:, :, 0] = bos_id
        log_probabilities = np.full((batch_size, beam_size), -np.inf)
        log_probabilities[:, 0] = 0.0
        lengths, finished = np.zeros((batch_size, beam_size), int), np.zeros((batch_size, beam_size), bool)
        return cls(token_ids, log_probabilities, lengths, finished)

    def ranking(self, length_penalty: float) -> np.ndarray:
        """(B, K) log-probability / length ** length_penalty."""
        return self.log_probabilities / np.maximum(self.lengths, 1) ** length_penalty

    def extend(self, log_probabilities_RV, position: int, *, special: dict, length_penalty: float) -> np.ndarray | None:
        """Writes the K best continuations of each example at `position` + 1; a finished text stays as it is.

        Returns:
            (R,) int32, for each row the previous row that it continues; None for one beam.
        """
        batch_size, beam_size, _ = self.token_ids.shape
        next_BKV = log_probabilities_RV.reshape(batch_size, beam_size, -1).astype(np.float64)
        next_BKV[:, :, [special["bos_id"], special["pad_id"]]] = -np.inf
        next_BKV[self.finished] = -np.inf
        next_BKV[self.finished, special["pad_id"]] = 0.0
        total_BKV = self.log_probabilities[:, :, None] + next_BKV
        lengths_BK = self.lengths + ~self.finished
        chosen_BK = _best(total_BKV / lengths_BK[:, :, None] ** length_penalty, beam_size)
        parent_BK, token_BK = np.divmod(chosen_BK, next_BKV.shape[-1])
        row_B1 = np.arange(batch_size)[:, None]
        self.token_ids = self.token_ids[row_B1, parent_BK]
        self.token_ids[:, :, position + 1] = token_BK
        self.log_probabilities = total_BKV[row_B1, parent_BK, token_BK]
        self.lengths = lengths_BK[row_B1, parent_BK]
        ended_BK = (token_BK == special["eos_id"]) | np.isneginf(self.log_probabilities)
        self.finished = self.finished[row_B1, parent_BK] | ended_BK
        return None if beam_size == 1 else (row_B1 * beam_size + parent_BK).reshape(-1).astype(np.int32)


def _best(ranking_BKV, count: int) -> np.ndarray:
    """(B, count) places in K V of the largest, best first; the first one where several are equal."""
    flat = ranking_BKV.reshape(len(ranking_BKV), -1).copy()
    chosen = np.empty((len(flat), count), int)
    for k in range(count):
        chosen[:, k] = flat.argmax(axis=1)
        flat[np.arange(len(flat)), chosen[:, k]] = -np.inf
    return chosen
