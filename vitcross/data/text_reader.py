"""From indices of pairs to a batch: pictures from a reader of unique pictures, texts from arrays made once.

Shape letters: B batch, n pairs, P pictures, T token positions.
"""

import numpy as np

from vitcross.data.augment import streams

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

    texts_per_picture = 1

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


class PictureTextsReader(TextReader):
    """Reads K texts of each picture: a row of the pictures stands beside K rows, one below the other, of the rest.

    An example is a picture here: `len` is P, indices lie in [0, P). Which of its n texts are read is drawn by the
    uniforms of the position: K of them that follow each other, again from the first where n < K.

    Args:
        texts_per_picture: int, K.
        **arguments: those of `TextReader`.
    """

    def __init__(self, pictures, *, texts_per_picture, **arguments):
        super().__init__(pictures, **arguments)
        self.texts_per_picture = texts_per_picture
        self._pairs = np.argsort(self._picture_of, kind="stable")
        self._num_texts = np.bincount(self._picture_of, minlength=self._num_pictures)
        self._first = np.cumsum(self._num_texts) - self._num_texts

    def __len__(self):
        return self._num_pictures

    @property
    def spec(self):
        """dict of each key of a batch to the shape and dtype of one of its rows."""
        own = {"index": ((), np.dtype(np.int64)), "valid": ((), np.dtype(np.bool_))}
        texts = {key: (rows.shape[1:], rows.dtype) for key, rows in self._arrays.items()}
        return {"images": self._pictures.spec["images"], **own, **texts}

    def read(self, indices, *, uniforms=None, substitute=False):
        """The pictures at `indices` (B,) and K texts of each: `images` has B rows, all other keys B K."""
        pictures = np.array(indices, np.int64)
        out = self._pictures.read(self._wanted(pictures, uniforms), uniforms=uniforms, substitute=substitute)
        if self._shown is None and not self._draw:
            pictures = out["index"]  # where an unreadable one was replaced, the texts are those of its substitute
        pairs = self._texts_of(pictures, uniforms[:, streams.TEXT])
        valid = np.repeat(out["valid"], self.texts_per_picture)
        texts = {key: rows[pairs] for key, rows in self._arrays.items()}
        return {"images": out["images"], "valid": valid, "index": pairs, **texts}

    def _texts_of(self, pictures, uniforms):
        count = self._num_texts[pictures]
        start = (uniforms.astype(np.float64) * count).astype(np.int64)
        places = (start[:, None] + np.arange(self.texts_per_picture)) % count[:, None]
        return self._pairs[self._first[pictures][:, None] + places].reshape(-1)


def exchanged(num_pictures, *, seed):
    """(P,) int64: for each picture another one, each used once (one cycle, Sattolo 1986), decided by the seed alone."""
    order = np.random.default_rng((_ANOTHER, seed)).permutation(num_pictures)
    others = np.empty(num_pictures, np.int64)
    others[order] = np.roll(order, 1)
    return others
