"""Computes contrastive losses a few rows of the similarity table at a time, with explicit gradients.

Automatic differentiation would keep every chunk of the table. The explicit gradient recomputes the chunks instead, and
only one number per pair is kept in between.

Shape letters: B pairs, D embedding dimension, c the images of one chunk, R the images padded to full chunks.
"""

from keras import ops

from vitcross.tasks.contrastive_pairs import MASKED, Pairs, comparable

NEARLY_EQUAL = 1e-6  # cosines closer than float32 rounding are ties


def chunked_softmax_loss(image_BD, text_BD, scale, pairs, chunk_size):
    """`softmax_contrastive_loss` by chunks of images: rows at once, columns by a running logsumexp."""
    count = ops.maximum(ops.sum(pairs.weight), 1.0)

    @ops.custom_gradient
    def loss(image_BD, text_BD, scale):
        chunks = _Chunks(image_BD, text_BD, pairs, chunk_size)

        def add(cosine_cB, compared_cB, rows, total, top_B, sum_B):
            logits_cB = ops.where(compared_cB, scale * cosine_cB, MASKED)
            total = total + ops.sum(rows.weight * ops.logsumexp(logits_cB, axis=1))
            new_top_B = ops.maximum(top_B, ops.max(logits_cB, axis=0))
            sum_B = sum_B * ops.exp(top_B - new_top_B) + ops.sum(ops.exp(logits_cB - new_top_B[None, :]), axis=0)
            return total, new_top_B, sum_B

        zero_B = ops.zeros_like(pairs.weight)
        total, top_B, sum_B = chunks.accumulate(add, (0.0 * scale, zero_B + MASKED, zero_B))
        normalizer_B = top_B + ops.log(sum_B)
        own = scale * ops.sum(pairs.weight * ops.sum(image_BD * text_BD, axis=-1))
        value = (0.5 * (total + ops.sum(pairs.weight * normalizer_B)) - own) / count

        def slope(cosine_cB, compared_cB, rows):
            logits_cB = ops.where(compared_cB, scale * cosine_cB, MASKED)
            by_row_cB = rows.weight[:, None] * ops.softmax(logits_cB, axis=1)
            # Masked entries are left out by hand: a column without any candidate has the normalizer MASKED too.
            by_column_cB = ops.where(compared_cB, ops.exp(logits_cB - normalizer_B[None, :]), 0.0)
            return 0.5 * (ops.where(compared_cB, by_row_cB, 0.0) + by_column_cB)

        def gradient(*arguments, upstream=None):
            upstream = arguments[0] if upstream is None else upstream
            image, text, cosine, _ = chunks.backward(slope)
            factor = upstream / count
            return factor * scale * image, factor * scale * text, factor * cosine

        return value, gradient

    return loss(image_BD, text_BD, scale)


def chunked_sigmoid_loss(image_BD, text_BD, scale, bias, pairs, chunk_size):
    """`sigmoid_contrastive_loss` by chunks of images."""
    count = ops.maximum(ops.sum(pairs.weight), 1.0)

    @ops.custom_gradient
    def loss(image_BD, text_BD, scale, bias):
        chunks = _Chunks(image_BD, text_BD, pairs, chunk_size)

        def add(cosine_cB, compared_cB, rows, total):
            return (total + ops.sum(ops.where(compared_cB, ops.softplus(scale * cosine_cB + bias), 0.0)),)

        (total,) = chunks.accumulate(add, (0.0 * scale,))
        own_B = scale * ops.sum(image_BD * text_BD, axis=-1) + bias
        value = (total - ops.sum(pairs.weight * own_B)) / count

        def slope(cosine_cB, compared_cB, rows):
            return ops.where(compared_cB, ops.sigmoid(scale * cosine_cB + bias), 0.0)

        def gradient(*arguments, upstream=None):
            upstream = arguments[0] if upstream is None else upstream
            image, text, cosine, total = chunks.backward(slope)
            factor = upstream / count
            return factor * scale * image, factor * scale * text, factor * cosine, factor * total

        return value, gradient

    return loss(image_BD, text_BD, scale, bias)


