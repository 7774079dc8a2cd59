"""The user's own Keras settings neither break a run nor change it."""

import json
import subprocess
import sys

import pytest

from tests.test_train import run
from vitcross.keras_settings import check_keras

WRONG = [
    ('{"floatx": "float8"}', {}, 'floatx in FILE must be "float32". Received: "float8"'),
    ('{"epsilon": 1}', {}, "epsilon in FILE must be 1e-07. Received: 1"),
    ('{"image_data_format": "CHW"}', {}, 'image_data_format in FILE must be "channels_last"'),
    ('{"backend": "theano"}', {}, "backend in FILE must be one of tensorflow, jax, torch. Received: theano"),
    ('{"backend": "torch"}', {"missing": "torch"}, "backend in FILE must name a backend that is installed"),
    (
        "{}",
        {"KERAS_BACKEND": "tensorflwo"},
        "KERAS_BACKEND must be one of tensorflow, jax, torch. Received: tensorflwo",
    ),
    ("{}", {"KERAS_BACKEND": "torch", "missing": "torch"}, "KERAS_BACKEND must name a backend that is installed"),
    ("{}", {"KERAS_MAX_STEPS_PER_EPOCH": "3"}, "KERAS_MAX_STEPS_PER_EPOCH would end a run before its length"),
    ('{"floatx": ', {}, "FILE must be the JSON of Keras's settings; mend or delete it"),
    ("[1]", {}, "FILE must be a JSON object of Keras's settings"),
]


@pytest.fixture
def file(tmp_path, monkeypatch):
    for name in ("KERAS_BACKEND", "KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path / "keras.json"


@pytest.mark.parametrize(("text", "variables", "message"), WRONG, ids=lambda value: str(value))
def test_a_wrong_setting_is_refused_and_its_file_or_variable_named(text, variables, message, file, monkeypatch):
    file.write_text(text)
    missing = variables.get("missing")
    for name in variables.keys() - {"missing"}:
        monkeypatch.setenv(name, variables[name])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == missing else name)
    with pytest.raises(ValueError) as refused:
        check_keras()
    assert message.replace("FILE", str(file)) in str(refused.value)


def test_settings_that_keras_knows_are_no_error(file):
    check_keras()
    file.write_text(json.dumps({"floatx": "float16", "epsilon": 0.5, "image_data_format": "channels_first"}))
    check_keras()


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
def test_both_scripts_answer_with_status_2_and_one_message(script, file):
    file.write_text('{"backend": "theano"}')
    done = run(script, "run=x" if script == "evaluate.py" else "seed=1")
    assert done.returncode == 2 and done.stderr.startswith(f"vitcross: backend in {file}")
    assert len(done.stderr.splitlines()) == 1


def test_a_program_sets_what_it_relies_on_and_a_library_asks_for_it(file):
    file.write_text(json.dumps({"floatx": "float16", "epsilon": 0.5, "image_data_format": "channels_first"}))
    code = """
import keras, vitcross
from vitcross.keras_settings import require_keras, set_keras
try:
    vitcross.load("x")
except ValueError as error:
    print(error)
set_keras()
require_keras()
print(keras.config.floatx(), keras.config.epsilon(), keras.config.image_data_format(), keras.config.dtype_policy().name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, last = done.stdout.splitlines()
    assert first.startswith("Keras's floatx must be float32: call keras.config.set_floatx('float32') first")
    assert last == "float32 1e-07 channels_last float32"
