"""Rules of the architecture: which room may import which, and who may import what from outside."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "vitcross").rglob("*.py")) + [ROOT / "train.py", ROOT / "evaluate.py"]
# From the ground up: a room imports rooms of lower levels only, never one beside it.
LEVELS = [
    {"metric_keys", "pages", "png", "terminal", "atomic_files", "typos", "paths", "keras_settings"}
    | {"height_and_width", "cores", "derangement"},
    {"options"},
    {"layers"},
    {"data"},
    {"models"},
    {"weights"},
    {"config"},
    {"tasks"},
    {"attention_maps"},
    {"training"},
    {"sinks"},
    {"experiment"},
    {"evaluation"},
    {"command_line"},
    {"sweep", "dashboard"},
]
# Inside `attention_maps` likewise; `callback` and `schedule` stand above all of them.
MAP_LEVELS = [{"records"}, {"methods"}, {"capture"}, {"trust"}, {"sheets"}, {"viewer"}, {"callback", "schedule"}]


def imports(path):
    """The modules that a file imports, and `package.name` for each name that it imports from one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def level_of(levels, room):
    return next((number for number, rooms in enumerate(levels) if room in rooms), None)


def name(path):
    return str(path.relative_to(ROOT))


def room_of(path, depth):
    """The part of a file's path that names its room, or None where the file stands above all rooms (`__init__.py`)."""
    part = path.relative_to(ROOT / "vitcross").parts[depth].removesuffix(".py")
    return None if part == "__init__" else part


def check_levels(path, levels, package, depth):
    own = room_of(path, depth)
    if own is None:
        return
    assert level_of(levels, own) is not None, f"{own} is a room that no level names"
    for module in imports(path):
        room = module.removeprefix(package + ".").split(".")[0] if module.startswith(package + ".") else None
        level = level_of(levels, room)
        if level is not None and room != own:
            assert level < level_of(levels, own), f"{name(path)} imports {module}, which is not below it"


@pytest.mark.parametrize("path", [p for p in FILES if ROOT / "vitcross" in p.parents], ids=name)
def test_imports_point_downwards(path):
    check_levels(path, LEVELS, "vitcross", 0)
    if ROOT / "vitcross" / "attention_maps" in path.parents:
        check_levels(path, MAP_LEVELS, "vitcross.attention_maps", 1)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_only_the_boundary_knows_hydra_and_only_one_sink_knows_wandb(path):
    roots = {module.split(".")[0] for module in imports(path)}
    if name(path) != "vitcross/config/compose.py":
        assert not roots & {"hydra", "omegaconf"}
    if ROOT / "vitcross" / "sinks" / "weights_and_biases" not in path.parents:
        assert "wandb" not in roots
    if name(path) != "vitcross/dashboard.py":
        assert "wandb_workspaces" not in roots
    if name(path) != "vitcross/sweep/optuna_proposals.py":
        assert "optuna" not in roots


# Who shows and measures a model asks it what it is (`vitcross.models.explainable`), and knows none by name.
MODELS = {"VisionTransformer", "DualEncoder", "CaptioningModel", "QuestionAnsweringModel", "TextTransformer"}
ATTRIBUTES = {"image_encoder", "text_encoder", "text_decoder", "TOWERS", "num_classes", "num_answers", "projection_dim"}


@pytest.mark.parametrize(
    "path", [path for path in FILES if {"attention_maps", "sinks"} & set(path.relative_to(ROOT).parts[1:2])], ids=name
)
def test_who_shows_and_measures_models_names_none_and_asks_for_none(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = {getattr(node, "id", None), getattr(node, "attr", None), getattr(node, "name", None)}
        assert not names & MODELS, f"{name(path)} names a model class"
        assert not isinstance(node, ast.Attribute) or node.attr not in ATTRIBUTES, f"{name(path)} reads .{node.attr}"
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) in ("hasattr", "getattr", "isinstance"):
            asked, what = (ast.unparse(argument) for argument in node.args[:2])
            # What Keras itself has on one backend only is no property of the model.
            is_model = asked.split(".")[-1] in ("model", "network") and what != "'jax_state_sync'"
            assert not is_model, f"{name(path)} asks what {asked} is"


@pytest.mark.parametrize("path", [p for p in FILES if ROOT / "vitcross" / "sinks" in p.parents], ids=name)
def test_sinks_only_write_what_is_finished(path):
    media = "vitcross.attention_maps.sheets.media"
    assert all(module.startswith(media) for module in imports(path) if module.startswith("vitcross.attention_maps"))


def test_sources_do_not_know_the_scenes():
    sources = [path for path in FILES if ROOT / "vitcross" / "data" / "sources" in path.parents]
    assert sources and not [n for p in sources for n in imports(p) if n.startswith("vitcross.data.scenes")]


def test_no_room_is_called_utils():
    assert not [name(path) for path in FILES if "util" in path.stem]


def test_what_answers_a_wrong_command_imports_no_tensorflow():
    loaded = "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    code = f"import sys, vitcross.config.compose, vitcross.experiment.build, vitcross.command_line.train; {loaded}"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
