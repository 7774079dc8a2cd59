"""Relevance of real models: gradients against differences and another way to differentiate, maps against loops."""

import keras
import numpy as np
import pytest

from tests import backend
from tests.attention_maps import relevance_reference as reference
from tests.attention_maps.test_capture import batch, tiny_model
from tests.attention_maps.text_models import LENGTH, SIZE, pairs, text_tower, tiny_text_model, tower
from vitcross.attention_maps import RelevanceExplainer, RelevanceMaps, relevance
from vitcross.attention_maps.capture.gradients import compiled_gradients
from vitcross.layers import AttentionControls
from vitcross.models import DualEncoder, QuestionAnsweringModel, VisionTransformer

TEXT_CASES = [
    ("dual", "eos"),
    ("dual", "gap"),
    ("dual", "map"),
    ("captioner", None),
    ("questions", "eos"),
    ("questions", "gap"),
    ("questions", "map"),
]


def arrays(model, examples):
    names = ("images",) if isinstance(model, VisionTransformer) else ("images", "token_ids", "padding_mask")
    return [examples[name] for name in names]


def score(model, outputs, target, examples):
    """(B,) what is explained, from the outputs of a plain call."""
    rows = np.arange(len(target))
    if isinstance(model, DualEncoder):
        return keras.ops.sum(outputs[0] * outputs[1], axis=-1)
    if not hasattr(model, "text_decoder"):
        return keras.ops.stack([outputs[b, int(target[b])] for b in rows])
    return keras.ops.stack([outputs[b, int(target[b]) - 1, int(examples["token_ids"][b, target[b]])] for b in rows])


def plain_weights(model, examples):
    found = model(*arrays(model, examples), training=False, return_attention_scores=True)[-1]
    return {address: backend.to_numpy(value) for address, value in found.items()}


def plain_gradients(model, examples, target):
    """Address -> dy/dA by differentiating a plain call by one long vector of offsets."""
    shapes = {address: value.shape for address, value in plain_weights(model, examples).items()}
    ends = np.cumsum([0, *(np.prod(shape) for shape in shapes.values())])

    def cut(flat):
        return {
            a: keras.ops.reshape(flat[i:j], s) for (a, s), i, j in zip(shapes.items(), ends, ends[1:], strict=False)
        }

    def total(flat):
        controls = AttentionControls(weight_offsets=cut(flat))
        outputs = model(*arrays(model, examples), training=False, attention_controls=controls)
        return keras.ops.sum(score(model, outputs, target, examples))

    flat = backend.gradient(total, np.zeros(ends[-1], np.float32))
    return {a: flat[i:j].reshape(s) for (a, s), i, j in zip(shapes.items(), ends, ends[1:], strict=False)}


def numbers(variable):
    return backend.to_numpy(variable.value).astype(np.float64)


def cosine_gradient(features, projection, other):
    """(B, D) derivative of cosine(features W, other) by the features."""
    projected = features @ projection
    length = np.linalg.norm(projected, axis=-1, keepdims=True)
    unit = projected / length
    return (other - unit * (unit * other).sum(-1, keepdims=True)) / length @ projection.T


def mean_pooling_products(model, examples, target):
    """tower -> (B, tokens) relu(<dy/dpool, x_j> / n), dy/dpool from the last layers by hand."""
    images, found = examples["images"], {}
    if isinstance(model, VisionTransformer):
        tokens = backend.to_numpy(model.norm(model.encode(images, training=False)))
        by_pool = numbers(model.head.kernel)[:, target].T
        return {model.name: _products(tokens, by_pool, _patches(model, images))}
    mask = examples["padding_mask"]
    if isinstance(model, QuestionAnsweringModel):
        context, _ = model.encode_images(images, training=False)
        tokens = backend.to_numpy(model.text_encoder.encode(examples["token_ids"], mask, context, training=False))
        return {"text_encoder": _products(tokens, numbers(model.head.kernel)[:, target].T, mask)}
    embeddings = [backend.to_numpy(e).astype(np.float64) for e in model(*arrays(model, examples), training=False)]
    image, text = model.image_encoder, model.text_encoder
    tokens = backend.to_numpy(image.norm(image.encode(images, training=False)))
    features = backend.to_numpy(image(images, training=False)).astype(np.float64)
    by_pool = cosine_gradient(features, numbers(model.image_projection.kernel), embeddings[1])
    found["image_encoder"] = _products(tokens, by_pool, _patches(image, images))
    tokens = backend.to_numpy(text.encode(examples["token_ids"], mask, training=False))
    features = backend.to_numpy(text(examples["token_ids"], padding_mask=mask, training=False)).astype(np.float64)
    by_pool = cosine_gradient(features, numbers(model.text_projection.kernel), embeddings[0])
    found["text_encoder"] = _products(tokens, by_pool, mask)
    return found


