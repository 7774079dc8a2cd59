"""The dual encoder against NumPy: embeddings, embeddings of patches and words, scale and bias."""

import keras
import numpy as np
import pytest

from tests import reference
from tests.backend import below, evaluated, parameters, to_numpy
from tests.models.image_text import HEADS, IDS, IMAGES, REAL, RNG, dual_encoder
from tests.models.text_reference import normalized, text_transformer

CLOSE = {"rtol": 1e-3, "atol": 1e-4}
POOLINGS = {"map": ("map", "map"), "cls_eos": ("cls", "eos"), "gap": ("gap", "gap")}


@pytest.fixture(scope="module", params=POOLINGS, ids=str)
def model(request):
    image, text = POOLINGS[request.param]
    return dual_encoder({"pooling": image, "num_register_tokens": 2}, {"pooling": text}, logit_bias_init=-10.0)


def own(model, name):
    return below(parameters_by_whole_path(model), f"dual_encoder/{name}")


def parameters_by_whole_path(model):
    return {variable.path: to_numpy(variable.value).astype("float64") for variable in model.variables}


def image_features(model, pooling=None):
    """Features and weights of the image tower, by a head that changes nothing."""
    encoder = model.image_encoder
    width = encoder.embed_dim
    p = {**parameters(encoder), "head/kernel": np.eye(width), "head/bias": np.zeros(width)}
    return reference.vision_transformer(
        IMAGES.astype("float64"),
        p,
        patch_size=(8, 8),
        depth=encoder.depth,
        num_heads=HEADS,
        pooling=encoder.pooling,
        num_registers=2,
    )


def text_features(model, pooling):
    encoder = model.text_encoder
    return text_transformer(
        IDS,
        parameters(encoder),
        depth=2,
        num_heads=HEADS,
        name="text_encoder",
        causal=False,
        pooling=pooling,
        real=REAL,
    )


def test_equals_the_reference(model):
    image, text, weights = evaluated(
        lambda images: model(images, token_ids=IDS, padding_mask=REAL, return_attention_scores=True), IMAGES
    )
    image_expected, image_weights = image_features(model)
    text_expected, text_weights = text_features(model, model.text_encoder.pooling)
    np.testing.assert_allclose(image, normalized(image_expected @ own(model, "image_projection")["kernel"]), **CLOSE)
    np.testing.assert_allclose(text, normalized(text_expected @ own(model, "text_projection")["kernel"]), **CLOSE)
    expected = {**image_weights, **text_weights}
    assert list(weights) == list(expected)
    for address, value in weights.items():
        np.testing.assert_allclose(value, expected[address], **CLOSE)


def test_call_is_both_towers(model):
    image, text, weights = model(IMAGES, token_ids=IDS, padding_mask=REAL, return_attention_scores=True)
    alone, image_weights = model.encode_images(IMAGES, return_attention_scores=True)
    np.testing.assert_array_equal(to_numpy(alone), to_numpy(image))
    alone, text_weights = model.encode_texts(IDS, REAL, return_attention_scores=True)
    np.testing.assert_array_equal(to_numpy(alone), to_numpy(text))
    assert list(weights) == [*image_weights, *text_weights]
    np.testing.assert_array_equal(to_numpy(model.encode_images(IMAGES)), to_numpy(image))
    np.testing.assert_array_equal(to_numpy(model.encode_texts(IDS, REAL)), to_numpy(text))
    for embedding in (image, text):
        np.testing.assert_allclose(np.linalg.norm(to_numpy(embedding), axis=-1), 1.0, rtol=1e-5)


def test_word_embeddings(model):
    tokens, _ = text_features(model, pooling=None)
    if model.text_encoder.pooling == "map":
        p = below(parameters(model.text_encoder), "pooling")
        each = [reference.attention_pooling(tokens[:, t : t + 1], p, HEADS)[0] for t in range(tokens.shape[1])]
        tokens = np.stack(each, axis=1)
    expected = normalized(tokens @ own(model, "text_projection")["kernel"])
    actual = evaluated(model.word_embeddings, IDS, REAL)
    np.testing.assert_allclose(actual[REAL], expected[REAL], **CLOSE)
    if model.text_encoder.pooling == "eos":
        last = actual[range(3), REAL.sum(1) - 1]
        np.testing.assert_allclose(last, evaluated(model.encode_texts, IDS, REAL), **CLOSE)


@pytest.mark.parametrize("size", [(24, 40), (40, 16)])
def test_patch_embeddings_are_those_of_single_patches(model, size):
    images = RNG.uniform(-1, 1, size=(3, *size, 3)).astype("float32")
    patches = evaluated(model.patch_embeddings, images)
    layout = model.token_layout_for(size)
    assert patches.shape == (3, layout.num_patches, 11)
    np.testing.assert_allclose(np.linalg.norm(patches, axis=-1), 1.0, rtol=1e-5)
    tokens = model.image_encoder.norm(model.image_encoder.encode(images))
    mask = np.zeros((3, layout.num_tokens), bool)
    mask[:, layout.num_prefix_tokens + 4] = True
    if model.image_encoder.pooling == "map":
        alone = to_numpy(model.image_encoder.attention_pooling(tokens, padding_mask=mask))
    else:
        alone = to_numpy(tokens)[mask]
    expected = normalized(alone @ own(model, "image_projection")["kernel"])
    np.testing.assert_allclose(patches[:, 4], expected, **CLOSE)


def test_scale_and_bias():
    from vitcross.models import DualEncoder

    model = dual_encoder()
    fresh = DualEncoder.from_config(model.get_config())
    assert float(to_numpy(fresh.logit_scale)) == pytest.approx(1 / 0.07)
    assert float(to_numpy(fresh.logit_bias)) == 0.0
    assert not any("logit_bias" in variable.path for variable in fresh.variables)
    biased = DualEncoder.from_config({**model.get_config(), "logit_scale_init": 10, "logit_bias_init": -10.0})
    assert float(to_numpy(biased.logit_scale)) == pytest.approx(10)
    assert float(to_numpy(biased.logit_bias)) == -10.0


def test_the_scale_stays_below_100_and_comes_back():
    model = dual_encoder(dtype="mixed_bfloat16")
    scale = model.log_logit_scale
    scale.assign(np.log(99.0))
    optimizer = keras.optimizers.SGD(1.0)
    for gradient, expected in ((-1.0, 100.0), (1.0, 100.0 / np.e)):
        optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")], [scale])
        assert float(to_numpy(model.logit_scale)) == pytest.approx(expected, rel=1e-5)
    assert keras.backend.standardize_dtype(model.logit_scale.dtype) == "float32"
