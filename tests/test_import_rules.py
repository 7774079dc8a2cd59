"""Rules of the architecture: which room may import which, and who may import what from outside."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "vitcross").rglob("*.py")) + [ROOT / "train.py", ROOT / "evaluate.py"]
# The way of the data: a room may import those before it.
ROOMS = ["data", "layers", "models", "tasks", "evaluation", "attention_maps", "training", "sinks"]
# data and layers stand side by side.
STRANGERS = {("layers", "data")}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module


def room(path):
    relative = path.relative_to(ROOT / "vitcross")
    return relative.parts[0].removesuffix(".py")


def name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [p for p in FILES if ROOT / "vitcross" in p.parents], ids=name)
def test_imports_point_backwards(path):
    own = room(path)
    if own not in ROOMS:
        return  # experiment.py, which puts the rooms together, and what stands beside it
    for module in imports(path):
        parts = module.split(".")
        if parts[0] == "vitcross" and len(parts) > 1 and parts[1] in ROOMS:
            assert ROOMS.index(parts[1]) <= ROOMS.index(own), f"{name(path)} imports {module}, which comes after it"
            assert (own, parts[1]) not in STRANGERS, f"{name(path)} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_only_the_boundary_knows_hydra_and_only_one_sink_knows_wandb(path):
    roots = {module.split(".")[0] for module in imports(path)}
    if name(path) not in ("train.py", "evaluate.py", "vitcross/config.py"):
        assert not roots & {"hydra", "omegaconf"}
    if name(path) != "vitcross/sinks/weights_and_biases.py":
        assert "wandb" not in roots
    if name(path) != "vitcross/dashboard.py":
        assert "wandb_workspaces" not in roots
    if name(path) != "vitcross/sweep/optuna_proposals.py":
        assert "optuna" not in roots


def test_no_room_is_called_utils():
    assert not [name(path) for path in FILES if "util" in path.stem]


def test_what_answers_a_wrong_command_imports_no_tensorflow():
    loaded = "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    code = f"import sys, vitcross.config, vitcross.experiment, vitcross.command_line; {loaded}"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
