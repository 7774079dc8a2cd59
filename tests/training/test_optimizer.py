import keras
import numpy as np
import pytest

from tests.training.tiny import tiny_task
from vitcross.models import VisionTransformer
from vitcross.training.optimizer import adamw, lion, muon, schedule_free_adamw
from vitcross.training.parameter_groups import block_matrices


def test_one_step_equals_adamw_in_numpy_with_decay_on_the_kernel_only():
    task = tiny_task()
    kernel, bias = task.network.weights
    before = kernel.numpy(), bias.numpy() + 0.5
    bias.assign(before[1])
    optimizer = adamw(model=task.network, total_steps=10, learning_rate=0.01, warmup_steps=0, weight_decay=0.1)
    random = np.random.default_rng(1)
    # Far above epsilon, which Keras applies before the bias correction.
    gradients = [random.choice([-0.02, 0.01], size=v.shape).astype("f") for v in (kernel, bias)]
    optimizer.apply([keras.ops.array(g) for g in gradients], [kernel, bias])
    for variable, start, gradient, decay in zip((kernel, bias), before, gradients, (0.1, 0.0), strict=True):
        expected = start * (1 - 0.01 * decay) - 0.01 * np.sign(gradient)
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_muon_updates_block_matrices_orthogonally_and_others_by_adamw():
    network = VisionTransformer(num_classes=3, image_size=8, patch_size=4, embed_dim=8, depth=1, num_heads=2)
    matrices = {v.path for v in block_matrices(network)}
    assert {path.split("/block_00/")[1] for path in matrices} == {
        "self_attention/query_key_value/kernel",
        "self_attention/output/kernel",
        "mlp/expand/kernel",
        "mlp/contract/kernel",
    }
    optimizer = muon(model=network, total_steps=10, learning_rate=0.01, warmup_steps=0, weight_decay=0.0)
    random = np.random.default_rng(1)
    before = {v.path: v.numpy() for v in network.trainable_variables}
    gradients = [random.choice([-0.02, 0.01], size=v.shape).astype("f") for v in network.trainable_variables]
    optimizer.apply([keras.ops.array(g) for g in gradients], network.trainable_variables)
    for variable, gradient in zip(network.trainable_variables, gradients, strict=True):
        moved = variable.numpy() - before[variable.path]
        if variable.path not in matrices:
            np.testing.assert_allclose(moved, -0.01 * np.sign(gradient), rtol=1e-3, atol=1e-6)
            continue
        # The nearest orthogonal matrix, which five Newton-Schulz steps approach within a third.
        left, _, right = np.linalg.svd(gradient, full_matrices=False)
        expected = -0.01 * 0.2 * np.sqrt(max(gradient.shape)) * (left @ right)
        assert np.sum(moved * expected) / np.linalg.norm(moved) / np.linalg.norm(expected) > 0.95
        scale = np.linalg.svd(moved, compute_uv=False) / np.linalg.svd(expected, compute_uv=False)
        assert np.all((scale > 0.3) & (scale < 1.4))


def test_lion_updates_by_the_sign_of_its_mean():
    task = tiny_task()
    kernel = task.network.weights[0]
    optimizer = lion(
        model=task.network,
        total_steps=10,
        learning_rate=0.01,
        warmup_steps=0,
        schedule="constant",
        weight_decay=0.5,
        beta_1=0.9,
        beta_2=0.99,
        max_gradient_norm=None,
    )
    expected, mean, random = kernel.numpy().astype("d"), 0.0, np.random.default_rng(1)
    for _ in range(5):
        gradients = [random.normal(size=v.shape).astype("f") for v in task.network.weights]
        optimizer.apply([keras.ops.array(g) for g in gradients])
        step = np.sign(0.9 * mean + 0.1 * gradients[0])
        mean = 0.99 * mean + 0.01 * gradients[0]
        expected = expected * (1 - 0.01 * 0.5) - 0.01 * step
    np.testing.assert_allclose(kernel.numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [adamw, lion, muon, schedule_free_adamw])
def test_layers_have_their_learning_rate_and_frozen_ones_do_not_change(make):
    """Step and weight decay of a layer are those of the optimizer at the layer's own learning rate."""

    def moved(learning_rate, **options):
        keras.utils.set_random_seed(3)
        network = VisionTransformer(num_classes=3, image_size=8, patch_size=4, embed_dim=8, depth=2, num_heads=2)
        optimizer = make(
            model=network, total_steps=10, learning_rate=learning_rate, warmup_steps=0, weight_decay=0.3, **options
        )
        before = {v.path: v.numpy() for v in network.weights}
        random = np.random.default_rng(1)
        gradients = {v.path: random.normal(size=v.shape).astype("f") for v in network.weights}
        optimizer.apply([keras.ops.array(gradients[v.path]) for v in network.trainable_variables])
        return {v.path.partition("/")[2]: v.numpy() - before[v.path] for v in network.weights}

    by_layer = moved(0.08, layer_decay=0.5, frozen=["*/block_01/mlp/*"], max_gradient_norm=None)
    for end, layer_rate in (
        ("embedding/", 0.01),
        ("encoder/block_00/", 0.02),
        ("encoder/block_01/", 0.04),
        ("head/", 0.08),
    ):
        alone = moved(layer_rate, max_gradient_norm=None)
        for path in (p for p in by_layer if p.startswith(end)):
            if "block_01/mlp/" in path:
                assert not by_layer[path].any()
            else:
                assert np.abs(alone[path]).max() > 0
                np.testing.assert_allclose(by_layer[path], alone[path], rtol=1e-4, atol=1e-7, err_msg=path)
