"""Dropping tokens equals masking them, for every pooling and every model; blurred pixels are what they say."""

import keras
import numpy as np
import pytest

from tests import reference
from tests.backend import randomize, to_numpy
from tests.models import image_text
from vitcross.attention_maps.trust.pixel_scores import PixelScorer, blur, patch_mask
from vitcross.attention_maps.trust.scores import Portions
from vitcross.attention_maps.trust.token_scores import TokenScorer
from vitcross.layers import AttentionControls
from vitcross.layers.token_layout import TokenLayout
from vitcross.models import VisionTransformer

RNG = np.random.default_rng(7)
B, P = 3, 15
BATCH = {"images": image_text.IMAGES, "token_ids": image_text.IDS, "padding_mask": image_text.REAL}
KEPT = np.stack([RNG.permutation(P)[:7] for _ in range(B)])
KEEP = np.zeros((B, P), bool)
np.put_along_axis(KEEP, KEPT, True, axis=1)


def classifier(**options):
    # Dropout of every kind, which must all be off; weights large enough for answers that differ.
    rates = {"dropout_rate": 0.3, "attention_dropout_rate": 0.3, "drop_path_rate": 0.3, "patch_dropout_rate": 0.5}
    sizes = {"image_size": (24, 40), "patch_size": 8, "embed_dim": 33, "depth": 2, "num_heads": 3, "num_classes": 7}
    model = randomize(VisionTransformer(**{**sizes, **rates, "num_register_tokens": 2, **options}))
    model.head.kernel.assign(8 * to_numpy(model.head.kernel.value))
    return model


MODELS = {
    "cls": lambda: classifier(pooling="cls"),
    "gap": lambda: classifier(pooling="gap"),
    "map": lambda: classifier(pooling="map"),
    "gap with a class token": lambda: classifier(pooling="gap", class_token=True),
    "map without prefix": lambda: classifier(pooling="map", num_register_tokens=0),
    "conv stem": lambda: classifier(pooling="gap", stem="conv", num_register_tokens=0),
    "dual encoder": lambda: image_text.dual_encoder(logit_bias_init=-10.0),
    "captioner": image_text.captioner,
    "question answering": lambda: image_text.question_answering(image={"pooling": "cls"}),
}


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def expected(model, target, controls=None):
    """(probabilities (B, K), index of the target) by the model's own call, masking what is dropped."""
    options = {"training": False, "attention_controls": controls}
    text = {"token_ids": BATCH["token_ids"], "padding_mask": BATCH["padding_mask"]}
    if isinstance(model, VisionTransformer):
        return softmax(to_numpy(model(BATCH["images"], **options))), target
    outputs = to_numpy(model(BATCH["images"], **text, **options))
    if hasattr(model, "projection_dim"):
        scale = float(np.exp(to_numpy(model.log_logit_scale.value)))
        return softmax(scale * outputs[0] @ outputs[1].T), np.arange(B)
    if hasattr(model, "text_decoder"):
        return softmax(outputs[np.arange(B), target - 1]), BATCH["token_ids"][np.arange(B), target]
    return softmax(outputs), target