def _patches(tower_, images):
    layout = tower_.token_layout_for(tuple(images.shape[1:3]))
    return np.tile(np.arange(layout.num_tokens) >= layout.num_prefix_tokens, (len(images), 1))


def _products(tokens, by_pool, averaged):
    shares = averaged / averaged.sum(-1, keepdims=True)
    return np.maximum(np.einsum("btd,bd->bt", tokens, by_pool) * shares, 0)


def reads(tower_, abars, products, mask=None):
    """What a tower's pooling reads of its own tokens, by loops: (B, T)."""
    blocks = [
        a for address, a in abars.items() if address.startswith(tower_.name) and address.endswith("self_attention")
    ]
    return [_read(tower_, [a[b] for a in blocks], abars, products, mask, b) for b in range(len(blocks[0]))]


def _read(tower_, layers, abars, products, mask, b):
    own = reference.chain(layers)
    if tower_.pooling == "cls":
        return reference.row(own, 0)
    if tower_.pooling == "eos":
        return reference.row(own, int(mask[b].sum()) - 1)
    return reference.pooled(_pooling(tower_, abars, products, b), own)


def _pooling(tower_, abars, products, b):
    return (
        products[tower_.name][b] if tower_.pooling == "gap" else abars[f"{tower_.name}/pooling/cross_attention"][b, 0]
    )


def oracle(model, examples, target):
    """(image (B, P), text (B, T) or None, tokens (B, T, P) or None) by loops; of a caption `tokens` are all None."""
    weights, gradients = plain_weights(model, examples), plain_gradients(model, examples, target)
    abars = {
        a: np.stack([reference.abar(w, g) for w, g in zip(weights[a], gradients[a], strict=True)]) for a in weights
    }
    products = mean_pooling_products(model, examples, target) if not hasattr(model, "text_decoder") else {}
    if isinstance(model, VisionTransformer):
        return np.stack(reads(model, abars, products))[:, model.num_prefix_tokens :], None, None
    prefix, mask = model.image_encoder.num_prefix_tokens, examples["padding_mask"]
    if isinstance(model, DualEncoder):
        image = np.stack(reads(model.image_encoder, abars, products))[:, prefix:]
        return image, np.stack(reads(model.text_encoder, abars, products, mask)), None
    text_tower_ = getattr(model, model.TOWERS[1])
    images, texts, tokens = [], [], []
    for b in range(len(mask)):
        other = reference.chain([a[b] for n, a in abars.items() if n.startswith("image_encoder/block")])
        blocks = [
            tuple(
                abars[f"{text_tower_.name}/block_{k:02d}/{part}"][b] for part in ("self_attention", "cross_attention")
            )
            for k in range(text_tower_.depth)
        ]
        own, to_image = reference.two_streams(blocks, other)
        tokens.append(to_image[:, prefix:])
        if text_tower_.pooling in ("gap", "map"):
            pooling = _pooling(text_tower_, abars, products, b)
            images.append(pooling @ to_image)
            texts.append(reference.pooled(pooling, own))
        else:
            row = int(mask[b].sum()) - 1 if text_tower_.pooling == "eos" else int(target[b]) - 1
            images.append(to_image[row])
            texts.append(reference.row(own, row))
    found = None if hasattr(model, "text_decoder") else np.stack(tokens)
    return np.stack(images)[:, prefix:], np.stack(texts), found


def close(found, expected):
    """Within 1e-5 of the largest value: relevance has the scale of its target."""
    assert found.dtype == np.float32 and found.shape == expected.shape and found.min() >= 0
    assert expected.max() > 0
    np.testing.assert_allclose(found, expected, atol=1e-5 * expected.max(), rtol=1e-4)


