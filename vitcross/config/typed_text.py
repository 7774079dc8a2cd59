"""Knows which keys hold free text or a path, quotes what was typed for them, and makes paths absolute.

Hydra's grammar gives spaces, commas, brackets and more a meaning, and refuses letters that are not ASCII. A key whose
declared type is text takes what was typed literally; only `${...}` is still an interpolation. Imports no Hydra.
"""

import dataclasses
import functools
import os
import re
import types
from typing import Annotated, Union, get_args, get_origin, get_type_hints

from vitcross.config.schema import ROOTS, SCHEMAS
from vitcross.data.sources.huggingface_open import is_path
from vitcross.options.fields import PathText
from vitcross.paths import typed_path

HYDRA_PATHS = ("hydra.run.dir", "hydra.sweep.dir")
TEXT, TEXTS, PATH = "text", "texts", "path"

_QUOTED = re.compile(r"""(['"])(?:\\.|(?!\1).)*\1""", re.DOTALL)
_PLAIN = re.compile(r"(?!(?:true|false|inf|nan)$)[a-z/][\w./-]*", re.ASCII | re.IGNORECASE)  # read as text anyway
_HARMLESS = re.compile(r"[\w./,+-]*|[\[{].*", re.ASCII)  # to Hydra, whatever the key
# What lists several values with -m besides commas, or converts one.
_FUNCTION = re.compile(r"(choice|glob|interval|range|shuffle|sort|tag|str)\(.*\)")
_BRACKETS = {"(": ")", "[": "]", "{": "}"}


def quote(argument, script, sweep=False):
    """One argument as Hydra is to read it.

    Args:
        argument: str as typed. What sets no key of text, is `null`, or is in quotes already stays as it is.
        script: `train` or `evaluate`.
        sweep: bool, with `-m`: there commas outside of brackets and quotes separate several values, also of a text;
            a path that exists is one value.
    """
    key, equals, value = argument.partition("=")
    # Of an unknown key, or a group, a message is to quote what was typed: Hydra must be able to read it.
    name = key.lstrip("+~")
    is_hydras = name.startswith(("hydra.", "hydra/", "-")) or _HARMLESS.fullmatch(value)
    kind = _kinds(script).get(name, None if is_hydras else TEXT)
    if not equals or kind is None or value == "" or _FUNCTION.fullmatch(value) and sweep:
        return argument
    several = sweep and key not in HYDRA_PATHS and not (kind == PATH and _exists(value))
    parts = [part.strip() for part in _split(value)] if several else [value]
    return f"{key}={','.join(_quoted(part, kind) for part in parts)}"


def absolute_paths(config, script):
    """A validated configuration in which the value of every path is that of `vitcross.paths.typed_path`.

    A `data.name` that is a path becomes `data.root`, which may be typed anew where the data has moved.
    """
    config = _with_paths(config, (), {key for key, kind in _kinds(script).items() if kind == PATH})
    data = config.get("data", {})
    if "name" in data and data.get("root", "") is None and is_path(data["name"]):
        config["data"] = data | {"name": None, "root": typed_path(data["name"])}
    return config


def _exists(value):
    try:
        return os.path.lexists(typed_path(value))
    except ValueError:
        return False


def _with_paths(node, path, keys):
    if isinstance(node, dict):
        return {key: _with_paths(child, (*path, key), keys) for key, child in node.items()}
    return typed_path(node) if isinstance(node, str) and ".".join(path) in keys else node


def _quoted(value, kind):
    if value == "null" or _QUOTED.fullmatch(value) or _PLAIN.fullmatch(value):
        return value
    if kind == TEXTS:
        is_list = value.startswith("[") and value.endswith("]")
        return f"[{','.join(_quoted(part.strip(), TEXT) for part in _split(value[1:-1]))}]" if is_list else value
    escaped = re.sub(r"(\\*)(\"|$)", lambda m: m[1] * 2 + ("\\" if m[2] else "") + m[2], value)
    return f'"{escaped}"'


def _split(text):
    """The parts of a text between its commas; those inside of quotes or of brackets that are closed do not count."""
    parts, start, position = [], 0, 0
    while position < len(text):
        if text[position] == ",":
            parts.append(text[start:position])
            start = position + 1
        if text[position] in _BRACKETS:
            position = max(position, _closing(text, position))
        elif position == start and (quoted := _QUOTED.match(text, position)):
            position = quoted.end() - 1
        position += 1
    return [*parts, text[start:]] if text else []


def _closing(text, position):
    """Where the bracket at a position is closed; -1 where it is not."""
    opening, depth = text[position], 0
    for place in range(position, len(text)):
        depth += (text[place] == opening) - (text[place] == _BRACKETS[opening])
        if depth == 0:
            return place
    return -1


@functools.cache
def _kinds(script):
    """Dotted key to TEXT, TEXTS or PATH where the value is one by its declared type, else to None, for each key."""
    kinds = dict(_declared(ROOTS[script], ""))
    if script == "train":
        for group, schemas in SCHEMAS.items():
            for schema in schemas.values():
                kinds |= dict(_declared(schema, f"{group}."))
    return kinds | dict.fromkeys(HYDRA_PATHS, PATH)


def _declared(schema, prefix):
    for name, annotation in get_type_hints(schema, include_extras=True).items():
        is_union = get_origin(annotation) in (Union, types.UnionType)
        options = [
            option for option in (get_args(annotation) if is_union else (annotation,)) if option is not type(None)
        ]
        option = options[0] if len(options) == 1 else None
        plain = get_args(option)[0] if get_origin(option) is Annotated else option
        if dataclasses.is_dataclass(plain):
            yield from _declared(plain, f"{prefix}{name}.")
        elif get_origin(plain) is dict:  # a group
            continue
        else:
            element = get_args(plain)[0] if get_origin(plain) is list else None
            of_text = str in (element, get_args(element)[0] if get_origin(element) is Annotated else None)
            yield (
                f"{prefix}{name}",
                PATH if option == PathText else TEXT if plain is str else TEXTS if of_text else None,
            )