@pytest.mark.parametrize("name", MODELS)
def test_dropping_tokens_is_masking_them_in_every_layer(name):
    model, target = MODELS[name](), np.array([1, 4, 2])
    before = [to_numpy(v.value).copy() for v in model.variables]
    scores = TokenScorer(model, chunk=16)(BATCH, target)  # in pieces of one or two rows
    probabilities, index = expected(model, target)
    np.testing.assert_array_equal(scores.target, index)
    np.testing.assert_allclose(scores.full, probabilities[np.arange(B), index], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(scores.right, probabilities.argmax(axis=1) == index)
    numbers, right = scores(np.arange(B), KEPT)
    masked, _ = expected(model, target, AttentionControls(kept_patches=KEEP))
    np.testing.assert_allclose(numbers, masked[np.arange(B), index], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(right, masked.argmax(axis=1) == index)
    assert np.abs(numbers - scores.full).max() > 1e-4
    # In another order of the same patches, one alone, and mixed up between examples.
    np.testing.assert_allclose(scores(np.arange(B), KEPT[:, ::-1])[0], numbers, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scores([2, 0, 2], KEPT[[2, 0, 2]])[0], numbers[[2, 0, 2]], rtol=1e-4, atol=1e-6)
    assert scores([1], [[11]])[0].shape == (1,)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(to_numpy(variable.value), value)


def test_without_a_target_it_is_what_the_model_says_of_the_whole_image():
    model = classifier(pooling="gap")
    probabilities = softmax(to_numpy(model(BATCH["images"])))
    scores = TokenScorer(model)(BATCH)
    np.testing.assert_array_equal(scores.target, probabilities.argmax(axis=1))
    assert scores.right.all()
    # It stays the target where fewer patches make the model say something else.
    masked = softmax(to_numpy(model(BATCH["images"], attention_controls=AttentionControls(kept_patches=KEEP))))
    numbers, _ = scores(np.arange(B), KEPT)
    np.testing.assert_allclose(numbers, masked[np.arange(B), probabilities.argmax(axis=1)], rtol=1e-4, atol=1e-6)
    captions = TokenScorer(image_text.captioner())(BATCH)
    np.testing.assert_array_equal(captions.target, [11, 6, 9], "the last token before the end")


def test_equal_texts_are_one_choice_and_a_single_one_gives_the_cosine():
    model = image_text.dual_encoder()
    twice = {key: array[[0, 1, 0]] for key, array in BATCH.items()}
    image, text = to_numpy(model(twice["images"], twice["token_ids"], twice["padding_mask"]))
    scale = float(np.exp(to_numpy(model.log_logit_scale.value)))
    probabilities = softmax(scale * image @ text[:2].T)
    np.testing.assert_allclose(TokenScorer(model)(twice).full, probabilities[np.arange(3), [0, 1, 0]], rtol=1e-4)
    same = {**BATCH, **{key: BATCH[key][[1, 1, 1]] for key in ("token_ids", "padding_mask")}}
    image, text = to_numpy(model(same["images"], same["token_ids"], same["padding_mask"]))
    scores = TokenScorer(model)(same)
    np.testing.assert_allclose(scores.full, (image * text).sum(axis=1), rtol=1e-4, atol=1e-6)
    controls = AttentionControls(kept_patches=KEEP)
    masked = to_numpy(model.encode_images(same["images"], attention_controls=controls))
    np.testing.assert_allclose(scores(np.arange(B), KEPT)[0], (masked * text).sum(axis=1), rtol=1e-4, atol=1e-6)


def test_one_example_as_the_contract_of_deletion_insertion_has_it():
    scores = TokenScorer(classifier(pooling="cls"))(BATCH)
    keep = np.random.default_rng(1).random((9, P)) < 0.4
    keep[:, 3] = True
    found = scores.of(1)(keep)
    one_by_one = [scores([1], np.flatnonzero(row)[None])[0][0] for row in keep]
    np.testing.assert_allclose(found, one_by_one, rtol=1e-4)
    with pytest.raises(ValueError, match=r"`keep` must be \(K, 15\) with at least one patch kept"):
        scores.of(1)(np.zeros((2, P), bool))


def test_portions_do_not_change_what_is_asked():
    model = image_text.dual_encoder()
    scorer = TokenScorer(model)
    whole = scorer(BATCH)
    for size in (1, 2, 3, 5):
        portions = scorer.portions(BATCH, size=size)
        assert isinstance(portions, Portions) and len(portions) == B and portions.layout == whole.layout
        for _ in range(2):  # as often as they are run through
            rows = [rows for rows, _ in portions]
            assert np.concatenate(rows).tolist() == [0, 1, 2] and max(map(len, rows)) <= size
            full = np.concatenate([scores.full for _, scores in portions])
            np.testing.assert_allclose(full, whole.full, rtol=1e-5)
    with pytest.raises(ValueError, match="`size` of a portion must be >= 1"):
        scorer.portions(BATCH, size=0)


def test_it_compiles_once_for_all_numbers_of_tokens():
    model = classifier(pooling="gap")
    traces = []
    encode = model.encode_tokens
    model.encode_tokens = lambda *args, **kwargs: traces.append(1) or encode(*args, **kwargs)
    scores = TokenScorer(model)(BATCH)
    for count in range(1, P):
        scores(np.arange(B)[: 1 + count % 3], np.tile(np.arange(count), (1 + count % 3, 1)))
    if keras.backend.backend() == "tensorflow":
        assert len(traces) == 1


def test_it_reads_the_variables_as_they_are_now():
    model = classifier(pooling="gap")
    scorer = TokenScorer(model)
    before = scorer(BATCH, [1, 1, 1]).full
    model.head.kernel.assign(-to_numpy(model.head.kernel.value))
    after = scorer(BATCH, [1, 1, 1]).full
    np.testing.assert_allclose(after, TokenScorer(model)(BATCH, [1, 1, 1]).full, rtol=1e-5)
    assert np.abs(after - before).max() > 1e-3


def test_mixed_precision_gives_float32_answers():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = classifier(pooling="map")
    finally:
        keras.config.set_dtype_policy(policy)
    scores = TokenScorer(model)(BATCH, [1, 2, 3])
    masked = softmax(to_numpy(model(BATCH["images"], attention_controls=AttentionControls(kept_patches=KEEP))))
    numbers, _ = scores(np.arange(B), KEPT)
    assert numbers.dtype == np.float64
    np.testing.assert_allclose(numbers, masked[np.arange(B), [1, 2, 3]], rtol=0.1, atol=0.02)


def test_a_network_that_diverged_says_nothing():
    model = classifier(pooling="gap")
    model.head.bias.assign(np.full(7, np.nan))
    np.testing.assert_array_equal(TokenScorer(model)(BATCH, [1, 2, 3]).full, 0)


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("gap", [1, 2], r"`target` must be one per image \(3\)"),
        ("gap", [1, 2, 7], r"`target` must be in \[0, 7\)"),
        ("question answering", [0, 1, 17], r"`target` must be in \[0, 17\)"),
        ("captioner", [4, 1, 1], "`target` must be positions of real tokens"),
        ("captioner", [0, 1, 1], "`target` must be positions of real tokens"),
    ],
)
def test_targets_that_do_not_exist_are_refused(name, target, message):
    with pytest.raises(ValueError, match=message):
        TokenScorer(MODELS[name]())(BATCH, target)