# ------------------------------------------------------------------------------------------------------------- images


@pytest.mark.parametrize("pooling", ["cls", "gap", "map"])
def test_maps_of_a_classifier_against_loops(pooling):
    model = tiny_model(pooling=pooling)  # a 3 x 5 grid behind a register
    examples, target = batch()[0], np.array([4, 0, 2])
    found = RelevanceExplainer(model).explain(examples, target)
    close(found.image, oracle(model, examples, target)[0])
    logits = backend.to_numpy(model(examples["images"], training=False))
    np.testing.assert_allclose(found.score, logits[np.arange(3), target], atol=1e-5)
    np.testing.assert_array_equal(found.target, target)
    assert found.text is found.tokens is None


def test_a_convolutional_stem_no_prefix_and_another_size():
    model = tiny_model(pooling="gap", stem="conv", patch_size=8, image_size=(24, 40), num_register_tokens=0)
    examples, target = batch(shape=(24, 40, 3))[0], np.array([1, 1, 3])
    close(RelevanceExplainer(model).explain(examples, target).image, oracle(model, examples, target)[0])
    explainer = RelevanceExplainer(tiny_model())
    for shape in ((12, 20, 3), (8, 24, 3)):
        examples = batch(shape=shape)[0]
        found = explainer.explain(examples, target).image
        close(found, oracle(explainer.model, examples, target)[0])


@pytest.mark.parametrize("pooling", ["cls", "gap", "map"])
def test_gradients_are_slopes(pooling):
    """A small step of one weight moves the logit by the gradient, in float64."""
    model = tiny_model(pooling=pooling)
    exact = tiny_model(pooling=pooling, dtype="float64")
    for mine, other in zip(model.variables, exact.variables, strict=True):
        if "float" in str(mine.dtype):
            other.assign(backend.to_numpy(mine.value))
    examples, target = batch()[0], np.array([4, 0, 2])
    found = compiled_gradients(model)(examples, target)
    random, step = np.random.default_rng(3), 1e-4
    for address, gradients in found.gradients.items():
        direction = random.normal(size=gradients.shape)

        def logit(size, address=address, direction=direction):
            controls = AttentionControls(weight_offsets={address: size * direction})
            logits = exact(examples["images"].astype(np.float64), training=False, attention_controls=controls)
            return backend.to_numpy(logits)[np.arange(3), target]

        slope = (logit(step) - logit(-step)) / (2 * step)
        expected = (gradients * direction).sum((1, 2, 3))
        np.testing.assert_allclose(slope, expected, rtol=1e-3, atol=1e-5)


def test_weights_beside_the_gradients_are_those_of_a_plain_call():
    model = tiny_model(pooling="map")
    found = compiled_gradients(model)(batch()[0], np.array([0, 1, 2]))
    expected = plain_weights(model, batch()[0])
    assert list(found.weights) == list(found.gradients) == list(expected)
    for address, weights in found.weights.items():
        np.testing.assert_allclose(weights, expected[address], atol=1e-6)


def test_more_than_ten_blocks_stay_in_depth_order():
    model = tiny_model(depth=11, embed_dim=6)
    found = compiled_gradients(model)(batch()[0], np.array([0, 1, 2]))
    assert list(found.weights) == [f"image_encoder/block_{i:02d}/self_attention" for i in range(11)]


def test_a_class_that_patches_speak_against_has_no_evidence():
    model = tiny_model(pooling="gap")
    model.head.kernel.assign(0 * model.head.kernel)
    assert not RelevanceExplainer(model).explain(batch()[0], np.array([0, 1, 2])).image.any()


def test_relevance_explains_the_most_probable_class_or_one_by_name():
    model, examples = tiny_model(), batch()[0]
    said = backend.to_numpy(model(examples["images"], training=False)).argmax(-1)
    explainer = RelevanceExplainer(model)
    np.testing.assert_array_equal(relevance(model, examples), explainer.explain(examples, said).image)
    names = ("ant", "bee", "cow", "dog", "eel")
    by_name = relevance(model, examples, "dog", class_names=names)
    np.testing.assert_array_equal(by_name, explainer.explain(examples, np.full(3, 3)).image)
    with pytest.raises(ValueError, match="dog, .*Received: target='dag'"):
        relevance(model, examples, "dag", class_names=names)


