"""Generation with a cache against decoding without it, and beams against a beam search written out in plain Python."""

import numpy as np
import pytest

from tests.backend import compiled, to_numpy
from tests.models.image_text import BOS, EOS, PAD, RNG, T, V, captioner
from vitcross.models import generate

# Images of different colors.
COLORS, NOISE = RNG.uniform(-0.7, 0.7, size=(11, 1, 1, 3)), RNG.uniform(-0.3, 0.3, size=(11, 24, 40, 3))
ALL_IMAGES = (COLORS + NOISE).astype("float32")
IMAGES = ALL_IMAGES[:3]
SPECIAL = {"bos_id": BOS, "eos_id": EOS, "pad_id": PAD}


@pytest.fixture(scope="module", params=["tied", "untied_qk_norm"])
def model(request):
    tied = request.param == "tied"
    model = captioner(text=None if tied else {"qk_norm": True, "layer_scale_init": 0.5}, tie_embeddings=tied)
    # Without biases, by which one token wins everywhere, and reading the images hard, texts differ.
    for variable in model.trainable_variables:
        if variable.path.endswith(("bias", "beta")):
            variable.assign(np.zeros(variable.shape))
    for block in model.text_decoder.encoder.blocks:
        kernel = block.cross_attention.output_projection.kernel
        kernel.assign(20.0 * to_numpy(kernel.value))
    return model


@pytest.fixture(scope="module")
def uncached(model):
    """ids (R, t) of images (R,) -> log-probabilities (R, V) of the next token, in float64, the whole text anew."""
    function = compiled(lambda pixels, ids: model(pixels, token_ids=ids))

    def log_probabilities(images, ids):
        padded = np.full((len(ids), T), PAD, "int32")
        padded[:, : len(ids[0])] = ids
        logits = to_numpy(function(IMAGES[images], padded))[:, len(ids[0]) - 1].astype("float64")
        shifted = logits - logits.max(-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))

    return log_probabilities


def greedy(uncached, image, max_length):
    ids, total = [BOS], 0.0
    while len(ids) < max_length and ids[-1] != EOS:
        scores = uncached([image], [ids])[0]
        best = max((v for v in range(V) if v not in (BOS, PAD)), key=lambda v: scores[v])
        ids, total = [*ids, best], total + scores[best]
    return ids, total


def beam_search(uncached, image, max_length, beam_size, penalty):
    """[(ids, log-probability)], best first."""

    def rank(beam):
        return beam[1] / (len(beam[0]) - 1) ** penalty

    beams = [([BOS], 0.0)]
    for _ in range(max_length - 1):
        candidates = [beam for beam in beams if beam[0][-1] == EOS]
        for ids, total in beams:
            if ids[-1] != EOS:
                scores = uncached([image], [ids])[0]
                candidates += [([*ids, v], total + scores[v]) for v in range(V) if v not in (BOS, PAD)]
        beams = sorted(candidates, key=rank, reverse=True)[:beam_size]
    return beams


def text_of(row):
    """A row without its padding."""
    return [int(v) for v in row if v != PAD]


@pytest.mark.parametrize("max_length", [2, T])
def test_greedy_equals_decoding_without_cache_token_by_token(model, uncached, max_length):
    ids, scores = generate(model, IMAGES, max_length=max_length, length_penalty=0.0, **SPECIAL)
    assert (ids.dtype, scores.dtype) == (np.int32, np.float32)
    for image in range(3):
        expected, total = greedy(uncached, image, max_length)
        assert text_of(ids[image]) == expected
        assert scores[image] == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("beam_size", [2, 3])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_beams_equal_a_beam_search_written_out(model, uncached, beam_size, penalty):
    ids, scores = generate(model, IMAGES, max_length=T, beam_size=beam_size, length_penalty=penalty, **SPECIAL)
    for image in range(3):
        expected, total = beam_search(uncached, image, T, beam_size, penalty)[0]
        assert text_of(ids[image]) == expected
        assert scores[image] == pytest.approx(total / (len(expected) - 1) ** penalty, rel=1e-4)