def test_blurred_pixels_are_those_of_the_patches_that_left():
    layout = TokenLayout(grid_height=3, grid_width=5)
    mask = patch_mask(KEPT, layout, (8, 8), (23, 40))
    assert mask.shape == (B, 23, 40)
    for b in range(B):
        for patch in range(P):
            assert (mask[b, *reference.pixels_of(patch, layout, (8, 8))] == KEEP[b, patch]).all()


def test_blur_against_a_plain_convolution():
    image, sigma = RNG.normal(size=(1, 7, 11, 2)), 1.3
    found = blur(image, sigma)
    offsets = np.arange(-4, 5)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    for row, column in ((0, 0), (3, 5), (6, 10), (2, 9)):
        expected = sum(
            weights[i] * weights[j] * image[0, np.clip(row + offsets[i], 0, 6), np.clip(column + offsets[j], 0, 10)]
            for i in range(9)
            for j in range(9)
        )
        np.testing.assert_allclose(found[0, row, column], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(blur(np.full((1, 5, 6, 3), 0.7), 2.0), 0.7, rtol=1e-5)
    with pytest.raises(ValueError, match="`sigma` must be > 0"):
        blur(image, 0)


@pytest.mark.parametrize("name", ["conv stem", "captioner"])
def test_pixel_scores_are_those_of_the_blurred_image(name):
    model, target = MODELS[name](), np.array([1, 4, 2])
    scorer = PixelScorer(model, sigma=3.0)
    scores = scorer(BATCH, target)
    np.testing.assert_allclose(scores.full, TokenScorer(model)(BATCH, target).full, rtol=1e-4)
    mask = patch_mask(KEPT, scores.layout, (8, 8), (24, 40))[..., None]
    mixed = {**BATCH, "images": np.where(mask, BATCH["images"], blur(BATCH["images"], 3.0))}
    np.testing.assert_allclose(scores(np.arange(B), KEPT)[0], TokenScorer(model)(mixed, target).full, rtol=1e-4)
    assert PixelScorer(model).sigma == 8