def test_what_cannot_be_explained_is_refused():
    with pytest.raises(ValueError, match="num_classes=None"):
        RelevanceExplainer(tiny_model(num_classes=None))
    for target in (np.zeros(2, int), np.zeros(3), 1):
        with pytest.raises(ValueError, match=r"`target` must be \(3,\) integers"):
            RelevanceExplainer(tiny_model()).explain(batch()[0], target)
    examples, _ = pairs(2)
    with pytest.raises(ValueError, match="one text per image, 1. Received: 2"):
        RelevanceExplainer(tiny_text_model("dual")).explain(
            examples | {"images": examples["images"][:1]}, np.zeros(1, int)
        )
    for position in (0, LENGTH - 1):
        with pytest.raises(ValueError, match="position of a real token"):
            RelevanceExplainer(tiny_text_model("captioner")).explain(examples, np.array([1, position]))


# ---------------------------------------------------------------------------------------------------------------- texts


def a_target(kind):
    return {"dual": np.zeros(2, int), "captioner": np.array([3, 5]), "questions": np.array([6, 2])}[kind]


@pytest.mark.parametrize(("kind", "pooling"), TEXT_CASES)
def test_maps_of_image_text_models_against_loops(kind, pooling):
    model, target = tiny_text_model(kind, pooling=pooling), a_target(kind)
    examples, _ = pairs(2, questions=kind == "questions")
    found = RelevanceExplainer(model).explain(examples, target)
    image, text, tokens = oracle(model, examples, target)
    assert isinstance(found, RelevanceMaps)
    if image.max() > 0:  # of two heads none may speak for the match
        close(found.image, image)
    close(found.text, text)
    assert not found.text[~examples["padding_mask"]].any()
    if kind == "questions":
        close(found.tokens, tokens)
        assert not found.tokens[~examples["padding_mask"]].any()
    outputs = model(*arrays(model, examples), training=False)
    np.testing.assert_allclose(found.score, score(model, outputs, target, examples), atol=1e-5)
    assert kind != "dual" or np.abs(found.score).max() <= 1  # the cosine, not scaled


def test_each_token_of_a_caption_is_a_target_of_its_own():
    explainer, (examples, _) = RelevanceExplainer(tiny_text_model("captioner")), pairs(2)
    found = explainer.explain(examples, np.array([3, 5])).tokens
    lengths = examples["padding_mask"].sum(1)
    for position in (1, 4, int(lengths.min()) - 1):
        alone = explainer.explain(examples, np.full(2, position), every_token=False)
        np.testing.assert_array_equal(found[:, position], alone.image)
        assert alone.tokens is None
        # What comes after the row that predicts has no part.
        assert not alone.text[:, position:].any()
    assert not found[:, 0].any() and not found[~examples["padding_mask"]].any()
    assert found[examples["padding_mask"]].reshape(-1, found.shape[-1])[1:].any(-1).mean() > 0.9
    later = examples | {"token_ids": np.where(np.arange(LENGTH) > 4, 7, examples["token_ids"])}
    later["token_ids"][~examples["padding_mask"]] = 0
    np.testing.assert_allclose(
        explainer.explain(later, np.array([4, 4]), every_token=False).image, found[:, 4], atol=1e-6
    )


