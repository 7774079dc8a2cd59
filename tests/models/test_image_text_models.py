"""What holds for every image-text model: call contract, interventions, modes of execution, configuration, errors."""

import json

import keras
import numpy as np
import pytest

from tests import reference
from tests.backend import compiled, evaluated, gradient, to_numpy
from tests.models.image_text import (
    IDS,
    IMAGES,
    REAL,
    RNG,
    V,
    captioner,
    decoder,
    dual_encoder,
    image_encoder,
    question_answering,
    text_tower,
)
from vitcross.layers import AttentionControls
from vitcross.models import CaptioningModel, DualEncoder, QuestionAnsweringModel

MADE = {
    "dual_map": lambda **options: dual_encoder(options, options),
    "dual_cls_eos": lambda **o: dual_encoder({"pooling": "cls", **o}, {"pooling": "eos", "causal": True, **o}),
    "captioner": lambda **options: captioner(options, options),
    "captioner_untied": lambda **o: captioner({"pooling": "cls", **o}, o, tie_embeddings=False),
    "questions": lambda **options: question_answering(options, options),
}
KEPT = np.zeros((3, 15), bool)
KEPT[0, [0, 3, 4, 7, 11, 14]] = KEPT[1, [1, 2, 6]] = KEPT[2, 5:] = True


@pytest.fixture(scope="module", params=MADE, ids=str)
def model(request):
    return MADE[request.param]()


def call(model, images=IMAGES, ids=IDS, **options):
    return model(images, token_ids=ids, padding_mask=REAL, **options)


def first(result):
    """All outputs but the weights as one array."""
    parts = to_numpy(result)
    return np.concatenate([p.reshape(3, -1) for p in parts], axis=1) if isinstance(parts, tuple) else parts


def test_weights_come_by_address_in_depth_order_and_change_no_bit(model):
    *outputs, weights = call(model, return_attention_scores=True)
    assert tuple(weights) == model.attention_addresses
    roots = [address.split("/")[0] for address in weights]
    assert roots == sorted(roots) and len(set(roots)) == 2
    np.testing.assert_array_equal(first(tuple(outputs) if len(outputs) > 1 else outputs[0]), first(call(model)))
    for value in weights.values():
        np.testing.assert_allclose(to_numpy(value).sum(-1), 1.0, rtol=1e-5)


def test_padding_and_the_rest_of_the_batch_do_not_matter(model):
    other = np.where(REAL, IDS, RNG.integers(V, size=IDS.shape)).astype("int32")
    expected, actual = first(call(model)), first(call(model, ids=other))
    expected, actual = (x[REAL] if x.ndim == 3 else x for x in (expected, actual))
    np.testing.assert_array_equal(actual, expected)
    alone = to_numpy(model(IMAGES[:1], token_ids=IDS[:1, :4]))
    alone = np.concatenate(alone, axis=1) if isinstance(alone, tuple) else alone
    row = first(call(model))[:1]
    np.testing.assert_allclose(alone, row[:, :4] if row.ndim == 3 else row, rtol=1e-3, atol=1e-4)


def test_dropped_patches_are_nowhere(model):
    controls = AttentionControls(kept_patches=KEPT)
    *outputs, weights = call(model, return_attention_scores=True, attention_controls=controls)
    tokens = np.concatenate([np.ones((3, model.image_encoder.num_prefix_tokens), bool), KEPT], axis=1)
    for address, value in weights.items():
        of_image = address.startswith("image_encoder") or "/block_" in address and address.endswith("cross_attention")
        mask = tokens if of_image else REAL
        assert not (to_numpy(value) * ~mask[:, None, None, :]).any(), address
    layout, changed = model.token_layout_for(), IMAGES.copy()
    for example, patch in zip(*np.nonzero(~KEPT), strict=True):
        changed[example, *reference.pixels_of(patch, layout, model.patch_size)] = 0.5
    masked = first(call(model, attention_controls=controls))
    np.testing.assert_allclose(first(call(model, changed, attention_controls=controls)), masked, rtol=1e-4, atol=1e-5)
    assert np.abs(masked - first(call(model))).max() > 1e-3


