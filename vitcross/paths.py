"""Reads a path as the user typed it: every path that comes from a user goes through `typed_path`."""

import os
from pathlib import Path


def typed_path(text):
    """The absolute path that was typed, as str.

    `~` and `~user` are expanded, and `$VARIABLE` where it is set (unless a file has that very name); the rest is
    relative to the current folder. Everything else stays as it is: a symbolic link is not followed, except in front of
    `..`, and an address (`hf://ORG/NAME`) or a pattern (`DIR/*.jpg`) keeps its form.

    Args:
        text: str or path, without NUL.

    Raises:
        ValueError: an empty text (an unset variable of the shell leaves one), or `~user` of an unknown user.
    """
    text = os.fspath(text)
    if not text.strip():
        raise ValueError(f"a path must not be empty. Received: {text!r}")
    if "://" in text:
        return text
    path = os.path.expanduser(text)
    if path.startswith("~") and not os.path.lexists(path):
        user = path.split("/")[0]
        raise ValueError(f"{user} names no user of this machine (a file of that name is ./{user}). Received: {text}")
    if "$" in path and not os.path.lexists(path):
        path = os.path.expandvars(path)
    parts = Path(path).absolute().parts
    if ".." in parts:  # behind a link `..` is not the folder that the link stands in
        end = len(parts) - parts[::-1].index("..")
        parts = (os.path.realpath(os.path.join(*parts[:end])), *parts[end:])
    return os.path.join(*parts)
