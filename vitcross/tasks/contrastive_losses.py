"""Defines the contrastive losses of image and text embeddings: softmax (CLIP) and sigmoid (SigLIP).

Both compare every image of a batch with every text. The direct form holds the `(B, B)` table of similarities and
several more for the gradient; with `chunk_size` the table is made a few rows at a time, forward and backward
(`contrastive_chunks.py`), so that memory grows with B and not with its square, at the price of one more
multiplication of the embeddings.

A pair i != j of equal `text_id` or equal `image_id` also matches, so it is left out of the softmax's denominator or of
the sigmoid's sum. Rows with `valid` False are neither positive nor negative.

Shape letters: B pairs, D embedding dimension.
"""

from keras import ops

from vitcross.tasks.contrastive_chunks import chunked_sigmoid_loss, chunked_softmax_loss
from vitcross.tasks.contrastive_pairs import MASKED, comparable, pairs_of


def softmax_contrastive_loss(
    image_embeddings_BD, text_embeddings_BD, logit_scale, *, image_id=None, text_id=None, valid=None, chunk_size=None
):
    """Symmetric cross-entropy of finding the own text among the batch's, and the own image among the batch's.

    With `z_ij = s x_i . y_j`, `N(i)` the texts compared with image i (its own and the negatives) and `M(j)` the
    images compared with text j:
    `loss = mean_i 1/2 (logsumexp_{j in N(i)} z_ij - z_ii) + 1/2 (logsumexp_{j in M(i)} z_ji - z_ii)`.

    Args:
        image_embeddings_BD, text_embeddings_BD: `(B, D)` L2-normalized, row i of one matches row i of the other;
            computed in float32.
        logit_scale: positive scalar s.
        image_id, text_id: None, or `(B,)` integers: equal for the same image, for equal texts.
        valid: None, or `(B,)` bool.
        chunk_size: None = direct; or int, the images compared at a time. The result is the same.

    Returns:
        Scalar float32, the mean over the valid pairs, 0 where there is none.

    Reference: CLIP, arXiv 2103.00020, figure 3.
    """
    image_BD, text_BD, scale = _float32(image_embeddings_BD, text_embeddings_BD, logit_scale)
    pairs = pairs_of(ops.shape(image_BD)[0], image_id=image_id, text_id=text_id, valid=valid)
    if chunk_size is not None:
        return chunked_softmax_loss(image_BD, text_BD, scale, pairs, _positive(chunk_size))
    logits_BB = ops.where(comparable(pairs, pairs), scale * ops.matmul(image_BD, ops.transpose(text_BD)), MASKED)
    own_B = scale * ops.sum(image_BD * text_BD, axis=-1)
    normalizers_B = ops.logsumexp(logits_BB, axis=1) + ops.logsumexp(logits_BB, axis=0)
    return ops.sum(pairs.weight * (0.5 * normalizers_B - own_B)) / ops.maximum(ops.sum(pairs.weight), 1.0)


def sigmoid_contrastive_loss(
    image_embeddings_BD,
    text_embeddings_BD,
    logit_scale,
    logit_bias,
    *,
    image_id=None,
    text_id=None,
    valid=None,
    chunk_size=None,
):
    """Binary cross-entropy of every compared pair: does the text match the image?

    With `z_ij = s x_i . y_j + b`: `loss = -1/n sum_i log sigmoid(z_ii) - 1/n sum_{negative (i, j)} log sigmoid(-z_ij)`,
    n the number of valid pairs. Per pair, not per comparison: it grows with the number of negatives, as in the paper.

    Args:
        logit_bias: scalar b, about -10 at the start since nearly all pairs are negative.
        Others: as of `softmax_contrastive_loss`.

    Returns:
        Scalar float32, at least 0; 0 where no pair is valid.

    Reference: SigLIP, arXiv 2303.15343, section 3.2 and algorithm 1.
    """
    image_BD, text_BD, scale, bias = _float32(image_embeddings_BD, text_embeddings_BD, logit_scale, logit_bias)
    pairs = pairs_of(ops.shape(image_BD)[0], image_id=image_id, text_id=text_id, valid=valid)
    if chunk_size is not None:
        return chunked_sigmoid_loss(image_BD, text_BD, scale, bias, pairs, _positive(chunk_size))
    logits_BB = scale * ops.matmul(image_BD, ops.transpose(text_BD)) + bias
    own_B = scale * ops.sum(image_BD * text_BD, axis=-1) + bias
    # -log sigmoid(-z) = softplus(z), and -log sigmoid(z) = softplus(z) - z.
    total = ops.sum(ops.where(comparable(pairs, pairs), ops.softplus(logits_BB), 0.0)) - ops.sum(pairs.weight * own_B)
    return total / ops.maximum(ops.sum(pairs.weight), 1.0)


def _float32(*tensors):
    return tuple(ops.cast(tensor, "float32") for tensor in tensors)


def _positive(chunk_size):
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be a positive integer or None. Received: chunk_size={chunk_size}")
    return chunk_size
