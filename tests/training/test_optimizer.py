import keras
import numpy as np
import pytest

from tests.training.tiny import tiny_task
from vitcross.models import VisionTransformer
from vitcross.training.optimizer import adamw, muon
from vitcross.training.parameter_groups import block_matrices, parameter_groups
from vitcross.training.schedules import learning_rate_schedule


def test_schedule_equals_its_formula():
    schedule = learning_rate_schedule(learning_rate=0.3, warmup_steps=7, total_steps=101, final_share=0.1)
    for step in (0, 3, 7, 50, 101):
        decayed = 0.3 * (0.1 + 0.9 * (1 + np.cos(np.pi * (step - 7) / 94)) / 2)
        expected = 0.3 * step / 7 if step <= 7 else decayed
        assert float(schedule(step)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("bad", [{"learning_rate": 0}, {"warmup_steps": 11}, {"warmup_steps": -1}])
def test_schedule_refuses(bad):
    with pytest.raises(ValueError, match="Received"):
        learning_rate_schedule(**{"learning_rate": 0.1, "warmup_steps": 0, "total_steps": 11, **bad})


def test_every_parameter_is_covered_by_exactly_one_group():
    network = keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(7), keras.layers.BatchNormalization()])
    network.layers[0].trainable = True
    groups = parameter_groups(network)
    paths = [v.path for group in groups for v in group.variables]
    assert sorted(paths) == sorted(v.path for v in network.weights)
    assert sum(group.count for group in groups) == network.count_params()
    assert [v.name for v in groups[0].variables] == ["kernel"]
    assert groups[0].decayed and not groups[1].decayed


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


def test_muon_moves_block_matrices_by_orthogonal_steps_and_all_else_by_adamw():
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
