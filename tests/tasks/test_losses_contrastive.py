"""The losses against loops over pairs in float64, and the chunked form against the direct one. Any Keras backend."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.backend import BACKEND, compiled, evaluated, gradient
from vitcross.tasks.contrastive_chunks import in_batch_accuracy
from vitcross.tasks.contrastive_losses import sigmoid_contrastive_loss, softmax_contrastive_loss
from vitcross.tasks.contrastive_pairs import pairs_of

B, D = 23, 5
SCALE, BIAS = 9.0, -3.0


def embeddings(seed=0, size=B):
    random = np.random.default_rng(seed)
    both = random.normal(size=(2, size, D))
    return (both / np.linalg.norm(both, axis=-1, keepdims=True)).astype("float32")


def some_alike(seed=1, size=B):
    """Ids of which several are equal, and rows of which some are padding."""
    random = np.random.default_rng(seed)
    return {
        "image_id": random.integers(0, 15, size),
        "text_id": random.integers(0, 15, size),
        "valid": random.random(size) < 0.8,
    }


def is_negative(i, j, image_id=None, text_id=None, valid=None):
    different = [key is None or key[i] != key[j] for key in (image_id, text_id)]
    return i != j and all(different) and (valid is None or bool(valid[i] and valid[j]))


def rows_of(valid, size=B):
    return [i for i in range(size) if valid is None or valid[i]]


def softmax_oracle(images, texts, valid=None, **ids):
    cosines = images.astype("float64") @ texts.astype("float64").T
    losses = []
    for i in rows_of(valid):
        ways = [
            [cosines[i, j] for j in range(B) if j == i or is_negative(i, j, valid=valid, **ids)],
            [cosines[j, i] for j in range(B) if j == i or is_negative(i, j, valid=valid, **ids)],
        ]
        losses.append(np.mean([np.log(np.exp(SCALE * np.array(way)).sum()) - SCALE * cosines[i, i] for way in ways]))
    return np.mean(losses)


def sigmoid_oracle(images, texts, valid=None, **ids):
    logits = SCALE * images.astype("float64") @ texts.astype("float64").T + BIAS
    total = 0.0
    for i in rows_of(valid):
        total += np.log1p(np.exp(-logits[i, i]))
        total += sum(np.log1p(np.exp(logits[i, j])) for j in range(B) if is_negative(i, j, valid=valid, **ids))
    return total / len(rows_of(valid))


LOSSES = {
    "softmax": (softmax_contrastive_loss, softmax_oracle, [SCALE]),
    "sigmoid": (sigmoid_contrastive_loss, sigmoid_oracle, [SCALE, BIAS]),
}
SAMENESS = {"distinct": {}, "some alike": some_alike(), "texts": {"text_id": some_alike()["text_id"]}}


def flat_loss(name, size=B, **options):
    """The loss as a function of one array: both embeddings, then scale (and bias)."""
    loss, _, scalars = LOSSES[name]

    def function(array):
        both = ops.reshape(array[: 2 * size * D], (2, size, D))
        return loss(both[0], both[1], *(array[2 * size * D + k] for k in range(len(scalars))), **options)

    return function, np.concatenate([embeddings(size=size).ravel(), scalars]).astype("float32")


@pytest.mark.parametrize("alike", SAMENESS.values(), ids=SAMENESS)
@pytest.mark.parametrize("chunk_size", [None, 7])
@pytest.mark.parametrize("name", LOSSES)
def test_loss_equals_loops_in_float64(name, chunk_size, alike):
    function, array = flat_loss(name, chunk_size=chunk_size, **alike)
    expected = LOSSES[name][1](*embeddings(), **alike)
    np.testing.assert_allclose(evaluated(function, array), expected, rtol=1e-5)


@pytest.mark.parametrize("chunk_size", [1, 7, 23, 50])
@pytest.mark.parametrize("name", LOSSES)
def test_chunks_change_neither_loss_nor_gradient(name, chunk_size):
    direct, array = flat_loss(name, **some_alike())
    chunked, _ = flat_loss(name, **some_alike(), chunk_size=chunk_size)
    np.testing.assert_allclose(evaluated(chunked, array), evaluated(direct, array), rtol=1e-5)
    np.testing.assert_allclose(gradient(chunked, array), gradient(direct, array), atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_equals_differences_of_the_oracle(name):
    chunked, array = flat_loss(name, **some_alike(), chunk_size=7)
    images, texts = embeddings().astype("float64")
    oracle, step = LOSSES[name][1], 1e-5
    slopes = gradient(chunked, array)[: 2 * B * D].reshape(2, B, D)
    for side, row, column in ((0, 3, 1), (0, 22, 4), (1, 0, 2), (1, 11, 0)):
        moved = []
        for sign in (1, -1):
            both = np.stack([images, texts])
            both[side, row, column] += sign * step
            moved.append(oracle(*both, **some_alike()))
        assert slopes[side, row, column] == pytest.approx((moved[0] - moved[1]) / (2 * step), abs=1e-4)


@pytest.mark.parametrize("chunk_size", [None, 7])
@pytest.mark.parametrize("name", LOSSES)
def test_invalid_rows_change_nothing(name, chunk_size):
    alike = some_alike()
    function, array = flat_loss(name, **alike, chunk_size=chunk_size)
    both = array[: 2 * B * D].reshape(2, B, D).copy()
    both[:, ~alike["valid"]] = embeddings(seed=5)[:, ~alike["valid"]]
    changed = np.concatenate([both.ravel(), array[2 * B * D :]])
    np.testing.assert_allclose(evaluated(function, changed), evaluated(function, array), rtol=1e-6)
    slopes = gradient(function, array)[: 2 * B * D].reshape(2, B, D)
    assert np.abs(slopes[:, ~alike["valid"]]).max() == 0


@pytest.mark.parametrize("chunk_size", [None, 7])
@pytest.mark.parametrize("name", LOSSES)
def test_without_a_valid_row_loss_and_gradient_are_zero(name, chunk_size):
    function, array = flat_loss(name, valid=np.zeros(B, bool), chunk_size=chunk_size)
    assert evaluated(function, array) == 0.0
    assert np.abs(gradient(function, array)).max() == 0.0


@pytest.mark.parametrize("chunk_size", [None, 7])
@pytest.mark.parametrize("name", LOSSES)
def test_a_nan_is_not_lost(name, chunk_size):
    function, array = flat_loss(name, chunk_size=chunk_size)
    array[3 * D] = np.nan
    assert np.isnan(evaluated(function, array))


@pytest.mark.parametrize("name", LOSSES)
def test_a_large_scale_stays_finite(name):
    function, array = flat_loss(name, chunk_size=7)
    array[2 * B * D] = 100.0
    assert np.isfinite(evaluated(function, array)) and np.isfinite(gradient(function, array)).all()


def test_equal_texts_are_no_negatives():
    images, texts = embeddings()
    texts[1] = texts[0]
    ids = np.array([0, 0, *range(2, B)])
    left_out = softmax_contrastive_loss(images, texts, SCALE, text_id=ids)
    assert float(left_out) < float(softmax_contrastive_loss(images, texts, SCALE))
    assert float(left_out) == pytest.approx(softmax_oracle(images, texts, text_id=ids), rel=1e-5)


def test_mixed_precision_comes_out_as_float32():
    half = ops.cast(embeddings()[0], "bfloat16")
    assert keras.backend.standardize_dtype(softmax_contrastive_loss(half, half, SCALE).dtype) == "float32"


@pytest.mark.parametrize("loss", [softmax_contrastive_loss, sigmoid_contrastive_loss])
def test_chunk_size_must_be_positive(loss):
    with pytest.raises(ValueError, match="chunk_size=0"):
        loss(*embeddings(), *([SCALE] if loss is softmax_contrastive_loss else [SCALE, BIAS]), chunk_size=0)


@pytest.mark.parametrize("chunk_size", [None, 7])
def test_in_batch_accuracy_counts_both_directions_and_gives_nothing_for_ties(chunk_size):
    images, texts = embeddings()
    texts = (images + 0.7 * texts) / np.linalg.norm(images + 0.7 * texts, axis=-1, keepdims=True)
    alike = some_alike()
    hits, rows = 0, rows_of(alike["valid"])
    cosines = images @ texts.T
    for i in rows:
        wrong = [j for j in range(B) if is_negative(i, j, **alike)]
        hits += int(cosines[i, i] > cosines[i, wrong].max()) + int(cosines[i, i] > cosines[wrong, i].max())
    assert 0 < hits < 2 * len(rows)

    def accuracy(images, texts):
        return in_batch_accuracy(images, texts, pairs_of(B, **alike), chunk_size)

    assert float(evaluated(accuracy, images, texts)) == pytest.approx(hits / (2 * len(rows)))
    assert float(evaluated(accuracy, np.ones((B, D), "f") / 5**0.5, np.ones((B, D), "f") / 5**0.5)) == 0.0


def largest_tensor(function, array):
    """Elements of the largest tensor of a traced function, loops and gradients included."""
    if BACKEND == "jax":
        import jax

        return max(np.prod(shape, dtype=int) for shape in _jaxpr_shapes(jax.make_jaxpr(function)(array).jaxpr))
    graph = compiled(function).get_concrete_function(array).graph
    graphs = [graph, *(graph._get_function(name).graph for name in graph._functions)]
    return max(
        tensor.shape.num_elements() or 0 for each in graphs for op in each.get_operations() for tensor in op.outputs
    )


def _jaxpr_shapes(jaxpr):
    for equation in jaxpr.eqns:
        yield from (variable.aval.shape for variable in equation.outvars if hasattr(variable.aval, "shape"))
        for parameter in keras.tree.flatten(dict(equation.params)):
            inner = getattr(parameter, "jaxpr", parameter)
            if hasattr(inner, "eqns"):
                yield from _jaxpr_shapes(inner)


@pytest.mark.skipif(BACKEND not in ("tensorflow", "jax"), reason="looks into a traced graph")
@pytest.mark.parametrize("name", LOSSES)
def test_no_tensor_of_the_chunked_form_is_as_large_as_batch_squared(name):
    size, chunk_size = 509, 16
    largest = {}
    for chunks in (None, chunk_size):
        loss, array = flat_loss(name, size=size, chunk_size=chunks, **some_alike(size=size))

        def loss_and_gradient(array, loss=loss):
            if BACKEND == "jax":
                import jax

                return jax.value_and_grad(loss)(array)
            import tensorflow as tf

            with tf.GradientTape() as tape:
                tape.watch(array)
                value = loss(array)
            return value, tape.gradient(value, array)

        largest[chunks] = largest_tensor(loss_and_gradient, ops.convert_to_tensor(array))
    assert largest[None] >= size * size
    # The lower bound: what happens inside the loop was looked at.
    assert chunk_size * size <= largest[chunk_size] <= 2 * chunk_size * size
