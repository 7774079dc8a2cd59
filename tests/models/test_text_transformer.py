"""The text tower against NumPy; what padding and causality promise; modes of execution, configuration, errors."""

import json

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backend import compiled, evaluated, parameters, randomize, to_numpy
from tests.models.image_text import EOS, HEADS, IDS, REAL, RNG, T, V, decoder, text_tower
from tests.models.text_reference import text_transformer
from vitcross.layers import AttentionControls

CONTEXT = RNG.normal(size=(3, 5, 15)).astype("float32")
KEPT = np.array([[1, 0, 1, 1, 0], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0]], bool)
OPTIONS = {
    "eos_causal": {"causal": True},
    "eos": {"layer_scale_init": 0.5},
    "gap": {"pooling": "gap", "gelu": "tanh"},
    "map": {"pooling": "map", "qk_norm": True},
    "tokens": {"pooling": None, "qkv_bias": False},
    "decoder": {"causal": True, "pooling": None, "cross_attention": True, "context_dim": 15},
    "reader": {"pooling": "gap", "cross_attention": True, "context_dim": 15},
}
POOLED = ["eos_causal", "eos", "gap", "map", "reader"]


@pytest.fixture(scope="module", params=OPTIONS, ids=str)
def model(request):
    return randomize(text_tower(**OPTIONS[request.param]))


def arguments(model):
    return {"context": CONTEXT, "context_mask": KEPT} if model.cross_attention else {}


def features(model, ids=IDS, real=REAL):
    return evaluated(lambda i, r: model(i, padding_mask=r, **arguments(model)), ids, real)


def test_equals_the_reference(model):
    output, weights = evaluated(
        lambda ids: model(ids, padding_mask=REAL, return_attention_scores=True, **arguments(model)), IDS
    )
    expected, expected_weights = text_transformer(
        IDS,
        parameters(model),
        depth=2,
        num_heads=HEADS,
        name=model.name,
        causal=model.causal,
        pooling=model.pooling,
        real=REAL,
        context=arguments(model).get("context"),
        kept=arguments(model).get("context_mask"),
        form=model.gelu,
    )
    np.testing.assert_allclose(output, expected, rtol=1e-3, atol=1e-3)
    # Compilers give dicts back sorted by key.
    assert sorted(weights) == sorted(expected_weights)
    assert list(expected_weights) == list(model.attention_addresses)
    for address, value in weights.items():
        np.testing.assert_allclose(value, expected_weights[address], rtol=1e-3, atol=1e-4)


def test_padding_keys_and_masked_context_get_exactly_nothing(model):
    _, weights = model(IDS, padding_mask=REAL, return_attention_scores=True, **arguments(model))
    for address, value in weights.items():
        mask = KEPT if address.endswith("cross_attention") and "pooling" not in address else REAL
        assert not (to_numpy(value) * ~mask[:, None, None, :]).any(), address


def test_a_padded_text_has_the_features_of_the_unpadded_one(model):
    padded = features(model)
    for row, (ids, real) in enumerate(zip(IDS, REAL, strict=True)):
        length = real.sum()
        given = {name: value[row : row + 1] for name, value in arguments(model).items()}
        alone = to_numpy(model(ids[None, :length], **given))
        expected = padded[row : row + 1] if model.pooling else padded[row : row + 1, :length]
        np.testing.assert_allclose(alone, expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 99))
def test_what_stands_behind_the_end_does_not_matter(model, seed):
    other = np.where(REAL, IDS, np.random.default_rng(seed).integers(V, size=IDS.shape)).astype("int32")
    expected, actual = features(model), features(model, other)
    if model.pooling is None:
        expected, actual = expected[REAL], actual[REAL]
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("name", ["eos_causal", "decoder"])
def test_a_later_token_changes_nothing_before_it(name):
    model = randomize(text_tower(**OPTIONS[name]))

    def tokens(ids):
        return to_numpy(model.encode(ids, **arguments(model)))

    before = tokens(IDS)
    for t in range(T):
        changed = IDS.copy()
        changed[:, t] = (changed[:, t] + 1) % V
        after = tokens(changed)
        np.testing.assert_array_equal(after[:, :t], before[:, :t])
        assert np.abs(after[:, t:] - before[:, t:]).max(-1).min() > 0


def test_every_token_changes_a_bidirectional_text():
    model = randomize(text_tower(pooling=None))
    before = to_numpy(model(IDS))
    changed = IDS.copy()
    changed[:, -1] = (changed[:, -1] + 1) % V
    assert np.abs(to_numpy(model(changed)) - before).max(-1).min() > 0


