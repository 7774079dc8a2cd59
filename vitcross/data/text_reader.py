"""From indices of pairs to a batch: pictures from a reader of unique pictures, texts from arrays made once.

Shape letters: B batch, n pairs, P pictures, T token positions.
"""

import numpy as np

from vitcross.data import streams

_ANOTHER = 0x0FF5E7  # keeps the baselines' order apart from other uses of a seed


class TextReader:
    """Reads pictures through `pictures` and adds the rows of `arrays`.

    Args:
        pictures: `DecodingReader` or `CachingReader` of the P pictures.
        picture_of: (n,) int64 in [0, P), the picture of each pair.
        arrays: dict of batch key to an array with n rows, `labels` among them.
        shown: (P,) int64 in [0, P): the picture that is shown in the place of each; None for itself.
        draw: bool, show any picture but the right one, by the uniforms of the position.
    """

    def __init__(self, pictures, *, picture_of, arrays, shown=None, draw=False):
        self._pictures, self._picture_of, self._arrays = pictures, picture_of, arrays
        self._shown, self._draw = shown, draw
        self._num_pictures = len(pictures)
        self._first_pair = np.full(self._num_pictures, -1, np.int64)
        self._first_pair[picture_of[::-1]] = np.arange(len(picture_of))[::-1]

    def __len__(self):
        return len(self._picture_of)

    @property
    def view(self):
        """How the pictures are cut, as their own reader says."""
        return getattr(self._pictures, "view", None)

    @property
    def spec(self):
        """dict of each key of a batch to the shape and dtype of one example."""
        return self._pictures.spec | {key: (rows.shape[1:], rows.dtype) for key, rows in self._arrays.items()}

    def read(self, indices, *, uniforms=None, substitute=False):
        """The pairs at `indices` (B,), like `DecodingReader.read`.

        Where an unreadable picture is replaced by the next one (`substitute`), the text is the first one of that
        picture, unless the pictures are wrong on purpose.
        """
        indices = np.array(indices, np.int64)
        wanted = self._wanted(self._picture_of[indices], uniforms)
        out = self._pictures.read(wanted, uniforms=uniforms, substitute=substitute)
        if self._shown is None and not self._draw:
            replaced = out["index"] != wanted
            indices[replaced] = self._first_pair[out["index"][replaced]]
        return out | {key: rows[indices] for key, rows in self._arrays.items()} | {"index": indices}

    def _wanted(self, pictures, uniforms):
        if self._draw:
            others = self._num_pictures - 1
            steps = 1 + (uniforms[:, streams.PICTURE].astype(np.float64) * others).astype(np.int64)
            return (pictures + steps) % self._num_pictures
        return pictures if self._shown is None else self._shown[pictures]


def exchanged(num_pictures, *, seed):
    """(P,) int64: for each picture another one, each used once (one cycle, Sattolo 1986), decided by the seed alone."""
    order = np.random.default_rng((_ANOTHER, seed)).permutation(num_pictures)
    others = np.empty(num_pictures, np.int64)
    others[order] = np.roll(order, 1)
    return others
