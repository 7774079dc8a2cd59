"""Checks and sets what we rely on of the user's own Keras settings: `keras.json` and the variables `KERAS_*`.

`check_keras` reads them as Keras does, before it is imported: Keras answers a wrong one with an exception at import, or
with a `ModuleNotFoundError`. A program then sets the rest (`set_keras`); a library asks for it (`require_keras`).
"""

import importlib.util
import json
import os
from pathlib import Path

BACKENDS = ("tensorflow", "jax", "torch")
FLOATX, EPSILON, IMAGE_DATA_FORMAT = "float32", 1e-7, "channels_last"
_CAPS = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")


def settings_file():
    """Where Keras keeps the user's settings; the file may not exist."""
    home = os.path.expanduser("~")
    home = home if os.access(home, os.W_OK) else "/tmp"
    return Path(os.path.expanduser(os.environ.get("KERAS_HOME", os.path.join(home, ".keras")))) / "keras.json"


def check_keras():
    """Check the user's settings before Keras is imported.

    Raises:
        ValueError: it names the file, or the variable, the rule, and what to do.
    """
    file = settings_file()
    found = _read(file)
    for key, right, is_valid in (
        ("floatx", FLOATX, lambda value: value in ("float16", "float32", "float64")),
        ("epsilon", EPSILON, lambda value: isinstance(value, float)),
        ("image_data_format", IMAGE_DATA_FORMAT, lambda value: value in ("channels_last", "channels_first")),
    ):
        if key in found and not is_valid(found[key]):
            raise ValueError(f"{key} in {file} must be {json.dumps(right)}. Received: {json.dumps(found[key])}")
    variable, backend = os.environ.get("KERAS_BACKEND"), _backend(found)
    where = "KERAS_BACKEND" if variable else f"backend in {file}"
    if backend not in BACKENDS:
        raise ValueError(f"{where} must be one of {', '.join(BACKENDS)}. Received: {backend}")
    if importlib.util.find_spec(backend) is None:
        other = "unset it" if variable else "write tensorflow there, or set KERAS_BACKEND=tensorflow"
        raise ValueError(f"{where} must name a backend that is installed. Received: {backend}: install it, or {other}")
    for name in _CAPS:
        if os.environ.get(name):
            raise ValueError(
                f"{name} would end a run before its length: unset it; trainer.steps says how long a run is. "
                f"Received: {os.environ[name]}"
            )


def chosen_backend():
    """The backend that Keras is going to choose, also where `check_keras` refuses the settings."""
    try:
        return str(_backend(_read(settings_file())))
    except ValueError:
        return os.environ.get("KERAS_BACKEND") or BACKENDS[0]


def _backend(found):
    """The backend of the variable, else of the settings `found`."""
    return os.environ.get("KERAS_BACKEND") or found.get("backend", BACKENDS[0])


def _read(file):
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{file} must be the JSON of Keras's settings; mend or delete it. Received: {error}"
        ) from error
    if not isinstance(found, dict):
        raise ValueError(f"{file} must be a JSON object of Keras's settings; mend or delete it. Received: {found!r}")
    return found


def set_keras():
    """Set what we rely on, in a process of our own, whatever `keras.json` says. It imports Keras."""
    import keras

    keras.config.set_floatx(FLOATX)
    keras.config.set_epsilon(EPSILON)
    keras.config.set_image_data_format(IMAGE_DATA_FORMAT)


def require_keras():
    """Check what we rely on in the user's process, whose settings are the user's. It imports Keras.

    Raises:
        ValueError: it names the setting and what to call.
    """
    import keras

    for key, right in (("floatx", FLOATX), ("image_data_format", IMAGE_DATA_FORMAT)):
        received = getattr(keras.config, key)()
        if received != right:
            raise ValueError(
                f"Keras's {key} must be {right}: call keras.config.set_{key}({right!r}) first, or change "
                f"{settings_file()}. Received: {received}"
            )