def test_eos_reads_the_last_real_token():
    model = randomize(text_tower(causal=True))
    tokens = to_numpy(model.encode(IDS, REAL))
    assert [IDS[row, real.sum() - 1] for row, real in enumerate(REAL)] == [EOS] * 3
    np.testing.assert_allclose(features(model), tokens[range(3), REAL.sum(1) - 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", POOLED)
def test_a_text_of_nothing_but_padding_is_finite(name):
    model = randomize(text_tower(**OPTIONS[name]))
    assert np.isfinite(features(model, real=np.zeros_like(REAL))).all()


def test_asking_for_weights_changes_no_bit(model):
    output, weights = model(IDS, padding_mask=REAL, return_attention_scores=True, **arguments(model))
    np.testing.assert_array_equal(to_numpy(output), to_numpy(model(IDS, padding_mask=REAL, **arguments(model))))
    assert tuple(weights) == model.attention_addresses


# Every layer is compiled with XLA in `tests/layers`: here two whole towers, which have all kinds of them.
@pytest.mark.parametrize(
    ("model", "xla"), [*((n, False) for n in OPTIONS), ("map", True), ("decoder", True)], indirect=["model"]
)
def test_compiled_equals_eager(model, xla):
    function = compiled(lambda ids, real: model(ids, padding_mask=real, **arguments(model)), xla=xla)
    expected = to_numpy(model(IDS, padding_mask=REAL, **arguments(model)))
    np.testing.assert_allclose(to_numpy(function(IDS, REAL)), expected, rtol=1e-3, atol=1e-4)


def test_mixed_precision(model):
    mixed = randomize(text_tower(**{key: getattr(model, key) for key in OPTIONS["map"]}, dtype="mixed_bfloat16"))
    output, weights = mixed(IDS, padding_mask=REAL, return_attention_scores=True)
    assert keras.backend.standardize_dtype(output.dtype) == "bfloat16"
    assert {keras.backend.standardize_dtype(value.dtype) for value in weights.values()} == {"float32"}
    assert {keras.backend.standardize_dtype(v.dtype) for v in mixed.trainable_variables} == {"float32"}


def test_config_round_trip(model):
    stored = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    copy = keras.saving.deserialize_keras_object(stored)
    assert copy.get_config() == model.get_config()
    assert [v.path for v in copy.variables] == [v.path for v in model.variables]
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(features(copy), features(model))


def test_names():
    assert text_tower().name == "text_encoder"
    assert decoder().name == "text_decoder"
    model = text_tower(name="title", pooling="map")
    assert model.attention_addresses[-1] == "title/pooling/cross_attention"
    assert all(variable.path.startswith("title/") for variable in model.variables)


def test_controls_of_single_addresses(model):
    address = model.attention_addresses[-1]
    controls = AttentionControls(addresses=(address,), head_gates={address: np.array([0, 0, 0.0])})
    options = {"padding_mask": REAL, "attention_controls": controls, **arguments(model)}
    output, weights = model(IDS, return_attention_scores=True, **options)
    assert list(weights) == [address]
    assert np.abs(to_numpy(output) - features(model)).max() > 1e-3
    with pytest.raises(ValueError, match="Received: addresses .*image_encoder"):
        model(IDS, attention_controls=AttentionControls(addresses=("image_encoder/block_00/self_attention",)))
    with pytest.raises(ValueError, match=r"expected no kept_patches: .* Received: kept_patches of shape \(3, 5\)"):
        model(IDS, attention_controls=AttentionControls(kept_patches=KEPT))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "cls"}, "Received: pooling='cls'"),
        ({"num_heads": 5}, "num_heads=5, embed_dim=21"),
        ({"vocabulary_size": 0}, "vocabulary_size=0"),
        ({"max_length": 0}, "max_length=0"),
        ({"depth": -1}, "depth=-1"),
        ({"context_dim": 5}, "expected no context_dim with cross_attention=False"),
    ],
)
def test_errors_of_options(options, message):
    with pytest.raises(ValueError, match=message):
        text_tower(**options)


def test_errors_of_calls():
    with pytest.raises(ValueError, match="expected no context with cross_attention=False"):
        text_tower()(IDS, context=CONTEXT)
    with pytest.raises(ValueError, match="expected a context with cross_attention=True"):
        decoder()(IDS)
    with pytest.raises(ValueError, match="T <= max_length=7. Received: shape"):
        text_tower()(np.ones((2, 8), "int32"))
