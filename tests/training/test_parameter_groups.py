import keras
import numpy as np
import pytest

from tests.tasks import image_text
from vitcross.models import DualEncoder, TextTransformer, VisionTransformer
from vitcross.training.parameter_groups import (
    block_matrices,
    freeze,
    learning_rate_scales,
    parameter_groups,
    parameter_table,
)


def vision(**changes):
    sizes = {"num_classes": 3, "image_size": (8, 16), "patch_size": 8, "embed_dim": 8, "depth": 3, "num_heads": 2}
    return VisionTransformer(**{**sizes, "stem": "conv", "class_token": True, **changes})


def ends(paths):
    return {path.partition("/")[2] for path in paths}


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
def test_every_parameter_is_covered_by_exactly_one_group(layer_decay):
    network = vision()
    freeze(network, ["*/block_01/mlp/*"])
    groups = parameter_groups(network, layer_decay)
    paths = [v.path for group in groups for v in group.variables]
    assert sorted(paths) == sorted(v.path for v in network.weights)
    assert sum(group.count for group in groups) == network.count_params()
    for group in groups[:-1]:
        assert group.decayed == all(v.name == "kernel" for v in group.variables)
    assert groups[-1].learning_rate_scale == 0.0 and not groups[-1].decayed
    assert len(parameter_table(groups).splitlines()) == len(groups) + 2


def test_learning_rate_scales_of_layers():
    network = vision()
    scales = learning_rate_scales(network, 0.5)
    by_end = {path.partition("/")[2]: scale for path, scale in scales.items()}
    assert by_end["embedding/patch_embedding/conv_0/kernel"] == by_end["embedding/class_token/embeddings"] == 0.5**4
    assert by_end["encoder/block_00/mlp/expand/kernel"] == 0.5**3
    assert by_end["encoder/block_02/attention_norm/gamma"] == 0.5
    assert by_end["norm/gamma"] == by_end["head/kernel"] == 1.0


def test_each_encoder_counts_its_own_blocks():
    text = TextTransformer(vocabulary_size=11, max_length=5, embed_dim=8, depth=1, num_heads=2)
    network = DualEncoder(image_encoder=vision(num_classes=None), text_encoder=text, projection_dim=7)
    by_end = {p.split("_encoder/")[-1]: s for p, s in learning_rate_scales(network, 0.5).items()}
    towers = {p: s for p, s in learning_rate_scales(network, 0.5).items() if "/block_00/mlp/expand/k" in p}
    assert sorted(towers.values()) == [0.5**3, 0.5]
    assert by_end["norm/gamma"] == 1.0


@pytest.mark.parametrize("bad", [0.0, 1.1, -0.5])
def test_layer_decay_is_a_share(bad):
    with pytest.raises(ValueError, match="layer_decay must be in .*Received"):
        learning_rate_scales(vision(), bad)


def test_freezing_by_pattern():
    network = vision()
    freeze(network, ["*/embedding/*", "*/block_0[01]/*"])
    assert ends(v.path for v in network.trainable_variables) == {
        path
        for path in ends(v.path for v in vision().trainable_variables)
        if not path.startswith(("embedding/", "encoder/block_00", "encoder/block_01"))
    }
    assert not any("block_00" in v.path for v in block_matrices(network))


def test_a_frozen_batch_normalization_keeps_its_statistics():
    images = np.random.default_rng(0).normal(size=(5, 8, 16, 3)).astype("f")
    for patterns, moves in ((["*/patch_embedding/*"], False), (["*/patch_embedding/conv_*"], True)):
        network = vision()
        freeze(network, patterns)
        statistics = [v for v in network.weights if v.name == "moving_mean"]
        before = [v.numpy() for v in statistics]
        network(images, training=True)
        assert any(np.any(b != v.numpy()) for b, v in zip(before, statistics, strict=True)) == moves


def test_patterns_that_freeze_nothing_or_all_are_refused():
    with pytest.raises(ValueError, match="frozen must hold patterns that match.*embedding.*Received: 'embeding/"):
        freeze(vision(), ["embeding/*"])
    with pytest.raises(ValueError, match="must leave something to train"):
        freeze(vision(), ["*"])


def test_nothing_is_frozen_without_patterns():
    network = keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(7), keras.layers.BatchNormalization()])
    freeze(network, [])
    assert len(network.trainable_variables) == 4


def test_frozen_blocks_count_and_tied_token_vectors_are_the_head():
    network = vision()
    freeze(network, ["*/block_01/*", "*/block_02/*"])
    scales = {path.partition("/")[2]: scale for path, scale in learning_rate_scales(network, 0.5).items()}
    assert scales["embedding/class_token/embeddings"] == 0.5**4
    captioner = image_text.captioner()
    scales = learning_rate_scales(captioner, 0.5)
    tied = next(path for path in scales if path.endswith("text_decoder/embedding/embeddings"))
    assert captioner.tie_embeddings and scales[tied] == 1.0


def test_the_table_names_layers_and_their_encoders():
    names = [group.name for group in parameter_groups(image_text.dual_encoder(), 0.5)]
    assert "kernels of image_encoder/block_00, text_encoder/block_00" in names
    assert "kernels of norm, pooling, head" in names
    assert "kernels of block_02" in [group.name for group in parameter_groups(vision(), 0.5)]