def test_every_address_can_be_gated(model):
    plain = first(call(model))
    for address in model.attention_addresses:
        controls = AttentionControls(head_gates={address: np.array([1, 0, 1.0], "float32")})
        assert np.abs(first(call(model, attention_controls=controls)) - plain).max() > 1e-5, address


def test_gradient_with_respect_to_the_weights_of_both_towers(model):
    weights = call(model, return_attention_scores=True)[-1]
    for address in (model.attention_addresses[0], model.attention_addresses[-1]):

        def score(offsets, address=address):
            outputs = call(model, attention_controls=AttentionControls(weight_offsets={address: offsets}))
            logits = outputs[0] * outputs[1] if isinstance(outputs, tuple) else outputs
            return keras.ops.sum(logits[0, ..., :3])

        result = gradient(score, np.zeros(weights[address].shape, "float32"))
        assert np.isfinite(result).all()
        assert np.abs(result[0]).max() > 0, address
        assert not result[1:].any(), "the other examples have no part in this score"


def test_controls_that_only_select_change_no_bit(model):
    chosen = model.attention_addresses[::2]
    controls = AttentionControls(addresses=chosen, query_rows=(0, 2))
    *outputs, weights = call(model, return_attention_scores=True, attention_controls=controls)
    np.testing.assert_array_equal(first(tuple(outputs) if len(outputs) > 1 else outputs[0]), first(call(model)))
    assert tuple(weights) == chosen
    full = call(model, return_attention_scores=True)[-1]
    for address, value in weights.items():
        expected = to_numpy(full[address])
        np.testing.assert_array_equal(to_numpy(value), expected if "pooling" in address else expected[:, :, [0, 2]])


@pytest.mark.parametrize("argument", ["head_gates", "weight_offsets", "addresses"])
def test_addresses_that_do_not_exist_are_refused(model, argument):
    unknown = "text_tower/block_00/self_attention"
    value = (unknown,) if argument == "addresses" else {unknown: np.ones(3, "float32")}
    with pytest.raises(
        ValueError, match=f"image_encoder/block_00/self_attention.*text_.*Received: {argument} .*text_tower"
    ):
        call(model, attention_controls=AttentionControls(**{argument: value}))


def test_other_image_sizes(model):
    images = RNG.uniform(-1, 1, size=(3, 40, 16, 3)).astype("float32")
    assert model.token_layout_for((40, 16)).grid == (5, 2)
    assert first(call(model, images)).shape == first(call(model)).shape


@pytest.mark.parametrize(("name", "xla"), [*((name, False) for name in MADE), ("captioner", True)])
def test_compiled_equals_eager(name, xla):
    model = MADE[name]()
    function = compiled(lambda images, ids: call(model, images, ids, return_attention_scores=True), xla=xla)
    keras.tree.map_structure(
        lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-3, atol=1e-4),
        to_numpy(function(IMAGES, IDS)),
        to_numpy(call(model, return_attention_scores=True)),
    )


@pytest.mark.parametrize("name", MADE)
def test_mixed_precision_keeps_outputs_in_float32(name):
    exact, mixed = MADE[name](), MADE[name](dtype="mixed_bfloat16")
    outputs = call(mixed, return_attention_scores=True)
    for tensor in keras.tree.flatten(outputs):
        assert keras.backend.standardize_dtype(tensor.dtype) == "float32"
    expected = first(call(exact))
    np.testing.assert_allclose(first(call(mixed)), expected, rtol=0, atol=0.1 * np.abs(expected).max())
    assert {keras.backend.standardize_dtype(v.dtype) for v in mixed.trainable_variables} == {"float32"}


