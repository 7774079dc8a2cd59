"""A home folder of its own for every test: no account, no settings, nothing of the developer's is read or written."""

import os

import pytest


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "home"
    folder.mkdir()
    for key in list(os.environ):
        if key.startswith(("WANDB_", "XDG_", "NETRC")):
            monkeypatch.delenv(key)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(folder)
    return folder