@pytest.mark.parametrize(("kind", "pooling"), [("dual", "gap"), ("captioner", None), ("questions", "map")])
def test_maps_do_not_depend_on_padding(kind, pooling):
    explainer, target = RelevanceExplainer(tiny_text_model(kind, depth=1, pooling=pooling)), a_target(kind)
    examples, _ = pairs(2, questions=kind == "questions")
    shortest = int(examples["padding_mask"].sum(1).max())
    assert shortest < LENGTH
    short = examples | {name: examples[name][:, :shortest] for name in ("token_ids", "padding_mask")}
    long, short = explainer.explain(examples, target), explainer.explain(short, target)
    np.testing.assert_allclose(short.image, long.image, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(short.text, long.text[:, :shortest], rtol=1e-3, atol=1e-6)
    if short.tokens is not None:
        np.testing.assert_allclose(short.tokens, long.tokens[:, :shortest], rtol=1e-3, atol=1e-6)


def test_towers_with_other_poolings_meet():
    keras.utils.set_random_seed(3)
    image = VisionTransformer(num_classes=None, image_size=SIZE, patch_size=8, pooling="gap", **tower())
    model = DualEncoder(image_encoder=image, text_encoder=text_tower(pooling="map"), projection_dim=5)
    examples, target = pairs(2)[0], np.zeros(2, int)
    found, expected = RelevanceExplainer(model).explain(examples, target), oracle(model, examples, target)
    close(found.image, expected[0])
    close(found.text, expected[1])
    # The scale of the logits has no part in it.
    model.log_logit_scale.assign(0.5)
    np.testing.assert_array_equal(RelevanceExplainer(model).explain(examples, target).image, found.image)


def test_relevance_of_pairs():
    examples, texts = pairs(2)
    model = tiny_text_model("captioner", depth=1)
    found = relevance(model, examples, texts=texts)
    assert [texts[b].tokens[found.target[b]].word >= 0 for b in range(2)] == [True, True]
    np.testing.assert_array_equal(relevance(model, examples).target, examples["padding_mask"].sum(1) - 1)
    np.testing.assert_array_equal(relevance(model, examples, found.target).image, found.image)
    questions, _ = pairs(2, questions=True)
    model = tiny_text_model("questions", depth=1)
    said = backend.to_numpy(model(*arrays(model, questions), training=False)).argmax(-1)
    np.testing.assert_array_equal(relevance(model, questions).target, said)
    np.testing.assert_array_equal(relevance(tiny_text_model("dual", depth=1), examples).target, [0, 0])


# ------------------------------------------------------------------------------------------------------- what it leaves


def every_case():
    yield tiny_model(pooling="gap"), batch()[0], np.array([0, 1, 2])
    for kind in ("dual", "captioner", "questions"):
        yield tiny_text_model(kind, depth=1), pairs(2, questions=kind == "questions")[0], a_target(kind)


def test_explaining_touches_no_variable_and_no_random_state():
    for model, examples, target in every_case():
        before = [np.array(v.value) for v in model.variables]
        keras.utils.set_random_seed(5)
        explainer = RelevanceExplainer(model)
        first, second = (explainer.explain(examples, target) for _ in range(2))
        drawn = np.asarray(keras.random.normal((3,))), np.random.random()
        keras.utils.set_random_seed(5)
        np.testing.assert_array_equal(drawn[0], np.asarray(keras.random.normal((3,))))
        assert drawn[1] == np.random.random()
        assert len(model.variables) == len(before)
        for variable, value in zip(model.variables, before, strict=True):
            np.testing.assert_array_equal(np.array(variable.value), value)
        np.testing.assert_array_equal(first.image, second.image)  # dropout is off


def test_an_explainer_sees_weights_that_changed_after_it_was_compiled():
    model, examples, target = tiny_model(), batch()[0], np.array([0, 1, 2])
    explainer = RelevanceExplainer(model)
    first = explainer.explain(examples, target).image
    for variable in model.trainable_variables:
        variable.assign(variable * 1.5)
    second = explainer.explain(examples, target).image
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(second, RelevanceExplainer(model).explain(examples, target).image)


@pytest.mark.parametrize("kind", ["image", "dual", "captioner", "questions"])
def test_mixed_precision_gives_float32_maps_that_agree(kind):
    def made():
        return tiny_model(pooling="gap", depth=1) if kind == "image" else tiny_text_model(kind, depth=1)

    exact = made()
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        mixed = made()
    finally:
        keras.config.set_dtype_policy(before)
    for mine, other in zip(exact.variables, mixed.variables, strict=True):
        other.assign(mine)
    if kind == "image":
        examples, target = batch()[0], np.array([0, 1, 2])
    else:
        (examples, _), target = pairs(2, questions=kind == "questions"), a_target(kind)
    assert mixed.compute_dtype == "bfloat16"
    found, expected = (RelevanceExplainer(model).explain(examples, target) for model in (mixed, exact))
    for name in ("image", "text", "tokens"):
        mine, other = getattr(found, name), getattr(expected, name)
        if other is None:
            assert mine is None
            continue
        assert mine.dtype == np.float32 and np.isfinite(mine).all() and mine.min() >= 0
        assert np.corrcoef(mine.ravel(), other.ravel())[0, 1] > 0.95