def test_config_round_trip(model):
    stored = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    copy = keras.saving.deserialize_keras_object(stored)
    assert copy.get_config() == model.get_config()
    assert [v.path for v in copy.variables] == [v.path for v in model.variables]
    copy.set_weights(model.get_weights())
    expected = first(evaluated(lambda images: call(model, images), IMAGES))
    np.testing.assert_array_equal(first(evaluated(lambda images: call(copy, images), IMAGES)), expected)


def test_variables_exist_at_once_under_distinct_paths(model):
    paths = [variable.path for variable in model.variables]
    assert len(set(paths)) == len(paths)
    assert {path.split("/")[0] for path in paths} <= {*model.TOWERS, model.name}
    call(model)
    assert [variable.path for variable in model.variables] == paths


@pytest.mark.parametrize("name", ["dual_map", "captioner"])
def test_inference_moves_no_random_state(name):
    model = MADE[name](dropout_rate=0.1, attention_dropout_rate=0.1, drop_path_rate=0.2)
    before = [to_numpy(v.value) for v in model.non_trainable_variables]
    still = first(call(model, training=False))
    for old, variable in zip(before, model.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, to_numpy(variable.value))
    assert np.abs(first(call(model, training=True)) - still).max() > 1e-4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: dual_encoder({"num_classes": 3}),
            "expected an image encoder without classification head, num_classes=None. Received: num_classes=3",
        ),
        (lambda: dual_encoder(text={"name": "title"}), "named 'text_encoder'.*Received: name='title'"),
        (
            lambda: dual_encoder(text={"pooling": None}),
            "with a pooling and without cross-attention. Received: pooling=None",
        ),
        (lambda: dual_encoder(text={"cross_attention": True}), "Received: pooling='map', cross_attention=True"),
        (lambda: dual_encoder(projection_dim=0), "projection_dim=0"),
        (lambda: dual_encoder(logit_scale_init=0), "expected a number greater than 0. Received: logit_scale_init=0"),
        (
            lambda: dual_encoder(logit_scale_init=101),
            "expected a number less than or equal to 100. Received: logit_scale_init=101",
        ),
        (lambda: captioner({"pooling": "map"}), "pooling='gap' or 'cls'.*Received: pooling='map'"),
        (lambda: captioner(text={"context_dim": 21}), "text_decoder.context_dim .* 15. Received: context_dim=21"),
        (lambda: captioner(text={"causal": False, "name": "text_decoder"}), "Received: causal=False, pooling=None"),
        (lambda: captioner(text={"pooling": "gap"}), "Received: causal=True, pooling='gap'"),
        (
            lambda: CaptioningModel(image_encoder=image_encoder(), text_decoder=text_tower(name="text_decoder")),
            "expected cross_attention=True of the text_decoder",
        ),
        (lambda: question_answering(text={"pooling": None}), "expected a text encoder with a pooling"),
        (lambda: question_answering(num_answers=0), "num_answers=0"),
        (lambda: question_answering({"pooling": "map"}), "Received: pooling='map'"),
    ],
)
def test_towers_that_do_not_fit(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_classes_are_usable_without_any_configuration():
    for model in (
        DualEncoder(image_encoder=image_encoder(), text_encoder=text_tower(), projection_dim=5),
        CaptioningModel(image_encoder=image_encoder(), text_decoder=decoder()),
        QuestionAnsweringModel(
            image_encoder=image_encoder(), text_encoder=text_tower(cross_attention=True, context_dim=15), num_answers=3
        ),
    ):
        assert np.isfinite(first(call(model))).all()


def test_several_texts_of_an_image_equal_the_image_repeated(model):
    images = np.repeat(IMAGES[:1], 3, axis=0)
    np.testing.assert_allclose(first(call(model, images=IMAGES[:1])), first(call(model, images=images)), atol=1e-5)


def test_texts_must_be_as_many_for_every_image(model):
    with pytest.raises(ValueError, match="as many texts for every image.*3 rows of token_ids, 2 images"):
        call(model, images=IMAGES[:2])
