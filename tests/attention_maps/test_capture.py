"""Capturing from a model: inference mode, float32, depth order, and nothing of the model changes."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from vitcross.attention_maps import Capture, capture, read_map, relevance
from vitcross.data.batch import normalize
from vitcross.models import VisionTransformer

B, K = 3, 5


def tiny_model(**changes):
    keras.utils.set_random_seed(11)
    fields = {
        "image_size": (12, 20),
        "patch_size": 4,
        "num_classes": K,
        "embed_dim": 14,
        "depth": 2,
        "num_heads": 2,
        "num_register_tokens": 1,
        "dropout_rate": 0.3,
        "attention_dropout_rate": 0.3,
        "drop_path_rate": 0.3,
    }
    return VisionTransformer(**{**fields, **changes})


def batch(size=B, shape=(12, 20, 3), seed=0):
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (size, *shape), dtype=np.uint8)
    return {
        "images": normalize(pixels),
        "labels": np.arange(size, dtype=np.int32) % K,
        "valid": np.ones(size, bool),
        "index": np.arange(size) + 100,
    }, pixels


@pytest.mark.parametrize("pooling", ["cls", "gap", "map"])
def test_a_record_holds_what_the_model_computes(pooling):
    model = tiny_model(pooling=pooling)
    examples, pixels = batch()
    record = capture(model, examples, step=3, class_names=("a", "b", "c", "d", "e"))
    logits, weights = model(examples["images"], training=False, return_attention_scores=True)
    assert list(record.weights) == list(weights)
    for address, expected in weights.items():
        np.testing.assert_allclose(record.weights[address], keras.ops.convert_to_numpy(expected), atol=1e-6)
        np.testing.assert_allclose(record.weights[address].sum(-1), 1.0, atol=1e-5)
        assert record.weights[address].dtype == np.float32
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    np.testing.assert_allclose(record.probabilities, expected, atol=1e-6)
    tokens = keras.ops.convert_to_numpy(model.encode(examples["images"], training=False))
    np.testing.assert_allclose(record.token_norms, np.linalg.norm(tokens, axis=-1), rtol=1e-5)
    # Trap 2: the pixels are those that the model saw.
    np.testing.assert_array_equal(record.images, pixels)
    assert record.patch_size == (4, 4) and record.pooling == pooling and record.step == 3
    assert record.token_layout.grid == (3, 5)
    assert record.token_layout.num_prefix_tokens == 1 + (pooling == "cls")
    np.testing.assert_array_equal(record.example_index, [100, 101, 102])


def test_capture_is_repeatable_although_the_model_has_dropout():
    # Trap 10: dropout or stochastic depth left on would differ from call to call.
    captures = Capture(tiny_model())
    first, second = (captures(batch()[0]) for _ in range(2))
    for address, weights in first.weights.items():
        np.testing.assert_array_equal(weights, second.weights[address])


def test_capture_touches_no_variable_and_no_random_state():
    model = tiny_model()
    before = [np.array(v.value) for v in model.variables]
    seeds = len([v for v in model.variables if "seed" in v.path])
    keras.utils.set_random_seed(5)
    capture(model, batch()[0])
    drawn = keras.random.normal((3,)), np.random.random(), keras.random.randint((3,), 0, 1000)
    keras.utils.set_random_seed(5)
    expected = keras.random.normal((3,)), np.random.random(), keras.random.randint((3,), 0, 1000)
    for found, wanted in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))
    assert seeds > 0
    assert len(model.variables) == len(before)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(np.array(variable.value), value)


def test_a_capture_sees_weights_that_changed_after_it_was_compiled():
    model = tiny_model()
    captures = Capture(model)
    first = captures(batch()[0])
    for variable in model.trainable_variables:
        variable.assign(variable * 1.5)
    second = captures(batch()[0])
    assert not np.array_equal(first.probabilities, second.probabilities)
    np.testing.assert_array_equal(second.probabilities, capture(model, batch()[0]).probabilities)


def test_more_than_ten_blocks_stay_in_depth_order():
    # Trap 3, through the compiler: containers come back sorted by key.
    model = tiny_model(depth=11, embed_dim=6)
    record = capture(model, batch()[0])
    names = [f"image_encoder/block_{i:02d}/self_attention" for i in range(11)]
    assert list(record.weights) == names
    _, weights = model(batch()[0]["images"], training=False, return_attention_scores=True)
    for name in names:
        np.testing.assert_allclose(record.weights[name], keras.ops.convert_to_numpy(weights[name]), atol=1e-6)


def test_mixed_precision_still_gives_float32_rows():
    # Trap 8: rows of a bfloat16 softmax are off by 1e-2.
    record = capture(tiny_model(dtype="mixed_bfloat16"), batch()[0])
    for weights in record.weights.values():
        assert weights.dtype == np.float32
        np.testing.assert_allclose(weights.sum(-1), 1.0, atol=1e-5)
    assert record.token_norms.dtype == np.float32 and np.isfinite(record.probabilities).all()


def test_rows_that_are_not_valid_are_left_out_and_gray_images_stay_gray():
    examples, pixels = batch(shape=(12, 20, 1))
    examples["valid"][1] = False
    record = capture(tiny_model(in_channels=1), examples)
    np.testing.assert_array_equal(record.images, pixels[[0, 2]])
    np.testing.assert_array_equal(record.labels, [0, 2])
    assert all(len(w) == 2 for w in record.weights.values())


def test_images_alone_are_enough():
    record = capture(tiny_model(), {"images": batch()[0]["images"]})
    assert record.labels is None and record.boxes is None and list(record.example_index) == [-1] * B


def test_a_stem_that_rounds_up_and_another_size_than_trained():
    model = tiny_model(image_size=(28, 28), stem="conv", patch_size=8)
    record = capture(model, batch(shape=(28, 28, 3))[0])
    assert record.token_layout.grid == (4, 4) and record.patch_size == (8, 8)
    wide = capture(tiny_model(), batch(shape=(8, 24, 3))[0])
    assert wide.token_layout.grid == (2, 6)


def test_the_pure_functions_load_without_keras_and_tensorflow():
    code = (
        "import sys, vitcross.attention_maps as a; a.rollout, a.overlay, a.capture, a.grounding;"
        "import vitcross.attention_maps.capture.capture;"
        "import vitcross.attention_maps.trust.grounding; assert callable(a.capture);"
        "assert callable(a.grounding) and callable(a.statistics);"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'wandb')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("pooling", ["cls", "gap", "map"])
def test_a_capture_that_explains_also_holds_relevance(pooling):
    model = tiny_model(pooling=pooling)
    examples, names = batch()[0] | {"valid": np.array([True, False, True])}, ("a", "b", "c", "d", "e")
    plain, record = (Capture(model, explain)(examples, class_names=names) for explain in (False, True))
    assert plain.maps == {} and plain.targets == ()
    for field in ("probabilities", "token_norms", "images"):
        np.testing.assert_array_equal(getattr(plain, field), getattr(record, field))
    for address, weights in plain.weights.items():
        np.testing.assert_array_equal(weights, record.weights[address])
    assert list(record.maps) == ["relevance"] and record.targets == tuple(names[k] for k in record.predicted_class)
    expected = relevance(model, batch()[0])[[0, 2]]
    np.testing.assert_array_equal(read_map(record, "relevance"), expected)


def test_a_capture_explains_the_class_that_is_asked_for():
    model, names = tiny_model(), ("a", "b", "c", "d", "e")
    captures = Capture(model, explain=True)
    record = captures(batch()[0], class_names=names, target="d")
    assert record.targets == ("d",) * B
    np.testing.assert_array_equal(
        record.maps["relevance"], captures(batch()[0], target=np.full(B, 3)).maps["relevance"]
    )
    assert not np.array_equal(record.maps["relevance"], captures(batch()[0], target="0").maps["relevance"])
    with pytest.raises(ValueError, match="explain=True. Received: target='d'"):
        capture(model, batch()[0], target="d")
    with pytest.raises(ValueError, match="Received: target='f'"):
        capture(model, batch()[0], explain=True, class_names=names, target="f")
