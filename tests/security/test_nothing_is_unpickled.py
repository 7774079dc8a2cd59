"""The source neither unpickles nor runs text as code: no call of it is there that would."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [*sorted((ROOT / "vitcross").rglob("*.py")), ROOT / "train.py", ROOT / "evaluate.py"]
# They unpickle what they read; multiprocessing's pipes and queues, too.
MODULES = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "code"}
MODULES |= {"multiprocessing", "h5py", "runpy", "xmlrpc"}
BUILTINS = {"eval", "exec", "compile", "__import__", "input", "breakpoint"}
# The end of a dotted name. `load_model` of Keras runs the code of a Lambda layer; `saved_model.load` that of a graph.
CALLS = {"os.system", "os.popen", "load_model", "saved_model.load", "torch.load", "read_pickle", "load_pickle"}
CALLS |= {"yaml.load", "yaml.unsafe_load", "yaml.full_load", "enable_unsafe_deserialization"}
NUMPY_READERS = {"load", "read_array"}


def dotted(node):
    """`np.lib.format.read_array` of an attribute or a name, else nothing."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def is_known(name, known):
    return any(name == end or name.endswith(f".{end}") for end in known)


def keyword(call, name):
    return next((word.value for word in call.keywords if word.arg == name), None)


def is_constant(node, value):
    return isinstance(node, ast.Constant) and node.value is value


def problems(tree):
    """What of a module would unpickle or run text, as lines."""
    for node in ast.walk(tree):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        yield from (f"imports {name}" for name in modules if name.partition(".")[0] in MODULES)
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (f"imports {name}" for name in names if is_known(name, CALLS))
        if isinstance(node, ast.Call):
            yield from (f"line {node.lineno}: {what}" for what in call_problems(node))


def call_problems(call):
    name = dotted(call.func)
    if isinstance(call.func, ast.Name) and name in BUILTINS:
        yield name
    if is_known(name, CALLS):
        yield name
    if name.endswith("import_module") and not ast.unparse(call.args[0]).startswith(("f'vitcross.", "'vitcross.")):
        yield f"{name} of another package"
    reads = name.split(".")[0] in ("np", "numpy") and name.split(".")[-1] in NUMPY_READERS
    if reads and not is_constant(keyword(call, "allow_pickle"), False):
        yield f"{name} without allow_pickle=False"
    if keyword(call, "shell") is not None and not is_constant(keyword(call, "shell"), False):
        yield f"{name} with a shell"
    if keyword(call, "trust_remote_code") is not None or is_constant(keyword(call, "safe_mode"), False):
        yield f"{name} trusts what it reads"
    if is_constant(keyword(call, "allow_pickle"), True):
        yield f"{name} with allow_pickle=True"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_source_unpickles_nothing(path):
    assert list(problems(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from dill import loads",
        "from torch import load",
        "import multiprocessing.pool",
        "eval('1')",
        "compile(text, '', 'exec')",
        "np.load(path)",
        "numpy.load(path, allow_pickle=flag)",
        "np.lib.format.read_array(file)",
        "x(allow_pickle=True)",
        "keras.models.load_model(path)",
        "keras.saving.load_model(path)",
        "tf.saved_model.load(path)",
        "yaml.load(text, Loader=yaml.Loader)",
        "os.system('ls')",
        "subprocess.run('ls', shell=True)",
        "subprocess.run('ls', shell=flag)",
        "f(safe_mode=False)",
        "importlib.import_module(name)",
    ],
)
def test_the_rule_finds_what_it_is_for(code):
    assert list(problems(ast.parse(code)))


@pytest.mark.parametrize(
    "code", ["np.load(path, allow_pickle=False)", "model.compile()", "re.compile('x')", "json.load(f)"]
)
def test_the_rule_lets_the_rest_be(code):
    assert not list(problems(ast.parse(code)))
