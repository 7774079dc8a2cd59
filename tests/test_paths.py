"""How a path that was typed is read."""

import getpass
import os
from pathlib import Path

import pytest

from vitcross.paths import typed_path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, `work`; the home folder `home` is beside it."""
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PHOTOS", str(tmp_path / "photos"))
    monkeypatch.delenv("UNSET", raising=False)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("~", "home"),
        ("~/runs/a", "home/runs/a"),
        ("$HOME/runs", "home/runs"),
        ("${PHOTOS}/2024", "photos/2024"),
        ("$UNSET/2024", "work/$UNSET/2024"),
        ("runs/a/", "work/runs/a"),
        ("./runs//a", "work/runs/a"),
        (".", "work"),
        ("..", ""),
        ("../photos/./b", "photos/b"),
        ("My Photos (2024), best=yes [a]/Ünïcode 100%", "work/My Photos (2024), best=yes [a]/Ünïcode 100%"),
        ("in/[2024] trip/*.jpg", "work/in/[2024] trip/*.jpg"),
        ("a~b", "work/a~b"),
        (Path("~/x"), "home/x"),
    ],
)
def test_a_typed_path_is_absolute(folder, typed, path):
    assert typed_path(typed) == str(folder / path)
    assert typed_path(typed_path(typed)) == typed_path(typed)


def test_home_of_a_user_is_found_and_an_unknown_user_is_refused(folder):
    home = os.path.expanduser(f"~{getpass.getuser()}")
    assert typed_path(f"~{getpass.getuser()}/x") == os.path.join(home, "x")
    with pytest.raises(ValueError, match="~nobody-here names no user of this machine .*Received: ~nobody-here/x"):
        typed_path("~nobody-here/x")


def test_a_file_that_exists_is_that_file(folder):
    for name in ("~old", "$HOME"):
        Path(name).touch()
        assert typed_path(name) == str(folder / "work" / name)


def test_a_link_is_kept_and_its_parent_is_that_of_its_target(folder):
    (folder / "elsewhere" / "deep").mkdir(parents=True)
    Path("link").symlink_to(folder / "elsewhere" / "deep")
    assert typed_path("link/a") == str(folder / "work" / "link" / "a")
    assert typed_path("link/../a") == str(folder / "elsewhere" / "a")


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_text_is_no_path(empty):
    with pytest.raises(ValueError, match="must not be empty"):
        typed_path(empty)


def test_an_address_stays_as_it_is():
    assert typed_path("hf://ORG/NAME@main") == "hf://ORG/NAME@main"
