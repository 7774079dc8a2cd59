import keras
import numpy as np
import pytest

from tests.tasks import image_text
from vitcross.models import DualEncoder, VisionTransformer
from vitcross.training.initial_weights import initialize


def vision(seed, **changes):
    keras.utils.set_random_seed(seed)
    sizes = {"num_classes": 3, "image_size": (8, 12), "patch_size": 4, "embed_dim": 8, "depth": 2, "num_heads": 2}
    network = VisionTransformer(**{**sizes, "pooling": "cls", **changes})
    for variable in network.weights:  # nothing is left at an initial 0 or 1 that all networks share
        variable.assign(variable + keras.random.normal(variable.shape, stddev=0.1, seed=seed))
    return network


def test_the_same_model_with_the_same_classes_is_the_same_function():
    source, network = vision(1), vision(2)
    images = np.random.default_rng(0).normal(size=(3, 8, 12, 3)).astype("f")
    assert not np.allclose(source(images), network(images))
    found = initialize(network, source, same_classes=True)
    np.testing.assert_array_equal(np.asarray(source(images)), np.asarray(network(images)))
    assert len(found["copied"]) == len(network.weights)
    assert not found["resampled"] + found["re-initialized"] + found["unused"]


def test_other_classes_and_another_size_of_images():
    source, network = vision(1), vision(2, num_classes=5, image_size=(16, 20))
    head = [v.numpy() for v in network.weights if "/head/" in v.path]
    found = initialize(network, source, same_classes=False)
    assert found["re-initialized"] == ["head/kernel", "head/bias"]
    assert found["resampled"] == ["embedding/position_embedding/embeddings"]
    kept = [v.numpy() for v in network.weights if "/head/" in v.path]
    assert all(np.array_equal(before, after) for before, after in zip(head, kept, strict=True))
    # The class token keeps its position; the others are what the source itself uses on images of that size.
    own = next(v for v in network.weights if v.path.endswith("position_embedding/embeddings")).numpy()
    layer = next(layer for layer in source._flatten_layers() if layer.name == "position_embedding")
    np.testing.assert_array_equal(own[0], layer.embeddings.numpy()[0])
    np.testing.assert_allclose(own, np.asarray(layer.positions((4, 5))))
    assert own.shape == (21, 8)


def test_equally_many_other_classes_get_a_new_head():
    source, network = vision(1), vision(2)
    assert initialize(network, source, same_classes=False)["re-initialized"] == ["head/kernel", "head/bias"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"embed_dim": 16}, "patch_embedding.*there"),
        ({"depth": 3}, "block_02.*missing"),
        ({"in_channels": 1}, "patch_embedding/.*kernel"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(changes, named):
    with pytest.raises(ValueError, match=f"init_from must be a run of a model that fits.*{named}"):
        initialize(vision(2, **changes), vision(1), same_classes=True)


def test_image_encoders_are_shared_with_image_text_models():
    both = image_text.dual_encoder()
    tower = both.image_encoder
    for variable in tower.weights:
        variable.assign(variable + 0.01)
    classifier = VisionTransformer(
        num_classes=7, image_size=image_text.IMAGE_SIZE, patch_size=8, embed_dim=16, depth=1, num_heads=2, pooling="gap"
    )
    found = initialize(classifier, both, same_classes=False)
    assert found["re-initialized"] == ["head/kernel", "head/bias"]
    assert len(found["copied"]) == len(classifier.weights) - 2
    other = image_text.captioner()
    found = initialize(other, classifier, same_classes=False)
    assert any("text_decoder" in path for path in found["re-initialized"])
    by_end = {v.path.rpartition("image_encoder/")[2]: v.numpy() for v in tower.weights}
    for variable in other.image_encoder.weights:
        np.testing.assert_array_equal(variable.numpy(), by_end[variable.path.rpartition("image_encoder/")[2]])


def test_grids_of_equally_many_patches_are_resampled_too():
    source, network = vision(1, image_size=(8, 8)), vision(2, image_size=(4, 16))
    assert initialize(network, source, same_classes=True)["resampled"] == ["embedding/position_embedding/embeddings"]


def test_image_text_models_of_other_sizes_and_types():
    def both(size, **options):
        tower = VisionTransformer(
            num_classes=None,
            image_size=size,
            patch_size=8,
            embed_dim=16,
            depth=1,
            num_heads=2,
            pooling=options.pop("pooling", "gap"),
        )
        return DualEncoder(image_encoder=tower, text_encoder=image_text.text_tower(), projection_dim=13)

    found = initialize(both((32, 48)), both((16, 24)), same_classes=True)
    assert [path.rpartition("image_encoder/")[2] for path in found["resampled"]] == [
        "embedding/position_embedding/embeddings"
    ] and not found["re-initialized"]
    # A pooling that the source lacks is re-initialized; one that the network lacks is not used.
    classifier = VisionTransformer(
        num_classes=7, image_size=(16, 24), patch_size=8, embed_dim=16, depth=1, num_heads=2, pooling="gap"
    )
    found = initialize(both((16, 24), pooling="map"), classifier, same_classes=False)
    assert any("pooling/probe" in path for path in found["re-initialized"])
    assert found["unused"] == ["head/kernel", "head/bias"]
    found = initialize(classifier, both((16, 24), pooling="map"), same_classes=False)
    assert any("pooling/probe" in path for path in found["unused"])
    assert found["re-initialized"] == ["head/kernel", "head/bias"]
    captioner = image_text.captioner()
    found = initialize(captioner, both((32, 40)), same_classes=True)
    assert all("image_encoder" not in path for path in found["re-initialized"]) and len(found["copied"]) > 10