def in_batch_accuracy(image_BD, text_BD, pairs, chunk_size=None):
    """Share of the valid pairs whose own text is nearer to the image than every negative text of the batch, and the
    same for the image of each text: the mean of both, scalar float32 in [0, 1]. A tie counts against the model.

    Args:
        image_BD, text_BD: `(B, D)` L2-normalized float32.
        pairs: `Pairs`.
        chunk_size: None = all images at once, or int.
    """
    chunks = _Chunks(image_BD, text_BD, pairs, chunk_size or ops.shape(image_BD)[0])
    own_B = ops.sum(image_BD * text_BD, axis=-1)
    own_R = ops.pad(own_B, [[0, chunks.missing]])

    def add(cosine_cB, compared_cB, rows, hits, best_B):
        negative_cB = ops.logical_and(compared_cB, ops.not_equal(rows.position[:, None], pairs.position[None, :]))
        wrong_cB = ops.where(negative_cB, cosine_cB, -2.0)
        ahead_c = ops.take(own_R, rows.position) > ops.max(wrong_cB, axis=1) + NEARLY_EQUAL
        return hits + ops.sum(rows.weight * ops.cast(ahead_c, "float32")), ops.maximum(
            best_B, ops.max(wrong_cB, axis=0)
        )

    hits, best_B = chunks.accumulate(add, (0.0 * ops.sum(own_B), ops.zeros_like(own_B) - 2.0))
    hits = hits + ops.sum(pairs.weight * ops.cast(own_B > best_B + NEARLY_EQUAL, "float32"))
    return 0.5 * hits / ops.maximum(ops.sum(pairs.weight), 1.0)


class _Chunks:
    """The rows of the table of cosines, `chunk_size` images at a time."""

    def __init__(self, image_BD, text_BD, pairs, chunk_size):
        self.image_BD, self.text_BD, self.pairs, self.size = image_BD, text_BD, pairs, chunk_size
        num_pairs = ops.shape(image_BD)[0]
        self.number = -(-num_pairs // chunk_size)
        self.missing = missing = self.number * chunk_size - num_pairs
        # Rows that fill the last chunk: weight 0, so they are compared with nothing.
        self.image_RD = ops.pad(image_BD, [[0, missing], [0, 0]])
        self.pairs_R = Pairs(*(None if key is None else ops.pad(key, [[0, missing]]) for key in pairs))

    def _chunk(self, index):
        """Embeddings (c, D), cosines (c, B), which are compared (c, B), and the `Pairs` of one chunk."""
        start = index * self.size
        image_cD = ops.slice(self.image_RD, (start, 0), (self.size, self.image_RD.shape[1]))
        rows = Pairs(*(None if key is None else ops.slice(key, (start,), (self.size,)) for key in self.pairs_R))
        return image_cD, ops.matmul(image_cD, ops.transpose(self.text_BD)), comparable(rows, self.pairs), rows

    def accumulate(self, add, start):
        """`add(cosine_cB, compared_cB, rows, *carry) -> carry` over all chunks; the first of `start` is a scalar."""

        def body(index, *carry):
            _, cosine_cB, compared_cB, rows = self._chunk(index)
            return (index + 1, *add(cosine_cB, compared_cB, rows, *carry))

        return self._loop(body, start)

    def backward(self, slope):
        """Sums over the table of `G_ij = slope - [i = j] weight_i`, the gradient by the logits times their number.

        Args:
            slope: `(cosine_cB, compared_cB, rows) -> (c, B)`.

        Returns:
            `G text` (B, D), `G^T image` (B, D), `sum G cosine` and `sum G`, scalars.
        """

        def body(index, total, by_image_RD, by_text_BD):
            image_cD, cosine_cB, compared_cB, rows = self._chunk(index)
            slope_cB = slope(cosine_cB, compared_cB, rows)
            # Every chunk moves the ones before it up: after the last one all are in their place.
            by_image_RD = ops.concatenate([by_image_RD[self.size :], ops.matmul(slope_cB, self.text_BD)], axis=0)
            by_text_BD = by_text_BD + ops.matmul(ops.transpose(slope_cB), image_cD)
            return index + 1, total + ops.sum(slope_cB), by_image_RD, by_text_BD

        zero = 0.0 * ops.sum(self.pairs.weight)
        start = (zero, ops.zeros_like(self.image_RD), ops.zeros_like(self.text_BD))
        total, by_image_RD, by_text_BD = self._loop(body, start)
        weight_B1 = self.pairs.weight[:, None]
        by_image_BD = by_image_RD[: ops.shape(self.image_BD)[0]] - weight_B1 * self.text_BD
        by_text_BD = by_text_BD - weight_B1 * self.image_BD
        return by_image_BD, by_text_BD, ops.sum(by_image_BD * self.image_BD), total - ops.sum(self.pairs.weight)

    def _loop(self, body, start):
        # The condition reads a sum that the body makes: TensorFlow then runs one chunk after the other instead of ten
        # side by side. A sum that is NaN stays NaN, so leaving the loop early changes nothing.
        def unfinished(index, total, *rest):
            return ops.logical_and(index < self.number, ops.logical_not(ops.isnan(total)))

        return ops.while_loop(unfinished, body, (0, *start))[1:]