def test_so_many_beams_that_none_is_lost_find_the_most_probable_text(model, uncached):
    width = 11**2
    ids, scores = generate(model, IMAGES[:1], max_length=3, beam_size=width, length_penalty=0.0, **SPECIAL)
    best, total = max(beam_search(uncached, 0, 3, width, 0.0), key=lambda beam: beam[1])
    assert text_of(ids[0]) == best
    assert scores[0] == pytest.approx(total, rel=1e-4)


def test_the_images_give_different_texts(model):
    ids, _ = generate(model, ALL_IMAGES, max_length=T, **SPECIAL)
    assert len({tuple(row) for row in ids}) > 1, "else the tests above would show little"


def test_finished_rows_stay_finished_whatever_the_others_do(model):
    """The end is made likelier until some texts end early and others do not."""
    for eos in range(3, V):
        special = {**SPECIAL, "eos_id": eos}
        ids, _ = generate(model, ALL_IMAGES, max_length=T, **special)
        ends = [row.tolist().index(eos) if eos in row else None for row in ids]
        if len(set(ends)) > 1 and any(end is not None for end in ends):
            break
    else:
        pytest.fail("no token ends some texts before others")
    for row, end in zip(ids, ends, strict=True):
        assert row[0] == BOS
        if end is not None:
            assert not (row[end + 1 :] != PAD).any()
            assert (row[: end + 1] != PAD).all()
        alone, _ = generate(model, ALL_IMAGES[[ids.tolist().index(row.tolist())]], max_length=T, **special)
        assert text_of(alone[0]) == text_of(row)


def test_no_longer_than_the_longest_text(model):
    ids, _ = generate(model, IMAGES, max_length=T, **SPECIAL)
    assert ids.shape[0] == 3
    assert 2 <= ids.shape[1] <= T
    assert (ids[:, -1] != PAD).any()


def test_new_weights_are_seen_without_compiling_anew(model):
    before, _ = generate(model, IMAGES, max_length=3, **SPECIAL)
    table = model.text_decoder.embedding.embeddings if model.tie_embeddings else model.head.bias
    original, steps = to_numpy(table.value), model.generation_steps
    changed = original.copy()
    changed[7] = 50.0 * np.sign(changed[7]) if model.tie_embeddings else 50.0
    table.assign(changed)
    after, _ = generate(model, IMAGES, max_length=3, **SPECIAL)
    table.assign(original)
    assert (before != after).any() or before.shape != after.shape
    np.testing.assert_array_equal(generate(model, IMAGES, max_length=3, **SPECIAL)[0], before)
    assert model.generation_steps is steps


def test_other_image_sizes_and_batches(model):
    images = RNG.uniform(-1, 1, size=(2, 40, 16, 3)).astype("float32")
    ids, scores = generate(model, images, max_length=4, beam_size=2, **SPECIAL)
    assert ids.shape[0] == scores.shape[0] == 2
    assert np.isfinite(scores).all()


def test_mixed_precision():
    ids, scores = generate(captioner(dtype="mixed_bfloat16"), IMAGES, max_length=4, beam_size=2, **SPECIAL)
    assert np.isfinite(scores).all()
    assert (ids[:, 0] == BOS).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": T + 1}, r"expected a length in \[2, 7\]. Received: max_length=8"),
        ({"max_length": 1}, "max_length=1"),
        ({"beam_size": 0}, "expected a positive integer. Received: beam_size=0"),
        ({"eos_id": BOS}, "expected three different tokens"),
        ({"pad_id": V}, r"three different tokens in \[0, 13\)"),
    ],
)
def test_errors(model, options, message):
    with pytest.raises(ValueError, match=message):
        generate(model, IMAGES, **{"max_length": T, **SPECIAL, **options})
